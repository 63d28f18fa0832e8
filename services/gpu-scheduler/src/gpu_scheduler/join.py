"""`POST /node/join`: the one door through which a GPU node comes, and the one path that the edge may ask for.

Whoever holds a token of the owner's, fresh and unused, and comes from the address it was made for, gets a certificate
for the key they hold. Nothing else of this service can be asked from the edge, whatever the edge is made to do.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from contracts.gpunode import JOIN_PATH, JoinAnswer, JoinAsk
from kit.clock import Clock
from kit.errors import InvalidRequest, NotFound, response
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from gpu_scheduler.authority import Authority
from gpu_scheduler.join_errors import JoinsTooOften
from gpu_scheduler.join_store import JoinStore

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

# Set by the edge, from the connection itself; what a client says under this name is dropped there.
PEER_HEADER = "X-Lares-Peer"
ATTEMPTS_PER_MINUTE_MAX = 10
ATTEMPTS_OF_ALL_MAX = 60
PEERS_REMEMBERED_MAX = 256


class EdgeOnly:
    """Keep the edge to the one path that is for it, and that path to the edge."""

    def __init__(self, app: ASGIApp, caddy_address: str) -> None:
        self.app = app
        self._caddy_address = caddy_address

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            client = scope.get("client")
            from_edge = bool(client) and client[0] == self._caddy_address
            if from_edge != (scope["path"] == JOIN_PATH):
                if scope["type"] == "websocket":
                    await send({"type": "websocket.close", "code": 4404})
                    return
                await response(NotFound())(scope, receive, send)
                return
        await self.app(scope, receive, send)


class Attempts:
    """At most ten attempts a minute from one address, and sixty from all together."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._of_all: deque[float] = deque()
        self._of: OrderedDict[str, deque[float]] = OrderedDict()

    def count(self, peer: str) -> None:
        """Note one more. Raises JoinsTooOften, and then it does not count."""
        now = self._clock.monotonic()
        own = self._of.pop(peer, deque[float]())
        self._of[peer] = own
        while len(self._of) > PEERS_REMEMBERED_MAX:
            self._of.popitem(last=False)
        for times, most in (
            (own, ATTEMPTS_PER_MINUTE_MAX),
            (self._of_all, ATTEMPTS_OF_ALL_MAX),
        ):
            while times and now - times[0] >= 60.0:
                times.popleft()
            if len(times) >= most:
                raise JoinsTooOften(Retry_After="60")
        own.append(now)
        self._of_all.append(now)


def routes(
    books: Callable[[Request], JoinStore],
    authority: Authority,
    clock: Clock,
    joined: Callable[[Request], Awaitable[None]],
) -> list[BaseRoute]:
    """Return the route to mount. `books` finds the store of the running service; `joined` is awaited before the answer."""
    attempts = Attempts(clock)

    async def join(request: Request) -> Response:
        peer = request.headers.get(PEER_HEADER, "")
        attempts.count(peer)
        try:
            ask = JoinAsk.model_validate_json(await request.body())
        except ValidationError:
            # Without its values: one of them is a token.
            raise InvalidRequest("The request is not what a node that joins sends.") from None
        _, issued = await books(request).join(ask, peer, authority)
        await joined(request)
        answer = JoinAnswer(
            node=ask.node,
            certificate=issued.certificate,
            authority=authority.certificate,
            expires_at=issued.expires_at,
        )
        return Response(
            answer.model_dump_json(),
            media_type="application/json",
            headers={"cache-control": "no-store"},
        )

    return [Route(JOIN_PATH, join, methods=["POST"])]
