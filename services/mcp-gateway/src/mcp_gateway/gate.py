"""Between the token check and the MCP server: how much, how often, and whether the token's scopes reach that far.

The MCP library answers an under-scoped call with HTTP 200 and an error inside. Here it is a 403 that names the
scope, before anything runs. The library's own check, memory's and the database's stand behind it all the same.
"""

from __future__ import annotations

import json
import math

from kit.clock import Clock
from kit.errors import BodyTooLarge, KitError, response
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mcp_gateway.domain import Allowance, needed_scopes
from mcp_gateway.errors import BodyRefused, Crowded, InsufficientScope, RateLimited


class Gate:
    """ASGI middleware; it must stand inside authentication. Counts on `app.state.numbers`."""

    def __init__(
        self,
        app: ASGIApp,
        allowance: Allowance,
        message_bytes_max: int,
        clock: Clock | None = None,
    ) -> None:
        self.app = app
        self._allowance = allowance
        self._bytes_max = message_bytes_max
        self._clock = clock or Clock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        user = scope.get("user") if scope["type"] == "http" else None
        if not isinstance(user, AuthenticatedUser):
            # Nobody is known: the routes behind answer 401, and nothing is read for a stranger.
            await self.app(scope, receive, send)
            return
        who = user.access_token.client_id
        entered = False
        try:
            self._pace(who)
            entered = True
            body = await self._body(receive)
            self._check_scopes(body, user.access_token.scopes)
            await self.app(scope, _replay(body, receive), send)
        except KitError as error:
            scope["app"].state.numbers.refused.labels(error.code).inc()
            await response(error)(scope, receive, send)
        finally:
            if entered:
                self._allowance.leave(who)

    def _pace(self, who: str) -> None:
        now = self._clock.monotonic()
        wait = self._allowance.wait_seconds(who, now)
        if wait > 0:
            raise RateLimited(Retry_After=str(math.ceil(wait)))
        if not self._allowance.enter(who, now):
            raise Crowded(Retry_After="1")

    async def _body(self, receive: Receive) -> bytes:
        parts: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                break
            part = message.get("body", b"")
            size += len(part)
            if size > self._bytes_max:
                raise BodyTooLarge(f"An MCP message has at most {self._bytes_max} bytes.")
            parts.append(part)
            if not message.get("more_body"):
                break
        return b"".join(parts)

    def _check_scopes(self, body: bytes, held: list[str]) -> None:
        if not body:
            return
        try:
            needed = needed_scopes(json.loads(body))
        except (ValueError, RecursionError):
            raise BodyRefused() from None
        missing = sorted(needed - set(held))
        if missing:
            raise InsufficientScope.of(missing)


def _replay(body: bytes, receive: Receive) -> Receive:
    """Hand the body that was checked to the server, then whatever comes after it."""
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
