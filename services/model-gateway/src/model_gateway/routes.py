"""HTTP -> use cases, in OpenAI's shapes."""

import json
from collections.abc import Collection
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route as HttpRoute
from starlette.types import Receive, Scope, Send

from model_gateway.catalogue import Catalogue
from model_gateway.desk import Desk
from model_gateway.domain import (
    ChatAsk,
    Fields,
    Kind,
    Route,
    choose,
    is_off,
    read_chat,
    read_embeddings,
    read_tier,
)
from model_gateway.errors import RequestInvalid
from model_gateway.gone import ClientGone, until_gone

TIER_HEADER = "x-lares-max-tier"
CLIENT_GONE_STATUS = 499  # nobody reads it; the metrics do


class ChatStream(Response):
    """An answer that is sent while it is made.

    The status waits for the first event: until then a failure is a status, as without streaming.
    """

    media_type = "text/event-stream"

    def __init__(self, desk: Desk, route: Route, ask: ChatAsk) -> None:
        super().__init__(headers={"cache-control": "no-store", "x-accel-buffering": "no"})
        # The length of a stream is not known.
        self.raw_headers = [
            (name, value) for name, value in self.raw_headers if name != b"content-length"
        ]
        self._desk, self._route, self._ask = desk, route, ask

    async def __call__(self, _: Scope, receive: Receive, send: Send) -> None:
        """Send the stream, or raise a coded error before its first byte."""
        started = False

        async def emit(event: bytes) -> None:
            nonlocal started
            if not started:
                started = True
                await send(
                    {
                        "type": "http.response.start",
                        "status": self.status_code,
                        "headers": self.raw_headers,
                    }
                )
            await send({"type": "http.response.body", "body": event, "more_body": True})

        try:
            await until_gone(receive, self._desk.stream(self._route, self._ask, emit))
        except ClientGone:
            return
        await send({"type": "http.response.body", "body": b"", "more_body": False})


@dataclass(frozen=True)
class Api:
    """The routes and what they need."""

    catalogue: Catalogue
    desk: Desk
    disabled: Collection[str]

    def routes(self) -> list[HttpRoute]:
        """Return the service's own routes."""
        return [
            HttpRoute("/v1/chat/completions", self.chat, methods=["POST"]),
            HttpRoute("/v1/embeddings", self.embeddings, methods=["POST"]),
            HttpRoute("/v1/models", self.models, methods=["GET"]),
        ]

    async def chat(self, request: Request) -> Response:
        """`POST /v1/chat/completions`."""
        fields = await _fields(request)
        route = self._choose(request, fields, "chat")
        ask = read_chat(fields, route)
        if ask.stream:
            return ChatStream(self.desk, route, ask)
        try:
            return JSONResponse(await until_gone(request.receive, self.desk.chat(route, ask)))
        except ClientGone:
            return Response(status_code=CLIENT_GONE_STATUS)

    async def embeddings(self, request: Request) -> Response:
        """`POST /v1/embeddings`."""
        fields = await _fields(request)
        route = self._choose(request, fields, "embeddings")
        ask = read_embeddings(fields, route)
        try:
            return JSONResponse(await until_gone(request.receive, self.desk.embed(route, ask)))
        except ClientGone:
            return Response(status_code=CLIENT_GONE_STATUS)

    async def models(self, _: Request) -> JSONResponse:
        """`GET /v1/models`: what can be asked, where it runs and whether it answers."""
        return JSONResponse(
            {
                "object": "list",
                "data": [self._model(name) for name in sorted(self.catalogue.models)],
            }
        )

    def _model(self, name: str) -> Fields:
        model = self.catalogue.models[name]
        backend = self.catalogue.backends[model.backend]
        enabled = not is_off(name, model, backend, self.disabled)
        return {
            "id": name,
            "object": "model",
            "created": 0,
            "owned_by": "lares" if backend.in_house else model.backend,
            "kind": model.kind,
            "in_house": backend.in_house,
            "max_tier": backend.tier_limit,
            "context_tokens": model.context_tokens,
            "fit_for": list(model.fit_for),
            "enabled": enabled,
            "available": enabled and self.desk.upstreams[model.backend].available,
        }

    def _choose(self, request: Request, fields: Fields, kind: Kind) -> Route:
        tier = read_tier(request.headers.getlist(TIER_HEADER))
        return choose(self.catalogue, fields.get("model"), kind, tier, self.disabled)


async def _fields(request: Request) -> Fields:
    body = await request.body()
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        raise RequestInvalid("The body is not JSON.") from None
    if not isinstance(fields, dict):
        raise RequestInvalid("The body is not a JSON object.")
    return fields
