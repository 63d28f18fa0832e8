"""Why a GPU node is not let in. Each ends the token, except those that say so."""

from kit.errors import KitError


class TokenUnknown(KitError):
    code, status = "inference.join_refused", 403
    reason = "There is no such token."
    fix = "On the house run `make gpu-node ADDRESS=... NAME=...` and use the token that it prints."


class TokenUsed(KitError):
    code, status = "inference.join_used", 409
    reason = "The token was used before: each is good for one attempt."
    fix = "On the house run `make gpu-node` again; if you did not use it, somebody else did: `make gpu-node-remove` first."


class TokenExpired(KitError):
    code, status = "inference.join_expired", 403
    reason = "The token is older than 15 minutes."
    fix = "On the house run `make gpu-node` again and use the new token at once."


class TokenElsewhere(KitError):
    code, status = "inference.join_elsewhere", 403
    reason = "The token is for a node of another name, or at another address than the one it was shown from."
    fix = "Give `make gpu-node` the address that the node has on the home network, and use the token there."


class RequestInvalid(KitError):
    code, status = "inference.join_request_invalid", 422
    reason = "The certificate request cannot be read, is not signed by its own key, or its key is not of the kind P-256."
    fix = "Use the node's own `make up JOIN=<token>`, of the same version as the house."


class JoinsTooOften(KitError):
    """The token stays as it was."""

    code, status = "inference.join_too_often", 429
    reason = "There were too many attempts to join within a minute."
    fix = "Wait a minute and try again."


class AddressTaken(KitError):
    code, status = "inference.join_address_taken", 409
    reason = "Another node is at this address."
    fix = "Remove that one first: `make gpu-node-remove NAME=...`, or give the right address."


class NodesTooMany(KitError):
    code, status = "inference.join_nodes_too_many", 409
    reason = "The house has 16 GPU nodes, which is the most it follows."
    fix = "Remove one that is gone: `make gpu-node-remove NAME=...`."


class NodeUnknown(KitError):
    code, status = "inference.node_unknown", 404
    reason = "No GPU node of this name belongs to the house."
    fix = "`make gpu-nodes` lists them."


class NodeInvalid(KitError):
    code, status = "inference.node_invalid", 422
    reason = "A node's name is small letters, digits and dashes, 31 at most; its address is an IPv4 address of the home network."
    fix = "For example: make gpu-node ADDRESS=192.168.1.20 NAME=forge"
