"""allauth's passkey addresses, where what a stranger sends may be any JSON at all."""

from __future__ import annotations

from typing import Any

from allauth.headless.mfa import views as mfa
from kit import logs

from identity import audit
from identity.errors import CodeRejected

log = logs.get(__name__)


class _Guarded:
    """Whatever the parsers underneath trip over is a refused passkey, never a failure of the house."""

    def handle_input(self, data: Any) -> Any:
        """Check the input as allauth does. Raises CodeRejected for what cannot even be read."""
        try:
            refusal = super().handle_input(data)  # type: ignore[misc]
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            log.info("passkey.unreadable", error_type=type(error).__name__)
            self._refused()
            raise CodeRejected from error
        if refusal is not None:
            self._refused()
        return refusal

    def _refused(self) -> None:
        audit.record(self.request, "passkey.rejected", "denied", code=CodeRejected.code)  # type: ignore[attr-defined]


class Login(_Guarded, mfa.LoginWebAuthnView):
    """Sign in with a passkey alone."""


class Authenticate(_Guarded, mfa.AuthenticateWebAuthnView):
    """A passkey as the second step."""


class Reauthenticate(_Guarded, mfa.ReauthenticateWebAuthnView):
    """A passkey to prove that it is still you."""


class Manage(_Guarded, mfa.ManageWebAuthnView):
    """Add, rename and remove passkeys."""
