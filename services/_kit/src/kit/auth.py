"""Who is asking: the caller token that forward-auth mints and every service verifies for itself.

The edge deletes an inbound X-Lares-Caller; this module refuses one that forward-auth did not sign. Both must fail
before a request is somebody else's.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from contracts.identity import AUDIENCE, CALLER_HEADER, CALLER_TTL_SECONDS_MAX, ISSUER, Caller
from pydantic import ValidationError
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from kit.client import act_for, acting_for_nobody
from kit.clock import Clock
from kit.errors import KitError

ALGORITHM = "EdDSA"
TOKEN_CHARS_MAX = 4096
CACHE_MAX = 1024
CLOCK_SKEW_SECONDS = 5


class CallerMissing(KitError):
    code = "kit.caller_missing"
    status = 401
    reason = "Nobody is signed in."
    fix = "Sign in, or send a personal access token."


class CallerInvalid(KitError):
    code = "kit.caller_invalid"
    status = 401
    reason = "The caller's token is forged, expired or meant for somebody else."
    fix = "Sign in again."


class ScopeMissing(KitError):
    code = "kit.scope_missing"
    status = 403
    reason = "The access token does not carry the scope that this needs."
    fix = "Make a token with that scope in Security."


class ReadOnly(KitError):
    code = "kit.read_only"
    status = 403
    reason = "The access token may read and not write."
    fix = "Make a token with a write scope in Security."


class CallerSigner:
    """Mint caller tokens. Only forward-auth holds the key."""

    def __init__(self, private_key_pem: str, clock: Clock | None = None) -> None:
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        self._key: Any = load_pem_private_key(private_key_pem.encode(), password=None)
        self._clock = clock or Clock()

    def sign(self, caller: Caller, ttl_seconds: int = CALLER_TTL_SECONDS_MAX) -> str:
        """Return a token for `caller` that lives at most five minutes."""
        import jwt

        now = self._clock.now()
        ttl = min(ttl_seconds, CALLER_TTL_SECONDS_MAX)
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": str(caller.subject),
            "iat": now,
            "exp": now + timedelta(seconds=ttl),
            "caller": caller.model_dump(mode="json"),
        }
        return jwt.encode(claims, self._key, algorithm=ALGORITHM)


class CallerVerifier:
    """Verify caller tokens; the last thousand are remembered until they expire."""

    def __init__(self, public_key_pem: str, clock: Clock | None = None) -> None:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        from cryptography.hazmat.primitives.serialization import load_pem_public_key

        self._key: Any = load_pem_public_key(public_key_pem.encode())
        if not isinstance(self._key, Ed25519PublicKey):
            # It would refuse everybody, one by one; better that the service does not start.
            raise ValueError("The key of callers is not an Ed25519 public key.")  # noqa: TRY004
        self._clock = clock or Clock()
        self._known: OrderedDict[bytes, tuple[Caller, datetime]] = OrderedDict()

    def verify(self, token: str) -> Caller:
        """Return the caller that `token` speaks for. Raises CallerInvalid."""
        if len(token) > TOKEN_CHARS_MAX:
            raise CallerInvalid()
        # The cache keeps a digest: a heap dump must not hand out live tokens.
        key = hashlib.blake2b(token.encode(), digest_size=32).digest()
        now = self._clock.now()
        known = self._known.get(key)
        if known is not None:
            caller, expires_at = known
            if now < expires_at:
                self._known.move_to_end(key)
                return caller
            del self._known[key]
        caller, expires_at = self._decode(token, now)
        self._known[key] = (caller, expires_at)
        if len(self._known) > CACHE_MAX:
            self._known.popitem(last=False)
        return caller

    def _decode(self, token: str, now: datetime) -> tuple[Caller, datetime]:
        import jwt

        try:
            # Times are checked below against our own clock, with a ceiling on the life of a token.
            claims = jwt.decode(
                token,
                self._key,
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                issuer=ISSUER,
                options={
                    "require": ["exp", "iat", "sub", "aud", "iss"],
                    "verify_exp": False,
                    "verify_iat": False,
                    "verify_nbf": False,
                },
            )
            caller = Caller.model_validate(claims["caller"])
            issued_at = datetime.fromtimestamp(int(claims["iat"]), UTC)
            expires_at = datetime.fromtimestamp(int(claims["exp"]), UTC)
        except (jwt.PyJWTError, ValidationError, KeyError, TypeError, ValueError, OverflowError):
            raise CallerInvalid() from None
        alive = issued_at - timedelta(seconds=CLOCK_SKEW_SECONDS) <= now < expires_at
        short = expires_at - issued_at <= timedelta(seconds=CALLER_TTL_SECONDS_MAX)
        if not alive or not short or claims["sub"] != str(caller.subject):
            raise CallerInvalid()
        return caller, expires_at


class CallerMiddleware:
    """Begin every request acting for nobody.

    A server may start a pipelined request from the task of the one before it, and a copied context would lend
    the first caller's token to the second.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with acting_for_nobody():
            await self.app(scope, receive, send)


async def caller(connection: HTTPConnection) -> Caller:
    """FastAPI dependency: the verified caller of this request. Raises CallerMissing or CallerInvalid.

    Needs `create_app(..., verifier=CallerVerifier(...))`.
    """
    tokens = connection.headers.getlist(CALLER_HEADER)
    if not tokens:
        raise CallerMissing()
    if len(tokens) > 1:
        # Two headers mean that somebody tries to have one checked and the other believed.
        raise CallerInvalid()
    verifier: CallerVerifier = connection.app.state.verifier
    verified = verifier.verify(tokens[0])
    act_for(tokens[0])
    return verified


def require_scope(scope: str) -> Callable[[HTTPConnection], Awaitable[Caller]]:
    """FastAPI dependency: the verified caller, who holds `scope`; one that writes refuses a read-only caller.

    Raises CallerMissing, CallerInvalid, ScopeMissing, ReadOnly.
    """

    async def scoped(connection: HTTPConnection) -> Caller:
        verified = await caller(connection)
        if not verified.may(scope):
            raise ScopeMissing(f"The access token does not carry {scope}.")
        if verified.read_only and scope.endswith(":write"):
            raise ReadOnly()
        return verified

    return scoped
