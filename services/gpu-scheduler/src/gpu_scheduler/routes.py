"""HTTP -> use case."""

from __future__ import annotations

from datetime import UTC, datetime

from contracts.gpustatus import (
    AgentList,
    CardHistory,
    CardMinute,
    DecisionList,
    Models,
    OrderTaken,
    TroubleList,
)
from contracts.scheduling import (
    QUEUE_PATH,
    AgentBeat,
    Decision,
    LeaseAsk,
    LeaseBeat,
    Order,
    Part,
    Status,
)
from kit.errors import InvalidRequest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket

from gpu_scheduler.asking import answer, changer, owner, read_body, reader, whole_number
from gpu_scheduler.errors import LeaseUnknown, Starting
from gpu_scheduler.house import House
from gpu_scheduler.troubles import troubles
from gpu_scheduler.views import Views

SECONDS_LAST = 253_402_300_799  # of the year 9999
CARD_CHARS_MAX = 128


def _house(request: Request) -> House:
    house: House = request.state.house
    if not house.gateways.ready:
        raise Starting(Retry_After="1")
    return house


def _views(house: House) -> Views:
    return Views(house.loop.state, house.fleet.said(), house.clock.monotonic(), house.clock.now())


async def queue(socket: WebSocket) -> None:
    """`/v1/queue`: a gateway's connection."""
    house: House = socket.state.house
    await house.gateways.serve(socket)


async def status(request: Request) -> Response:
    """`GET /v1/status`: everything, as it is. Looking changes nothing."""
    await reader(request)
    house = _house(request)
    state, now, views = house.loop.state, house.clock.monotonic(), _views(house)
    return answer(
        Status(
            epoch=state.epoch,
            paused=state.paused,
            at=house.clock.now(),
            nodes=views.nodes(house.fleet.names()),
            cards=views.cards(),
            models=views.models(),
            instances=views.instances(),
            queue=views.queue(house.placing.places(state, now)),
            queue_total=state.queued_by_class.total(),
            leases=tuple(house.leases.of(state, now)),
            agents=tuple(house.agents.all()),
            decisions=house.journal.shown(),
        )
    )


async def wrong(request: Request) -> Response:
    """`GET /v1/troubles`: what a person should look at."""
    await reader(request)
    house = _house(request)
    cards, now = _views(house).cards(), house.clock.monotonic()
    found = troubles(house.loop.state, house.fleet.names(), cards, now)
    return answer(TroubleList(troubles=found))


async def models(request: Request) -> Response:
    """`GET /v1/models`: every model of every node."""
    await reader(request)
    return answer(Models(models=_views(_house(request)).models()))


async def history(request: Request) -> Response:
    """`GET /v1/history`: the cards' minutes, oldest first; of every `step` minutes the fullest."""
    await reader(request)
    house = _house(request)
    now = int(house.clock.now().timestamp())
    since = whole_number(request, "since", now - 3600, 0, SECONDS_LAST)
    until = whole_number(request, "until", now + 1, 0, SECONDS_LAST)
    limit = whole_number(request, "limit", 2000, 1, 12_000)
    step = whole_number(request, "step", 1, 1, 1440)
    card = request.query_params.get("card")
    if card is not None and not 0 < len(card) <= CARD_CHARS_MAX:
        raise InvalidRequest("card must be the id of a card.")
    rows = await house.store.minutes(
        datetime.fromtimestamp(since, UTC), datetime.fromtimestamp(until, UTC), card, limit, step
    )
    return answer(
        CardHistory(
            minutes=tuple(
                CardMinute(
                    card=row.card,
                    node=row.node,
                    at=row.at,
                    total_mib=row.total_mib,
                    used_mib=row.used_mib,
                    booked_mib=row.booked_mib,
                    utilisation_percent=row.utilisation_percent,
                    watts=row.watts,
                    parts=tuple(Part.model_validate(part) for part in row.parts),
                )
                for row in rows
            )
        )
    )


async def decisions(request: Request) -> Response:
    """`GET /v1/decisions`: what was decided, newest first, with its reason."""
    await reader(request)
    house = _house(request)
    now = int(house.clock.now().timestamp())
    before = whole_number(request, "before", now + 1, 0, SECONDS_LAST)
    limit = whole_number(request, "limit", 100, 1, 1000)
    rows = await house.store.decisions(datetime.fromtimestamp(before, UTC), limit)
    return answer(
        DecisionList(
            decisions=tuple(
                Decision(at=row.at, verb=row.verb, on=row.subject, why=row.why) for row in rows
            )
        )
    )


async def ask_lease(request: Request) -> Response:
    """`POST /v1/leases`: 201 when it is held, 202 with its place while it waits."""
    asking = await changer(request)
    ask = await read_body(request, LeaseAsk)
    lease = await _house(request).leases.ask(asking.name, ask)
    return answer(lease, 201 if lease.state == "held" else 202)


def _lease_id(request: Request) -> str:
    told = str(request.path_params["id"])
    if not told.isalnum() or len(told) > 64:
        raise LeaseUnknown()
    return told


async def look_lease(request: Request) -> Response:
    """`GET /v1/leases/{id}`: for its holder and the owner. Asking keeps a place in the queue."""
    asking = await changer(request)
    holder = None if asking.is_owner else asking.name
    return answer(_house(request).leases.look(holder, _lease_id(request)))


async def renew_lease(request: Request) -> Response:
    """`PUT /v1/leases/{id}`: its holder lives."""
    asking = await changer(request)
    beat = await read_body(request, LeaseBeat)
    return answer(await _house(request).leases.renew(asking.name, _lease_id(request), beat.fence))


async def release_lease(request: Request) -> Response:
    """`DELETE /v1/leases/{id}`: by its holder, or by the owner."""
    asking = await changer(request)
    holder = None if asking.is_owner else asking.name
    await _house(request).leases.release(holder, _lease_id(request))
    return Response(status_code=204)


async def agents(request: Request) -> Response:
    """`GET /v1/agents`."""
    await reader(request)
    return answer(AgentList(agents=tuple(_house(request).agents.all())))


async def look_agent(request: Request) -> Response:
    """`GET /v1/agents/{id}`."""
    await reader(request)
    return answer(_house(request).agents.look(request.path_params["id"]))


async def beat_agent(request: Request) -> Response:
    """`PUT /v1/agents/{id}`: registers an agent, and says that it lives."""
    asking = await changer(request)
    beat = await read_body(request, AgentBeat)
    house = _house(request)
    return answer(await house.agents.beat(asking.name, request.path_params["id"], beat.ttl_seconds))


async def leave_agent(request: Request) -> Response:
    """`DELETE /v1/agents/{id}`: its leases and places go."""
    asking = await changer(request)
    caller = None if asking.is_owner else asking.name
    await _house(request).agents.leave(caller, request.path_params["id"])
    return Response(status_code=204)


async def order(request: Request) -> Response:
    """`POST /v1/orders`: the owner alone."""
    await owner(request)
    told = await read_body(request, Order)
    await _house(request).orders.take(told)
    return answer(OrderTaken(order=told), 202)


ROUTES: list[BaseRoute] = [
    WebSocketRoute(QUEUE_PATH, queue),
    Route("/v1/status", status, methods=["GET"]),
    Route("/v1/troubles", wrong, methods=["GET"]),
    Route("/v1/models", models, methods=["GET"]),
    Route("/v1/history", history, methods=["GET"]),
    Route("/v1/decisions", decisions, methods=["GET"]),
    Route("/v1/leases", ask_lease, methods=["POST"]),
    Route("/v1/leases/{id}", look_lease, methods=["GET"]),
    Route("/v1/leases/{id}", renew_lease, methods=["PUT"]),
    Route("/v1/leases/{id}", release_lease, methods=["DELETE"]),
    Route("/v1/agents", agents, methods=["GET"]),
    Route("/v1/agents/{id}", look_agent, methods=["GET"]),
    Route("/v1/agents/{id}", beat_agent, methods=["PUT"]),
    Route("/v1/agents/{id}", leave_agent, methods=["DELETE"]),
    Route("/v1/orders", order, methods=["POST"]),
]
