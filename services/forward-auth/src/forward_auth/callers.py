"""From a session or a token to the caller that the rest of the house knows."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections import OrderedDict
from datetime import timedelta
from typing import Any

from contracts.identity import AUDIENCE, CALLER_TTL_SECONDS_MAX, ISSUER, Caller
from kit.auth import ALGORITHM, CallerSigner
from kit.clock import Clock

from forward_auth.errors import CallerRejected
from forward_auth.store import SessionRow, TokenRow

REUSE_SECONDS = 120.0
MINTED_MAX = 2048
LATE_SECONDS_MAX = 600
PAT_MARK = "pat:"
_TOKEN = re.compile(r"lares_pat_([0-9a-f]{16})_([0-9a-f]{64})")
_NOBODY = hashlib.sha256(b"nobody").hexdigest()


def session_key(cookie: str) -> str:
    """Return the hash that stands for a cookie in the database; identity writes the same."""
    return hashlib.sha256(cookie.encode()).hexdigest()[:40]


def split_token(token: str) -> tuple[str, str] | None:
    """Return a token's id and secret, or None when it is not one of ours."""
    match = _TOKEN.fullmatch(token)
    return (match[1], match[2]) if match else None


def secret_matches(row: TokenRow | None, secret: str) -> bool:
    """Compare in constant time, also when there is no such token."""
    right = hmac.compare_digest(
        row.secret_hash if row else _NOBODY, hashlib.sha256(secret.encode()).hexdigest()
    )
    return right and row is not None


def caller_of_session(row: SessionRow) -> Caller:
    """Return the person behind a session. They reach their own data as the application's role."""
    return Caller(
        subject=row.subject,
        username=row.username,
        kind="person",
        role="owner" if row.role == "owner" else "member",
        db_role="lares_app",
        aal=2 if row.aal >= 2 else 1,
        session_id=row.key,
        auth_time=row.auth_time,
    )


def caller_of_token(row: TokenRow) -> Caller:
    """Return the token's bearer: its tiers and scopes choose the database role, so the database enforces them."""
    writes = "memory:write" in row.scopes
    if "sensitive" in row.tiers:
        db_role = "lares_remote_rw" if writes else "lares_readonly"
    else:
        db_role = "lares_mcp"
    return Caller(
        subject=row.subject,
        username=row.username,
        kind="token",
        role="owner" if row.role == "owner" else "member",
        db_role=db_role,
        scopes=row.scopes,
        read_only=not writes,
        session_id=f"{PAT_MARK}{row.id}",
        auth_time=row.created_at,
    )


class Mint:
    """Signs callers. An unchanged caller gets the same token for two minutes, which the services behind recognise."""

    def __init__(self, signing_key_pem: str, clock: Clock) -> None:
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        self._signer = CallerSigner(signing_key_pem, clock)
        private: Any = load_pem_private_key(signing_key_pem.encode(), password=None)
        self._public_key: Any = private.public_key()
        self._clock = clock
        self._minted: OrderedDict[str, tuple[Caller, float, str]] = OrderedDict()

    def token_for(self, caller: Caller) -> str:
        """Return a signed token that lives for three minutes at least."""
        now = self._clock.monotonic()
        known = self._minted.get(caller.session_id)
        if known and known[0] == caller and now - known[1] < REUSE_SECONDS:
            return known[2]
        token = self._signer.sign(caller)
        self._minted[caller.session_id] = (caller, now, token)
        self._minted.move_to_end(caller.session_id)
        if len(self._minted) > MINTED_MAX:
            self._minted.popitem(last=False)
        return token

    def expiry(self, caller: Caller) -> int:
        """Return the unix time at which the caller's current token expires, rounded down."""
        known = self._minted[caller.session_id]
        age = timedelta(seconds=self._clock.monotonic() - known[1])
        return int(
            (self._clock.now() - age + timedelta(seconds=CALLER_TTL_SECONDS_MAX)).timestamp()
        )

    def read(self, token: str) -> Caller:
        """Return the caller of a token of ours, also one that expired a little ago. Raises CallerRejected.

        An open stream outlives its first token; what it may still do is asked of the database, not of the token.
        """
        import jwt
        from pydantic import ValidationError

        options: Any = {"require": ["exp", "sub", "aud", "iss"], "verify_exp": False}
        try:
            claims = jwt.decode(
                token,
                self._public_key,
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                issuer=ISSUER,
                options=options,
            )
            caller = Caller.model_validate(claims["caller"])
            late = self._clock.now().timestamp() - int(claims["exp"])
        except (jwt.PyJWTError, ValidationError, KeyError, TypeError, ValueError):
            raise CallerRejected from None
        if late > LATE_SECONDS_MAX:
            raise CallerRejected
        return caller
