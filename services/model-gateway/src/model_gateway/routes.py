"""HTTP -> use cases, in OpenAI's shapes."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route as HttpRoute

from model_gateway.call import Call
from model_gateway.catalogue import Catalogue
from model_gateway.desk import Desk, Work
from model_gateway.endpoint import Endpoint
from model_gateway.gone import ClientGone, until_gone
from model_gateway.streamed import Streamed
from model_gateway.terms import Terms, read_class, read_name, read_tier
from model_gateway.ways import NO_OFFERS, Offers, Way, choose, find_model, is_off, ways_of

TIER_HEADER, CLASS_HEADER = "x-lares-max-tier", "x-lares-class"
SERVICE_HEADER, AGENT_HEADER = "x-lares-service", "x-lares-agent"
CLIENT_GONE_STATUS = 499  # nobody reads it; the metrics do


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
    offers: Callable[[], Offers] = _none_offered

    def routes(self) -> list[HttpRoute]:
        """Return the service's own routes."""
        return [
            *(
                HttpRoute(f"/v1{endpoint.path}", self._handler(endpoint), methods=["POST"])
                for endpoint in self.endpoints
            ),
            HttpRoute("/v1/models", self.models, methods=["GET"]),
        ]

    def _handler(self, endpoint: Endpoint[Any]) -> Callable[[Request], Any]:
        async def handle(request: Request) -> Response:
            return await self.answer(endpoint, request)

        return handle

    async def answer(self, endpoint: Endpoint[Any], request: Request) -> Response:
        """Answer a request to one of the endpoints."""
        form = await endpoint.receive(request)
        terms = self._terms(request)
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
        work = Work(call, endpoint, ask, ways)
        if ask.stream:
            return Streamed(self.desk, work, self.keep_alive_seconds)
        try:
            whole = await until_gone(request.receive, self.desk.whole(work))
        except ClientGone:
            return Response(status_code=CLIENT_GONE_STATUS)
        headers = {**whole.headers, "x-lares-way": call.way or ""}
        return Response(whole.body, media_type=whole.content_type, headers=headers)

    def _terms(self, request: Request) -> Terms:
        every = request.headers.getlist
        service = read_name(every(SERVICE_HEADER), "X-Lares-Service")
        return Terms(
            tier=read_tier(every(TIER_HEADER)),
            service_class=read_class(every(CLASS_HEADER), person=False),
            caller=f"service:{service}" if service else "unknown",
            service=service,
            agent=read_name(every(AGENT_HEADER), "X-Lares-Agent"),
        )

    async def models(self, _: Request) -> JSONResponse:
        """`GET /v1/models`: what can be asked, where it runs and whether it answers."""
        return JSONResponse(
            {
                "object": "list",
                "data": [self._model(name) for name in sorted(self.catalogue.models)],
            }
        )

    def _model(self, name: str) -> dict[str, Any]:
        model = self.catalogue.models[name]
        ways = ways_of(self.catalogue, name, self.offers())
        first = ways[0]
        enabled = any(not is_off(name, model, way, self.disabled) for way in ways)
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
            "enabled": enabled,
            "available": enabled and any(self._available(way) for way in ways),
        }

    def _available(self, way: Way) -> bool:
        if way.gpu is None:
            return self.desk.backends[way.name].available
        return (offer := self.offers().get(way.gpu)) is not None and offer.available
