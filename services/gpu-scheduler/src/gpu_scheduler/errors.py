"""What can go wrong between an ask and a grant. Each code stands in docs/errors.md.

`REFUSALS` are the ones that the core decides on: it names the code, and says why in the reason.
"""

from kit.errors import KitError


class PolicyInvalid(KitError):
    code = "inference.policy_invalid"
    status = 500
    reason = "The file of the scheduling policy cannot be used."
    fix = "Correct the entry that the reason names; the file explains each field."


class Starting(KitError):
    code = "inference.scheduler_starting"
    status = 503
    reason = "The scheduler has just started and is reading what really runs."
    fix = "Try again in a moment; if it lasts, look at postgres and at the scheduler's log."


class Disabled(KitError):
    code = "inference.scheduler_disabled"
    status = 503
    reason = "GPU scheduling is switched off."
    fix = "Unset LARES_GPU_SCHEDULER_DISABLED and start gpu-scheduler again."


class Paused(KitError):
    code = "inference.paused"
    status = 503
    reason = "The owner has paused GPU scheduling."
    fix = "Resume it on the Inference page, or wait."


class FrameInvalid(KitError):
    code = "inference.frame_invalid"
    status = 400
    reason = "A message of the gateway is not one of the protocol, or comes out of turn."
    fix = "This is a fault of the gateway: both must be of the same version."


class HelloLate(KitError):
    code = "inference.hello_late"
    status = 408
    reason = "The gateway did not say who it is in time."
    fix = "This is a fault of the gateway, or the machine is overloaded."


class Replaced(KitError):
    code = "inference.gateway_replaced"
    status = 409
    reason = "The same gateway has connected anew."
    fix = "Nothing to do: the newer connection goes on."


class SlowReader(KitError):
    code = "inference.gateway_slow"
    status = 429
    reason = "The gateway does not read what it is told."
    fix = "Look at model-gateway's load; it connects again by itself."


class TooManyAsked(KitError):
    code = "inference.too_many_asked"
    status = 429
    reason = "The gateway has as many requests with the scheduler as one may have."
    fix = "Try again in a moment."


class NotOffered(KitError):
    code = "inference.not_offered"
    status = 404
    reason = "No GPU node has a model of that name."
    fix = "Ask for one of the models that `GET /v1/models` names."


class TierRefused(KitError):
    code = "inference.tier_refused"
    status = 403
    reason = "No GPU node that has the model may be shown text this private."
    fix = "Ask another model, or raise max_tier of the model in the node's models.yaml."


class NeverFits(KitError):
    code = "inference.never_fits"
    status = 422
    reason = "The model can never fit on any card that it may run on."
    fix = "Use a smaller model, a shorter context or fewer slots; the reason holds the arithmetic."


class QueueFull(KitError):
    code = "inference.gpu_queue_full"
    status = 429
    reason = "Too many requests wait for the GPU node already."
    fix = "Try again in a moment."


class WaitedTooLong(KitError):
    code = "inference.waited_too_long"
    status = 503
    reason = "The request has waited as long as its class may wait."
    fix = "Try again later, or ask a model that is resident."


class DeadlinePassed(KitError):
    code = "inference.deadline_passed"
    status = 504
    reason = "The request's deadline cannot be kept any more."
    fix = "Allow more time, or ask a model that is resident."


class NodeAway(KitError):
    code = "inference.node_away"
    status = 503
    reason = "The GPU node is not answering."
    fix = "Wait until it is back; requests take the next route meanwhile."


class NodeDraining(KitError):
    code = "inference.node_draining"
    status = 503
    reason = "The owner has the GPU node drained: it takes nothing new."
    fix = (
        "Let it go on with the order resume_node, or wait; requests take the next route meanwhile."
    )


class InstanceLost(KitError):
    code = "inference.instance_lost"
    status = 502
    reason = "The model's server ended while the request was with it."
    fix = "Ask again; if it happens again, look at the model's container log on the node."


class ModelFailing(KitError):
    code = "inference.model_failing"
    status = 503
    reason = "The model's server does not start."
    fix = "Look at the model's note on the Inference page and at its container's log on the node."


class ModelBanned(KitError):
    code = "inference.model_banned"
    status = 403
    reason = "The owner has banned this model."
    fix = "Allow it on the Inference page, or ask another model."


class OrderOnBanned(KitError):
    code = "inference.order_on_banned"
    status = 409
    reason = "The owner has banned this model, so it is neither loaded nor pinned."
    fix = "Lift the ban first: `Allow` on the Inference page, or the order `allow`. Then order it again."


class OrderOnPinned(KitError):
    code = "inference.order_on_pinned"
    status = 409
    reason = "The model is pinned: sent away, it would come back at once."
    fix = "Unpin it first, or ban it; then order it again."


class NotLoaded(KitError):
    code = "inference.not_loaded"
    status = 409
    reason = "The model is on no card, so there is nothing to unload or to put to sleep."
    fix = "Nothing to do; where each model is, the Inference page and `GET /v1/status` say."


class CannotSleep(KitError):
    code = "inference.cannot_sleep"
    status = 409
    reason = "The model's server cannot sleep."
    fix = "Unload it instead, or set can_sleep in the node's models.yaml if its server can."


class HolderGone(KitError):
    code = "inference.holder_gone"
    status = 409
    reason = "The gateway that asked was gone for too long, or came back without the request."
    fix = "Ask again."


class AgentGone(KitError):
    code = "inference.agent_gone"
    status = 409
    reason = "The agent that asked has been silent for too long: nobody would read the answer."
    fix = "An agent sends heartbeats to /v1/agents more often than its time to live."


class AgentTaken(KitError):
    code = "inference.agent_taken"
    status = 409
    reason = "Another caller has registered an agent of that name."
    fix = "Use a name of its own for each agent."


class AgentUnknown(KitError):
    code = "inference.agent_unknown"
    status = 404
    reason = "No agent of that name is registered."
    fix = "Register it with `PUT /v1/agents/{id}`."


class AgentsFull(KitError):
    code = "inference.agents_full"
    status = 429
    reason = "As many agents are registered as there may be."
    fix = "Let agents that are through say goodbye."


class LeaseUnknown(KitError):
    code = "inference.lease_unknown"
    status = 404
    reason = "There is no such lease, or it is not yours."
    fix = "Ask for a new one."


class LeaseLost(KitError):
    code = "inference.lease_lost"
    status = 409
    reason = "The lease is not held any more, or the fence is not the lease's."
    fix = "Stop what is done under it, and ask for a new one."


class LeasesFull(KitError):
    code = "inference.leases_full"
    status = 429
    reason = "As many leases are held and waited for as there may be."
    fix = "Release leases that are not needed."


class LeaseUnclear(KitError):
    code = "inference.lease_unclear"
    status = 422
    reason = "A lease is of a model, or of bare memory, and of one of the two."
    fix = "Give `model`, or `memory_mib` and perhaps `card`."


class OwnerOnly(KitError):
    code = "inference.owner_only"
    status = 403
    reason = "Only the owner may give the scheduler orders, and see what everybody has asked for."
    fix = "Sign in as the owner, or use the owner's token with the scope inference:manage."


class CallerUnnamed(KitError):
    code = "inference.caller_unnamed"
    status = 401
    reason = "The request says neither which service nor which person it comes from."
    fix = "Send X-Lares-Service, or a caller token."


class OrderInvalid(KitError):
    code = "inference.order_invalid"
    status = 422
    reason = "The order does not say what it is about."
    fix = "Name the model in `on`, or for drain_node and resume_node the node."


class NodeUnknown(KitError):
    code = "inference.node_not_joined"
    status = 404
    reason = "No GPU node of that name has joined the house."
    fix = "Look at `GET /v1/status` for the nodes that there are."


class Busy(KitError):
    code = "inference.scheduler_busy"
    status = 503
    reason = "The scheduler has more to take in than it may hold."
    fix = "Try again in a moment."


class NodeRefused(KitError):
    code = "inference.node_refused"
    status = 502
    reason = "The GPU node refused what it was told to do, or gave an answer that makes no sense."
    fix = "Look at node-agent's log; both must be of the same version."


REFUSALS: dict[str, type[KitError]] = {
    error.code: error
    for error in (
        *(NotOffered, NeverFits, QueueFull, WaitedTooLong, DeadlinePassed, NodeAway),
        *(NodeDraining, InstanceLost, ModelFailing, ModelBanned, Paused, Disabled, HolderGone),
        AgentGone,
        *(TierRefused, TooManyAsked, Starting),
    )
}


def refusal(code: str) -> type[KitError]:
    """Return what a code of the core means."""
    return REFUSALS.get(code, ModelFailing)
