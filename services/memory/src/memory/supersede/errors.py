"""What can be wrong with saying that one memory replaced another."""

from __future__ import annotations

from kit.errors import KitError


class SupersedeRefused(KitError):
    """Raised when one memory cannot replace the other: itself, across namespaces or vaults, or in a circle."""

    code, status = "memory.supersede_refused", 422
    reason = "This memory cannot be replaced by that one."
    fix = "Name another memory of the same namespace that it does not replace itself; a sacred one only by a sacred one."


class SupersedeEmpty(KitError):
    """Raised when a request names neither or both of what replaces the memory."""

    code, status = "memory.supersede_empty", 422
    reason = "The request does not say what replaces this memory."
    fix = "Send either `by`, the id of a memory, or `text`, what is true instead."
