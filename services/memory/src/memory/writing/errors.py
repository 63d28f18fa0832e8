"""What writing refuses, each with its code, its status and what the reader can do."""

from __future__ import annotations

from kit.errors import KitError


class Junk(KitError):
    """Raised for a text that says nothing worth finding again; the reason names the rule."""

    code, status = "memory.junk", 422
    reason = "The text says nothing worth remembering."
    fix = (
        "Leave it out, say more in it, or, if you are the person, send it again with `force: true`."
    )


class TooManyWrites(KitError):
    """Raised when one client writes faster than the house lets any one client write."""

    code, status = "memory.too_many_writes", 429
    reason = (
        "This client writes more memories than one client may; nothing of this request was stored."
    )
    fix = "Wait as long as Retry-After says, or send many at once to /v1/memories/batch."


class MergeRefused(KitError):
    """Raised for two memories that cannot become one: another tier or namespace, sacred, or the same memory."""

    code, status = "memory.merge_refused", 409
    reason = "These two cannot become one memory."
    fix = (
        "Name two different memories of the same tier and namespace; sacred ones are never merged."
    )


class EmbeddingInvalid(KitError):
    """Raised inside the house when the model's answer is no vector of the registered kind: NaN, zero, another length."""

    code, status = "memory.embedding_invalid", 502
    reason = (
        "The model that finds memories by meaning gave an answer that is no vector of its kind."
    )
    fix = "Nothing is lost: memories are found by their words. Look at the embedder, or whether its model was exchanged."


class DimensionsUnsupported(KitError):
    """Noted, and shown by GET /v1/embedding, when a new embedding model has a number of dimensions without an index."""

    code, status = "memory.embedding_dimensions_unsupported", 422
    reason = "The embedding model's vectors have a length that memory keeps no index for."
    fix = "Use a model with 256, 384, 512, 768 or 1024 dimensions; the model in use stays."
