"""Where allauth asks the house: who is calling, may they guess again, how are secrets sealed."""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.mfa.adapter import DefaultMFAAdapter
from django.conf import settings
from django.http import HttpRequest

from identity import audit, regulation, seal
from identity.client import client_ip
from identity.devices import trusted_device
from identity.errors import BadCredentials, SlowDown


class HouseAccountAdapter(DefaultAccountAdapter):
    """Passwords are regulated by the house; nobody signs up; no mail leaves."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Say no: people come in by invitation (`identity.people`)."""
        return False

    def get_client_ip(self, request: HttpRequest) -> str:
        """Return the address the edge saw."""
        return client_ip(request)

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        """Count the guess before it is checked. Raises SlowDown while a bucket is full."""
        username = str(credentials.get("username", ""))
        device = trusted_device(request, username)
        self._buckets = regulation.buckets_for(username, client_ip(request), device)
        verdict = regulation.take(self._buckets)
        if not verdict.allowed:
            audit.record(
                request,
                "password.slowed",
                "denied",
                username=username,
                detail={"retry_after_s": verdict.retry_after_s},
            )
            raise SlowDown(Retry_After=str(verdict.retry_after_s))

    def _rollback_login_failed_rl_usage(self) -> None:
        # allauth calls this after a right password.
        regulation.give_back(self._buckets)

    def authentication_failed(self, request: HttpRequest, **credentials: Any) -> None:
        """Leave a trace of a wrong password."""
        audit.record(
            request,
            "password.rejected",
            "denied",
            username=str(credentials.get("username", "")),
            code=BadCredentials.code,
        )

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """Send nothing: the house has no mail server."""

    def send_notification_mail(self, *args: Any, **kwargs: Any) -> None:
        """Send nothing; the audit page tells the same."""


class HouseMFAAdapter(DefaultMFAAdapter):
    """Second factors: secrets are sealed at rest, and the relying party is the house whatever a request says."""

    def encrypt(self, text: str) -> str:
        """Seal a secret before it is stored."""
        return seal.seal(text)

    def decrypt(self, encrypted_text: str) -> str:
        """Open a stored secret."""
        return seal.open_(encrypted_text)

    def get_public_key_credential_rp_entity(self) -> dict[str, str]:
        """Return the house as the relying party of its passkeys."""
        return {"id": settings.LARES.host, "name": "Lares"}
