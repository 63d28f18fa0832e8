"""What exporting, importing and forgetting refuse."""

from __future__ import annotations

from kit.errors import KitError


class ExchangeBusy(KitError):
    """Raised when as many exports or imports run as may at once."""

    code, status = "memory.exchange_busy", 503
    reason = "Another export or import is running."
    fix = "Wait until it has ended and try again."


class FormatUnknown(KitError):
    """Raised for a format that is neither Markdown nor JSON Lines."""

    code, status = "memory.format_unknown", 422
    reason = "There is no such format."
    fix = (
        "Use format=markdown or format=jsonl, and send application/zip, text/markdown or"
        " application/x-ndjson."
    )


class ImportUnreadable(KitError):
    """Raised for a body that is not what its type says."""

    code, status = "memory.import_unreadable", 422
    reason = "The file cannot be read: it is damaged or of another kind."
    fix = "Send the zip or the .jsonl as it was exported; a single .md file goes as text/markdown."


class ImportUnsafe(KitError):
    """Raised for an archive that tries to do more than hold files."""

    code, status = "memory.import_unsafe", 422
    reason = "The archive is not safe to read."
    fix = "Pack the Markdown files again with an ordinary tool and send that."


class ImportTooLarge(KitError):
    """Raised for an import beyond what is taken at once; what was read before stays as the report said."""

    code, status = "memory.import_too_large", 413
    reason = "The import holds more than is taken at once."
    fix = "Send it in parts: importing the same rows again changes nothing."


class ForgetEmpty(KitError):
    """Raised for a bulk forget that names no condition: it would be everything."""

    code, status = "memory.forget_unbounded", 422
    reason = "The request does not say what to forget."
    fix = "Name at least one of ids, namespace, level, source, thread, entity, since and until."


class ForgetTooMany(KitError):
    """Raised when more memories fit than are forgotten in one request."""

    code, status = "memory.forget_too_many", 422
    reason = "More memories fit than are forgotten at once."
    fix = "Narrow it down, by a time for example, and forget the rest after."


class ForgetCountChanged(KitError):
    """Raised when the number of memories that fit is not the one that was confirmed."""

    code, status = "memory.forget_count_changed", 409
    reason = "Another number of memories fits than was confirmed; nothing was forgotten."
    fix = "Ask for the count again (dry_run) and confirm that."


class ExchangeSlow(KitError):
    """Raised when an import takes longer than it may; what the batches before did stays done."""

    code, status = "memory.exchange_slow", 408
    reason = "The import took longer than it may."
    fix = "Send it again, in parts if it is large: what was taken already changes nothing."
