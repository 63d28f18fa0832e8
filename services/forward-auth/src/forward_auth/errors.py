"""The door's coded errors. All are listed in docs/errors.md."""

from kit.errors import KitError


class NotSignedIn(KitError):
    code, status = "edge.not_signed_in", 401
    reason = "Nobody is signed in."
    fix = "Sign in."


class StepUpRequired(KitError):
    code, status = "edge.step_up_required", 401
    reason = "This asks for two factors, and you signed in with one."
    fix = (
        "Confirm with your authenticator app or a passkey; without one, add one in Security first."
    )


class OriginRejected(KitError):
    code, status = "edge.origin_rejected", 403
    reason = "The request does not come from the house's own pages."
    fix = "Open the house under its own address and try again."


class Denied(KitError):
    code, status = "edge.denied", 403
    reason = "Nobody may open that from outside."
    fix = "Check the address."


class PathRejected(KitError):
    code, status = "edge.path_rejected", 400
    reason = "The address can be read in more than one way."
    fix = "Write it plainly: no encoded slashes, dots, backslashes, semicolons or doubled slashes."


class RequestRejected(KitError):
    code, status = "edge.request_rejected", 400
    reason = "The edge did not say what is asked for."
    fix = "Only the edge asks forward-auth."


class CallerRejected(KitError):
    code, status = "edge.caller_rejected", 400
    reason = "That caller was not signed by this house, or is long expired."
    fix = "Sign in again."


class Unavailable(KitError):
    code, status = "edge.unavailable", 503
    reason = "The house cannot check who you are just now."
    fix = "Wait a moment and try again."
