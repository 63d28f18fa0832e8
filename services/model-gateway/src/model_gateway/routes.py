"""HTTP -> use cases, in OpenAI's shapes."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from kit.auth import CallerVerifier
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route as HttpRoute

from model_gateway.call import Call
from model_gateway.callers import read_terms
from model_gateway.catalogue import KINDS, Catalogue, Model
from model_gateway.desk import Desk, Work
from model_gateway.endpoint import Endpoint, Form
from model_gateway.errors import RequestSlow
from model_gateway.gone import ClientGone, until_gone
from model_gateway.streamed import Streamed
from model_gateway.ways import NO_OFFERS, Offers, Way, choose, find_model, is_off, ways_of

CHARS_PER_TOKEN = 4  # as models read on average; only an estimate is made of it
PICTURE_TOKENS = 1024  # from 256 to some thousands, by the model and the picture's size
BODY_SECONDS_MAX = 60.0
CLIENT_GONE_STATUS = 499  # nobody reads it; the metrics do


async def _received(endpoint: Endpoint[Any], request: Request) -> Form:
    try:
        # Room for large bodies is taken from the beginning: whoever dawdles keeps it from others.
        async with asyncio.timeout(BODY_SECONDS_MAX):
            return await endpoint.receive(request)
    except TimeoutError:
        raise RequestSlow(
            f"The request's body was not there after {BODY_SECONDS_MAX:g} s."
        ) from None


def _none_offered() -> Offers:
    return NO_OFFERS


@dataclass
class Api:
    """The routes and what they need."""

    catalogue: Catalogue
    desk: Desk
    disabled: Collection[str]
    endpoints: Sequence[Endpoint[Any]]
    keep_alive_seconds: float
    verifier: CallerVerifier | None = None
    offers: Callable[[], Offers] = _none_offered

    def routes(self) -> list[HttpRoute]:
        """Return the service's own routes."""
        return [
            *(
                HttpRoute(address, self._handler(endpoint), methods=["POST"])
                for endpoint in self.endpoints
                for address in (f"/v1{endpoint.path}", *endpoint.aliases)
            ),
            HttpRoute("/v1/models", self.models, methods=["GET"]),
            # A name may hold slashes.
            HttpRoute("/v1/models/{name:path}", self.model, methods=["GET"]),
        ]

    def _handler(self, endpoint: Endpoint[Any]) -> Callable[[Request], Any]:
        async def handle(request: Request) -> Response:
            return await self.answer(endpoint, request)

        return handle

    async def answer(self, endpoint: Endpoint[Any], request: Request) -> Response:
        """Answer a request to one of the endpoints."""
        form = await _received(endpoint, request)
        terms = read_terms(request.headers, self.verifier)
        name = form.fields.get("model")
        ask = endpoint.read(form, find_model(self.catalogue, name, endpoint.kinds))
        ways = choose(
            self.catalogue,
            str(name),
            ask.needs,
            tier=terms.tier,
            service_class=terms.service_class,
            disabled=self.disabled,
            offers=self.offers(),
        )
        call = Call(endpoint.path, ways[0].model, terms)
        needs = ask.needs
        tokens = needs.prompt_chars // CHARS_PER_TOKEN + needs.pictures * PICTURE_TOKENS
        call.prompt_tokens = tokens or None
        work = Work(call, endpoint, ask, ways)
        if ask.stream:
            return Streamed(self.desk, work, self.keep_alive_seconds)
        try:
            whole = await until_gone(request.receive, self.desk.whole(work))
        except ClientGone:
            return Response(status_code=CLIENT_GONE_STATUS)
        headers = {**whole.headers, "x-lares-way": call.way or ""}
        return Response(whole.body, media_type=whole.content_type, headers=headers)

    async def models(self, _: Request) -> JSONResponse:
        """`GET /v1/models`: what can be asked, where it runs and whether it answers."""
        return JSONResponse(
            {
                "object": "list",
                "data": [self._model(name) for name in sorted(self.catalogue.models)],
            }
        )

    async def model(self, request: Request) -> JSONResponse:
        """`GET /v1/models/{name}`: one of them. Raises ModelUnknown."""
        name = request.path_params["name"]
        find_model(self.catalogue, name, KINDS)
        return JSONResponse(self._model(name))

    def _model(self, name: str) -> dict[str, Any]:
        model = self.catalogue.models[name]
        ways = ways_of(self.catalogue, name, self.offers())
        first, routes = ways[0], [self._route(name, model, way) for way in ways]
        return {
            "id": name,
            "object": "model",
            "created": 0,
            "owned_by": "lares" if first.in_house else first.name,
            "kind": model.kind,
            "in_house": first.in_house,
            "max_tier": first.tier_limit,
            "context_tokens": first.context_tokens,
            "fit_for": list(model.fit_for),
            "enabled": any(route["enabled"] for route in routes),
            "available": any(route["available"] for route in routes),
            "routes": routes,
        }

    def _route(self, name: str, model: Model, way: Way) -> dict[str, Any]:
        enabled = not is_off(name, model, way, self.disabled)
        shown: dict[str, Any] = {
            "way": way.name,
            "in_house": way.in_house,
            "max_tier": way.tier_limit,
            "context_tokens": way.context_tokens,
            "enabled": enabled,
        }
        if way.gpu is None:
            return {**shown, "available": enabled and self.desk.backends[way.name].available}
        offer = self.offers().get(way.gpu)
        if offer is None:
            return {**shown, "available": False, "why": "no GPU node offers it now"}
        return {
            **shown,
            "available": enabled and offer.available,
            "resident": offer.resident,
            "expected_wait_seconds": offer.expected_wait_seconds,
            "why": offer.why,
        }
