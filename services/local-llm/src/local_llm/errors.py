"""What can keep the local model from starting. Each code stands in docs/errors.md."""

from kit.errors import KitError


class BindRefused(KitError):
    code = "inference.bind_refused"
    status = 500
    reason = "The model server listens on one address of its own network, never on all of them."
    fix = "Set LARES_BIND to the service's address in compose."


class ModelMissing(KitError):
    code = "inference.model_missing"
    status = 500
    reason = "The model's file cannot be read."
    fix = "Set LARES_MODEL_PATH to a GGUF file that exists, or run `make models` to fetch one."


class ModelInvalid(KitError):
    code = "inference.model_invalid"
    status = 500
    reason = "The model's file is not a GGUF model that this version can load."
    fix = "Fetch it again with `make models`, or set LARES_MODEL_PATH to another model."
