"""What can go wrong between a question and a model. Each code stands in docs/errors.md."""

from typing import TYPE_CHECKING

from kit.errors import KitError

if TYPE_CHECKING:
    from contracts.scheduling import Refused


class RequestInvalid(KitError):
    code = "inference.request_invalid"
    status = 400
    reason = "The request is not one that a model can be asked."
    fix = "Correct the field that the reason names."


class RequestSlow(KitError):
    code = "inference.request_slow"
    status = 408
    reason = "The request's body did not come in time."
    fix = "Send it again, all of it at once."


class RequestRefused(KitError):
    code = "inference.request_refused"
    status = 400
    reason = "The model's server refused the request."
    fix = "Correct what the reason names, or ask a model that can do it."


class NotKept(KitError):
    code = "inference.not_kept"
    status = 400
    reason = "Responses are not kept here, so nothing can refer to an earlier one."
    fix = "Send the whole conversation as `input`, and leave out what the reason names."


class PromptTooLong(KitError):
    code = "inference.prompt_too_long"
    status = 400
    reason = "The prompt does not fit into the model's context."
    fix = "Send less, or ask a model with a larger context."


class TooManyTokens(KitError):
    code = "inference.too_many_tokens"
    status = 400
    reason = "More tokens are asked for than this model may answer with."
    fix = "Ask for at most the number that the reason names."


class TierRefused(KitError):
    code = "inference.tier_refused"
    status = 403
    reason = "This text may not leave the house, and the model is outside."
    fix = "Ask a model that runs in the house."


class OwnerOnly(KitError):
    code = "inference.owner_only"
    status = 403
    reason = "What others asked and what it cost is for the owner alone."
    fix = "Sign in as the owner."


class ModelUnknown(KitError):
    code = "inference.model_unknown"
    status = 404
    reason = "No model has that name."
    fix = "Ask for one of the models that the reason names."


class ClassRefused(KitError):
    code = "inference.class_refused"
    status = 403
    reason = "This model does not answer requests of that class."
    fix = "Ask another model, or add the class to one of the model's routes in models.yaml."


class ModelUnable(KitError):
    code = "inference.model_unable"
    status = 400
    reason = "No way of this model can do what the request needs."
    fix = "Leave it out, or ask a model whose `can` in models.yaml names it."


class GpuUnavailable(KitError):
    code = "inference.gpu_unavailable"
    status = 503
    reason = "No GPU node offers this model now."
    fix = "Wait until the node is back; Inference shows its state. A route to the house's own model would answer meanwhile."


class GpuRefused(KitError):
    code = "inference.gpu_refused"
    status = 503
    reason = "The GPU scheduler refused the request."
    fix = "Do what the reason says, or ask another model."

    def __init__(
        self, refused: "Refused | None" = None, reason: str | None = None, **headers: str
    ) -> None:
        if refused is None:
            super().__init__(reason, **headers)
            return
        # The scheduler's own words: it knows the queue, the cards and the arithmetic.
        self.code, self.status = refused.code, refused.status
        if refused.retry_after_seconds is not None:
            headers["Retry_After"] = str(max(1, round(refused.retry_after_seconds)))
        super().__init__(refused.reason, fix=refused.fix, **headers)


class AgentGone(KitError):
    """No failure of a way: another way would answer to nobody."""

    code = "inference.agent_gone"
    status = 409
    reason = "The agent that asked has been silent for too long: nobody would read the answer."
    fix = "An agent sends heartbeats to /v1/agents more often than its time to live."


def gpu_refused(refused: "Refused") -> KitError:
    """Return what a refusal of the scheduler means to whoever asked."""
    return AgentGone(refused.reason) if refused.code == AgentGone.code else GpuRefused(refused)


class GpuLost(KitError):
    code = "inference.gpu_lost"
    status = 502
    reason = "The GPU node went away while it answered."
    fix = "Ask again: another node, or the house's own model, will answer."


class BudgetSpent(KitError):
    code = "inference.budget_spent"
    status = 429
    reason = "The day's budget for this model is used up."
    fix = "Wait until the budget's day ends, raise it in models.yaml, or ask a model of the house."


class BudgetUnknown(KitError):
    code = "inference.budget_unknown"
    status = 503
    reason = (
        "Nobody can say what is left of the budget while the database is away, so nothing is spent."
    )
    fix = "Wait until the database is back; models of the house answer meanwhile."


class QueueFull(KitError):
    code = "inference.queue_full"
    status = 429
    reason = "Too many requests wait for this model."
    fix = "Try again in a moment."


class BackendBusy(KitError):
    code = "inference.backend_busy"
    status = 429
    reason = "The model's server takes no more requests for now."
    fix = "Try again later; the provider's own limit was reached."


class BackendFailed(KitError):
    code = "inference.backend_failed"
    status = 502
    reason = "The model's server failed while it answered."
    fix = "Try again. If it happens again, look at that server's log."


class BackendInvalid(KitError):
    code = "inference.backend_invalid"
    status = 502
    reason = "The model's server gave an answer that is not OpenAI's protocol, or too large."
    fix = "Check the backend's url in models.yaml: it must be the base of an OpenAI-compatible API."


class BackendRefusedKey(KitError):
    code = "inference.backend_refused_key"
    status = 502
    reason = "The model's server does not accept the house's key."
    fix = "Put a valid key into the secret backend_<name>_api_key of model-gateway and restart it."


class BackendUnavailable(KitError):
    code = "inference.backend_unavailable"
    status = 503
    reason = "The model's server is not answering."
    fix = "Wait a moment and try again; System shows whether it is running."


class QueueTimeout(KitError):
    code = "inference.queue_timeout"
    status = 503
    reason = "The model was busy with other requests for too long."
    fix = "Try again in a moment, or give the backend more slots."


class ModelOff(KitError):
    code = "inference.model_off"
    status = 503
    reason = "This model is switched off."
    fix = "Switch it on in models.yaml or LARES_INFERENCE_DISABLED, or ask another model."


class BackendTimeout(KitError):
    code = "inference.backend_timeout"
    status = 504
    reason = "The model's server took too long."
    fix = "Ask for a shorter answer, or raise the backend's time limits in models.yaml."


class CatalogueInvalid(KitError):
    code = "inference.catalogue_invalid"
    status = 500
    reason = "The file of models cannot be used."
    fix = "Correct the entry that the reason names; docs/runbooks/models.md explains each field."
