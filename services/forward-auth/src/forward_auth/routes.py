"""HTTP -> use case, for the services inside: is this token good, does this session still live."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from contracts.identity import Introspection, IntrospectRequest
from kit import trace
from kit.clock import Clock
from kit.errors import InvalidRequest
from kit.pool import DataUnavailable
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from forward_auth.account import Account
from forward_auth.callers import (
    PAT_MARK,
    Mint,
    caller_of_session,
    caller_of_token,
    secret_matches,
    split_token,
)
from forward_auth.errors import Unavailable
from forward_auth.memory import Memory
from forward_auth.store import Refusal, Store, TokenRow

TOUCH_AFTER = timedelta(minutes=1)
INACTIVE = {"active": False}
Body = TypeVar("Body", bound=BaseModel)


class SessionRequest(BaseModel):
    """The caller's token that a stream was opened with, or the last one it was given."""

    model_config = ConfigDict(extra="forbid")
    caller: str = Field(min_length=1, max_length=4096)


class Inside:
    """What services ask about tokens and sessions."""

    def __init__(
        self, store: Store, mint: Mint, memory: Memory, account: Account, clock: Clock
    ) -> None:
        self._store = store
        self._mint = mint
        self._memory = memory
        self._account = account
        self._clock = clock

    def routes(self) -> list[Route]:
        """Return the addresses for services."""
        return [
            Route("/v1/introspect", self.introspect, methods=["POST"]),
            Route("/v1/session", self.session, methods=["POST"]),
        ]

    async def introspect(self, request: Request) -> JSONResponse:
        """Say whether a personal access token is good, and for whom. A bad one learns nothing more."""
        asked = await _body(request, IntrospectRequest)
        parts = split_token(asked.token)
        if parts is None:
            return JSONResponse(INACTIVE)
        token_id, secret = parts
        row = await self._found(token_id)
        if not secret_matches(row, secret) or row is None:
            self._account.add(_refused_token(token_id, row))
            return JSONResponse(INACTIVE)
        if row.last_used_at is None or datetime.now(UTC) - row.last_used_at > TOUCH_AFTER:
            await _or_unavailable(self._store.touch_token(token_id))
        caller = caller_of_token(row)
        token = self._mint.token_for(caller)
        expires = min(self._mint.expiry(caller), int(row.expires_at.timestamp()))
        return JSONResponse(
            Introspection(active=True, caller=token, scopes=row.scopes, exp=expires).model_dump(
                mode="json"
            )
        )

    async def session(self, request: Request) -> JSONResponse:
        """Say whether the session or token behind a caller still lives, with a fresh caller's token."""
        asked = await _body(request, SessionRequest)
        caller = self._mint.read(asked.caller)
        if caller.kind == "token":
            row = await self._found(caller.session_id.removeprefix(PAT_MARK))
            alive = caller_of_token(row) if row else None
        else:
            session = await _or_unavailable(self._store.session(caller.session_id))
            alive = caller_of_session(session) if session else None
        if alive is None or alive.subject != caller.subject:
            return JSONResponse(INACTIVE)
        token = self._mint.token_for(alive)
        return JSONResponse({"active": True, "caller": token, "exp": self._mint.expiry(alive)})

    async def _found(self, token_id: str) -> TokenRow | None:
        return await _or_unavailable(self._store.token(token_id))


async def _or_unavailable(work: Any) -> Any:
    try:
        async with asyncio.timeout(2):
            return await work
    except (DataUnavailable, TimeoutError) as error:
        raise Unavailable(Retry_After="2") from error


async def _body(request: Request, model: type[Body]) -> Body:
    try:
        return model.model_validate_json(await request.body())
    except ValidationError as error:
        raise InvalidRequest from error


def _refused_token(token_id: str, row: TokenRow | None) -> Refusal:
    return Refusal(
        event="token.refused",
        subject=row.subject if row else None,
        session_id="",
        client_ip=None,
        user_agent="",
        detail={"token": token_id},
        correlation_id=trace.correlation_id(),
    )
