"""What the consolidation refuses, each with its code, its status and what the reader can do."""

from __future__ import annotations

from kit.errors import KitError


class ConsolidationDenied(KitError):
    """Raised when somebody else than the house's owner turns the consolidation on or off, or a token runs it."""

    code, status = "memory.consolidation_denied", 403
    reason = "Only the house's owner, signed in, may turn the consolidation on or off."
    fix = "Sign in to the dashboard as the owner."


class ConsolidationOff(KitError):
    """Raised for a run by hand while the consolidation is off or only plans."""

    code, status = "memory.consolidation_off", 409
    reason = "The consolidation is switched off, so nothing is moved."
    fix = "Ask for a dry run, or turn it on: PUT /v1/consolidation, and LARES_MEMORY_CONSOLIDATION in compose."


class ConsolidationBusy(KitError):
    """Raised for a run by hand while the consolidator is at this person's memories."""

    code, status = "memory.consolidation_busy", 409
    reason = "These memories are being consolidated at this moment."
    fix = "Try again in a few seconds; the journal shows what was done."


class JournalCursorInvalid(KitError):
    """Raised for a `before` that the journal did not give out."""

    code, status = "memory.journal_cursor_invalid", 422
    reason = "The journal has no such place."
    fix = "Begin again without `before`, or send a `next_before` as it came."
