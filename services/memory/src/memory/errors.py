"""What memory refuses, each with its code, its status and what the reader can do."""

from __future__ import annotations

from kit.errors import KitError


class TextEmpty(KitError):
    """Raised for a text or query without a visible character."""

    code, status = "memory.text_empty", 422
    reason = "There is nothing in the text."
    fix = "Send at least one visible character."


class TextTooLong(KitError):
    """Raised for a text over 8000 characters or a query over 2000."""

    code, status = "memory.text_too_long", 422
    reason = "The text is longer than a memory may be."
    fix = "Split it: a memory holds at most 8000 characters, a query 2000."


class TextUnprintable(KitError):
    """Raised for control characters and anything that is no text at all."""

    code, status = "memory.text_unprintable", 422
    reason = "The text holds control characters or is no text at all."
    fix = "Send plain text; line breaks and tabs are welcome."


class TierUnknown(KitError):
    """Raised for a tier that does not exist."""

    code, status = "memory.tier_unknown", 422
    reason = "There is no such tier."
    fix = "Use convenience, sensitive or sacred."


class LevelUnknown(KitError):
    """Raised for a level that does not exist."""

    code, status = "memory.level_unknown", 422
    reason = "There is no such level."
    fix = "Use identity, session, working, episodic or knowledge."


class IdentityFull(KitError):
    """Raised when a memory would not fit into what is always in context."""

    code, status = "memory.identity_full", 409
    reason = "There is no room for this among what is always in context."
    fix = "Shorten or move identity memories to another level: together they may have 6000 tokens."


class NamespaceInvalid(KitError):
    """Raised for a name that no namespace can have."""

    code, status = "memory.namespace_invalid", 422
    reason = "That cannot be the name of a namespace."
    fix = "Use 1 to 40 of a-z, 0-9, - and _, beginning with a letter."


class NamespaceUnknown(KitError):
    """Raised for a namespace that does not exist or that the caller may not see: the two are not told apart."""

    code, status = "memory.namespace_unknown", 422
    reason = "There is no such namespace, or none that you may use."
    fix = "Create it first, or leave it out to use home."


class NamespaceFull(KitError):
    """Raised when a person has as many namespaces as there may be."""

    code, status = "memory.namespace_full", 409
    reason = "There are as many namespaces as there may be."
    fix = "Delete one that is empty: a person may have 100."


class NamespaceNotEmpty(KitError):
    """Raised for deleting a namespace that still holds memories, or `home`."""

    code, status = "memory.namespace_not_empty", 409
    reason = "The namespace still holds memories, or is home."
    fix = "Move or forget its memories first; home always stays."


class PersonNeeded(KitError):
    """Raised when a token asks for what only the person may decide."""

    code, status = "memory.person_needed", 403
    reason = "Only the person may do this, not a client that acts for them."
    fix = "Sign in to the dashboard and do it there."


class StateUnknown(KitError):
    """Raised for a list's state, order or bucket that does not exist."""

    code, status = "memory.list_invalid", 422
    reason = "The list cannot be shown that way."
    fix = "Use state active, archived, superseded or all; order created or occurred; bucket day, week or month."


class LabelInvalid(KitError):
    """Raised for a source, thread, client or other short word that no memory could have."""

    code, status = "memory.label_invalid", 422
    reason = "A source, thread or other short word is too long or holds control characters."
    fix = "Use at most 200 characters, none of them a control character."


class TierDenied(KitError):
    """Raised when the caller's role has no part in the tier."""

    code, status = "memory.tier_denied", 403
    reason = "This sign-in or token may not use that tier."
    fix = "Sign in to the dashboard, or use a token that was made for the tier."


class MemoryNotFound(KitError):
    """Raised for an id that does not exist or that the caller may not see: the two are not told apart."""

    code, status = "memory.not_found", 404
    reason = "There is no such memory, or none that you may see."
    fix = "Look it up in the list; it may have been forgotten."


class Forgotten(KitError):
    """Raised when a retried request would bring a forgotten memory back."""

    code, status = "memory.forgotten", 410
    reason = "The memory of this request was forgotten since."
    fix = "To remember it after all, send it with a new Idempotency-Key."


class CursorInvalid(KitError):
    """Raised for a page cursor that this service did not give out, or gave out for another list."""

    code, status = "memory.cursor_invalid", 422
    reason = "The cursor does not belong to this list."
    fix = "Begin again without a cursor."


class LimitInvalid(KitError):
    """Raised for a limit outside its range."""

    code, status = "memory.limit_invalid", 422
    reason = "The limit is out of range."
    fix = "Use 1 to 50 for recall and 1 to 200 for a list."


class TimeInvalid(KitError):
    """Raised for an occurred_at that has no time zone."""

    code, status = "memory.time_invalid", 422
    reason = "The time says no time zone."
    fix = "Send an ISO 8601 time with an offset, such as 2026-05-01T09:00:00Z."


class EditEmpty(KitError):
    """Raised for an edit that names nothing to change."""

    code, status = "memory.edit_empty", 422
    reason = "The edit changes nothing."
    fix = "Send at least one of text, tier, namespace, level, occurred_at, valid_from and valid_to."


class KeyInvalid(KitError):
    """Raised for an Idempotency-Key that cannot be one."""

    code, status = "memory.idempotency_key_invalid", 422
    reason = "The Idempotency-Key is empty, too long or not plain ASCII."
    fix = "Use 1 to 200 visible ASCII characters, such as a UUID."


class KeyReused(KitError):
    """Raised when one Idempotency-Key comes with two different requests."""

    code, status = "memory.idempotency_key_reused", 409
    reason = "This Idempotency-Key was used for a different memory."
    fix = "Use a new key for a new memory."


class Busy(KitError):
    """Raised when the memory is being changed by another request that does not end."""

    code, status = "memory.busy", 409
    reason = "This memory is being changed at the moment."
    fix = "Try again in a few seconds."


class SacredFull(KitError):
    """Raised when a person's sacred memories would outgrow what recall can search in full."""

    code, status = "memory.sacred_full", 409
    reason = "There is no room for another sacred memory."
    fix = "Forget sacred memories that are no longer needed; nothing is dropped silently."


class SacredUnreadable(KitError):
    """Raised when a sealed row does not open: another key, or a row that was tampered with."""

    code, status = "memory.sacred_unreadable", 500
    reason = "A sacred memory cannot be opened with this house's key."
    fix = "Restore the secret sacred_data_key that was in use when it was written, see docs/runbooks/memory.md."


class SacredKeyInvalid(KitError):
    """Raised at start when the secret is no key: nothing sacred is written under a wrong one."""

    code, status = "memory.sacred_key_invalid", 500
    reason = "The secret sacred_data_key is not 32 bytes in base64."
    fix = "Restore the secret's file; never make a new one while sacred memories exist, see docs/runbooks/memory.md."


class EmbedderUnavailable(KitError):
    """Raised inside the house when a text cannot be embedded now; recall then answers lexical_only."""

    code, status = "memory.embedder_unavailable", 503
    reason = "The model that finds memories by meaning is not answering."
    fix = "Nothing is lost: memories are found by their words until it is back."


class EmbeddingRefused(KitError):
    """Raised inside the worker when the model will not take this text, now or later."""

    code, status = "memory.embedding_refused", 422
    reason = "The model that finds memories by meaning does not take this text."
    fix = "The memory is kept and found by its words; shorten its text to have it found by meaning."
