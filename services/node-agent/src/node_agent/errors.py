"""What node-agent refuses, and what can go wrong on the node. Each code stands in docs/errors.md."""

from kit.errors import KitError


class BindRefused(KitError):
    """The agent would listen where it must not."""

    code, status = "node.bind_refused", 500
    reason = "The agent listens on one address of its own network, never on all of them."
    fix = "Set LARES_BIND to the agent's address in gpu-node/compose.yaml."


class CatalogueInvalid(KitError):
    """The models file cannot be used; one that was read before stays in force."""

    code, status = "node.catalogue_invalid", 500
    reason = "The node's models file cannot be used."
    fix = "Correct what the reason names; docs/gpu-models.md describes every field. It is read again by itself."


class EngineUnavailable(KitError):
    """The container engine does not answer in time, or not at all."""

    code, status = "node.engine_unavailable", 503
    reason = "The node's container engine does not answer."
    fix = "Look at the engine on the node (`systemctl status docker`); the agent tries again by itself."


class EngineRefused(KitError):
    """The engine answered and would not."""

    code, status = "node.engine_refused", 502
    reason = "The node's container engine refused."
    fix = "The reason holds the engine's own words; a missing image is built by `make up` in gpu-node/."


class FenceStale(KitError):
    """An action or a request of the past: the instance has had a later action since."""

    code, status = "node.fence_stale", 409
    reason = "This was decided before the instance's last action."
    fix = "Ask the scheduler again; it decides anew."


class RequestRepeated(KitError):
    """The same request under the same fence came before."""

    code, status = "node.request_repeated", 409
    reason = "This request has been passed on once already."
    fix = "Ask the scheduler for a new grant."


class ActionUnfit(KitError):
    """The verb makes no sense for the instance as it is now."""

    code, status = "node.action_unfit", 409
    reason = "The instance cannot do that in its present phase."
    fix = "Read the node's state and decide again."


class InstanceUnknown(KitError):
    """No such instance on this node."""

    code, status = "node.instance_unknown", 404
    reason = "There is no such instance on this node."
    fix = "Read the node's state and decide again."


class InstanceExists(KitError):
    """An instance id is used once."""

    code, status = "node.instance_exists", 409
    reason = "There is, or was a moment ago, an instance of this id."
    fix = "Start it under a new id."


class InstanceNotReady(KitError):
    """Requests go to ready instances alone."""

    code, status = "node.instance_not_ready", 409
    reason = "The instance takes no requests in its present phase."
    fix = "Ask the scheduler again; nothing was sent to the model."


class ModelUnknown(KitError):
    """The catalogue does not have the model."""

    code, status = "node.model_unknown", 404
    reason = "The node's catalogue has no such model."
    fix = "Read the node's state: its models are listed there."


class ModelUnfit(KitError):
    """The catalogue has it and it cannot be started."""

    code, status = "node.model_unfit", 422
    reason = "The model cannot be started on this node."
    fix = "The node's state says why, beside the model."


class CardUnknown(KitError):
    """An action names a card that is not here, or not the number of cards the model needs."""

    code, status = "node.card_unknown", 422
    reason = "The action names cards that the node does not have, or too few or too many."
    fix = "Read the node's state: its cards are listed there."


class NodeBusy(KitError):
    """As many requests, readers or instances as the node takes."""

    code, status = "node.busy", 503
    reason = "The node has as many of these at once as it takes."
    fix = "Try again in a moment; LARES_CONNECTIONS_MAX sets the number of requests."


class NodeLeaving(KitError):
    """The node is about to stop or to be suspended."""

    code, status = "node.leaving", 503
    reason = "The node is about to stop or to be suspended."
    fix = "Use another node, or wait until it is back."


class NodeDisabled(KitError):
    """The off switch is set."""

    code, status = "node.disabled", 503
    reason = "The node is switched off by its owner."
    fix = "Unset LARES_NODE_DISABLED on the node and start the agent again."


class SuspendRefused(KitError):
    """The owner has not allowed the node to be suspended."""

    code, status = "node.suspend_refused", 409
    reason = "This node may not be suspended."
    fix = "Set LARES_NODE_SUSPEND=true on the node if the scheduler shall suspend it when idle."


class PathRefused(KitError):
    """The model's server has more addresses than are passed on."""

    code, status = "node.path_refused", 403
    reason = "That address of the model's server is not passed on."
    fix = "Use an address that the catalogue lists for the model (`paths`)."


class RequestCut(KitError):
    """The request's time was up: its model is put to sleep or stopped."""

    code, status = "node.request_cut", 503
    reason = "The model was put away before it answered."
    fix = "Ask the scheduler again."


class ModelFailed(KitError):
    """The model's server broke off, or answered nothing, before its first byte."""

    code, status = "node.model_failed", 502
    reason = "The model's server broke off before it answered."
    fix = "Ask again; if it happens again, the node's state and the agent's log say why."


class ModelNotReached(KitError):
    """No connection to the model's server came about, so nothing of the request was sent to it."""

    code, status = "node.model_not_reached", 503
    reason = "The model's server takes no connection: nothing was sent to it."
    fix = "Ask the scheduler again; the node's state says in a moment what became of the model."
