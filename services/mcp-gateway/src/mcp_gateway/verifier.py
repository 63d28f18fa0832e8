"""Is this access token good, and for whom? forward-auth knows; its answer is kept for three seconds."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass

from contracts.identity import Introspection
from fastmcp.server.auth import AccessToken, TokenVerifier
from kit.auth import CallerInvalid, CallerVerifier
from kit.client import ServiceClient
from kit.clock import Clock
from kit.errors import KitError
from pydantic import ValidationError

from mcp_gateway.domain import READ, WRITE
from mcp_gateway.errors import VerifierUnavailable

# A revoked token works no longer than this.
KEEP_SECONDS = 3.0
KNOWN_MAX = 512
TOKEN_CHARS_MAX = 512


@dataclass(frozen=True)
class _Known:
    access: AccessToken
    until: float


class HouseVerifier(TokenVerifier):
    """Asks forward-auth. The client's own token goes nowhere else and is not kept, only its digest."""

    def __init__(
        self, forward_auth: ServiceClient, callers: CallerVerifier, clock: Clock | None = None
    ) -> None:
        super().__init__(required_scopes=[])
        self._forward_auth = forward_auth
        self._callers = callers
        self._clock = clock or Clock()
        self._known: OrderedDict[str, _Known] = OrderedDict()

    def get_challenge_scopes(self, required_scopes: list[str] | None = None) -> list[str]:
        """Name what a client may ask for when it comes without a token: the cards are the owner's to offer."""
        return required_scopes or [READ, WRITE]

    async def verify_token(self, token: str) -> AccessToken | None:
        """Return who `token` speaks for, or None. Raises VerifierUnavailable: in doubt nobody is let in."""
        if not 1 <= len(token) <= TOKEN_CHARS_MAX or not token.isascii():
            return None
        digest = hashlib.blake2b(token.encode(), digest_size=32).hexdigest()
        now = self._clock.monotonic()
        known = self._known.get(digest)
        if known is not None and now < known.until:
            return known.access
        access = await self._introspect(token, digest)
        self._known.pop(digest, None)
        if access is not None:
            # A refusal is not kept: guessing must not push good tokens out.
            self._known[digest] = _Known(access, now + KEEP_SECONDS)
            if len(self._known) > KNOWN_MAX:
                self._known.popitem(last=False)
        return access

    async def _introspect(self, token: str, digest: str) -> AccessToken | None:
        try:
            reply = await self._forward_auth.post("/v1/introspect", json={"token": token})
            answer = Introspection.model_validate_json(reply.body)
        except (KitError, ValidationError):
            raise VerifierUnavailable(Retry_After="2") from None
        if not answer.active or answer.caller is None:
            return None
        try:
            caller = self._callers.verify(answer.caller)
        except CallerInvalid:
            # An answer that forward-auth did not sign is no answer.
            raise VerifierUnavailable(Retry_After="2") from None
        return AccessToken(
            token=digest,
            client_id=caller.session_id,
            subject=str(caller.subject),
            scopes=[scope for scope in answer.scopes if caller.may(scope)],
            expires_at=answer.exp,
            claims={"caller": answer.caller},
        )
