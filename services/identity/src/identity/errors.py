"""Identity's coded errors: what happened and what the reader can do. All are listed in docs/errors.md."""

from kit.errors import KitError


class NotSignedIn(KitError):
    code, status = "identity.not_signed_in", 401
    reason = "Nobody is signed in."
    fix = "Sign in."


class SecondFactorPending(KitError):
    code, status = "identity.second_factor_pending", 401
    reason = "The password was right; the second factor is missing."
    fix = "Enter the code of your authenticator app, a recovery code, or use your passkey."


class ReauthenticationRequired(KitError):
    code, status = "identity.reauthentication_required", 401
    reason = "This change wants to know that it is still you."
    fix = "Enter your password or a code, or use your passkey, and try again."


class BadCredentials(KitError):
    code, status = "identity.bad_credentials", 400
    reason = "The name and password do not match."
    fix = "Check both and try again, or use a passkey."


class CodeRejected(KitError):
    code, status = "identity.code_rejected", 400
    reason = "The code or passkey was not accepted."
    fix = "Wait for the next code, use a recovery code, or try the passkey again."


class InvalidInput(KitError):
    code, status = "identity.invalid_input", 400
    reason = "The request does not have the expected shape."
    fix = "Correct the fields that the answer names."


class SlowDown(KitError):
    code, status = "identity.slow_down", 429
    reason = "Too many attempts."
    fix = "Wait for the time in Retry-After, or use a passkey, which is never slowed."


class CsrfRejected(KitError):
    code, status = "identity.csrf_rejected", 403
    reason = "The request did not carry the page's own token."
    fix = "Reload the page and try again."


class Forbidden(KitError):
    code, status = "identity.forbidden", 403
    reason = "Your role may not do this."
    fix = "Ask the owner of the house."


class Conflict(KitError):
    code, status = "identity.conflict", 409
    reason = "That step does not fit the state of your sign-in."
    fix = "Sign out and begin again."


class NotFound(KitError):
    code, status = "identity.not_found", 404
    reason = "There is nothing here."
    fix = "Check the address."


class MethodNotAllowed(KitError):
    code, status = "identity.method_not_allowed", 405
    reason = "This address does not take that method."
    fix = "Use one of the methods in the Allow header."


class BodyTooLarge(KitError):
    code, status = "identity.body_too_large", 413
    reason = "The request's body is larger than identity takes."
    fix = "Send less."


class SetupTokenRejected(KitError):
    code, status = "identity.setup_token_rejected", 403
    reason = "That is not the set-up link of this house."
    fix = "Run `make up` again: it prints the link."


class SetupDone(KitError):
    code, status = "identity.setup_done", 409
    reason = "This house already has its first owner."
    fix = "Sign in, or ask the owner for an invitation."


class UsernameInvalid(KitError):
    code, status = "identity.username_invalid", 400
    reason = "A name has 1 to 32 small letters, digits, dots, dashes or underscores, and begins and ends with a letter or digit."
    fix = "Choose another name."


class UsernameTaken(KitError):
    code, status = "identity.username_taken", 409
    reason = "Somebody in the house has that name."
    fix = "Choose another name."


class PasswordWeak(KitError):
    code, status = "identity.password_weak", 400
    reason = "The password is too short, too common or too much like the name."
    fix = "Choose ten characters or more that nobody would guess."


class InviteRejected(KitError):
    code, status = "identity.invite_rejected", 403
    reason = "The invitation is used, revoked, expired or unknown."
    fix = "Ask the owner for a new one."


class InviteUnknown(KitError):
    code, status = "identity.invite_unknown", 404
    reason = "There is no open invitation with that id."
    fix = "Reload the list."


class RecoveryRejected(KitError):
    code, status = "identity.recovery_rejected", 403
    reason = "The recovery link is used, expired or unknown."
    fix = "Make a new one on the machine: docs/runbooks/identity.md."


class PersonUnknown(KitError):
    code, status = "identity.person_unknown", 404
    reason = "Nobody here has that name."
    fix = "`python -m identity people` lists the names."


class SessionUnknown(KitError):
    code, status = "identity.session_unknown", 404
    reason = "You have no session with that id."
    fix = "Reload the list."


class TokenInvalid(KitError):
    code, status = "identity.token_invalid", 400
    reason = "A token needs a name, known scopes and 1 to 365 days."
    fix = "Correct what the reason names."


class TokenUnknown(KitError):
    code, status = "identity.token_unknown", 404
    reason = "You have no active token with that id."
    fix = "Reload the list."


class TooMany(KitError):
    code, status = "identity.too_many", 409
    reason = "There are already as many of these as the house keeps."
    fix = "Revoke some first."


class DatabaseAway(KitError):
    code, status = "data.unavailable", 503
    reason = "The house cannot reach its database."
    fix = "Wait a moment and try again."
