"""What can go wrong when text becomes a vector. Each code stands in docs/errors.md."""

from kit.errors import KitError


class InputInvalid(KitError):
    code = "memory.embed_input_invalid"
    status = 400
    reason = "The input is not a text or a list of texts."
    fix = "Send a non-empty string, or a list of non-empty strings, as `input`."


class ModelUnknown(KitError):
    code = "memory.embed_model_unknown"
    status = 404
    reason = "The embedder serves one model, and it is not that one."
    fix = "Ask for the model that the reason names."


class Busy(KitError):
    code = "memory.embed_busy"
    status = 503
    reason = "Too many texts wait to be embedded."
    fix = "Try again in a second; send bulk work in smaller lists."


class NotFinite(KitError):
    code = "memory.embed_not_finite"
    status = 500
    reason = "The model returned a vector that is not made of finite numbers."
    fix = "Rebuild the embedder's image: its model or this machine's arithmetic is broken."


class ModelBroken(KitError):
    code = "memory.embed_model_broken"
    status = 500
    reason = "The model's files are missing, altered, or give other vectors than the real model."
    fix = "Rebuild the embedder's image; do not use stored vectors made by this one."
