"""The cards, what runs and waits on them, what the owner orders, and what it all took: passed on."""

from datetime import date
from typing import Annotated

from contracts.accounts import BUDGETS_PATH, USAGE_PATH, Budgets, Usage
from contracts.gpustatus import CardHistory, DecisionList, OrderTaken
from contracts.scheduling import Order, RequestId, Status
from fastapi import APIRouter, Path, Query, Response

from dashboard.neighbours import passed_on, with_query
from dashboard.routes.access import Behind, Person

router = APIRouter(prefix="/api/inference", tags=["inference"])
Unix = Annotated[int | None, Query(ge=0, le=100_000_000_000)]


@router.get("/status", response_model=Status)
async def status(_: Person, behind: Behind) -> Response:
    """Return the cards, the queue, the models, the leases and the agents, as they are now."""
    return passed_on(await behind.scheduler.get("/v1/status"))


@router.get("/history", response_model=CardHistory)
async def history(
    _: Person,
    behind: Behind,
    since: Unix = None,
    until: Unix = None,
    card: Annotated[str | None, Query(max_length=128)] = None,
    limit: Annotated[int, Query(ge=1, le=2000)] = 360,
    step: Annotated[int | None, Query(ge=1, le=1440)] = None,
) -> Response:
    """Return what each card held, oldest first: of every `step` minutes the fullest. Times are Unix seconds."""
    path = with_query("/v1/history", since=since, until=until, card=card, limit=limit, step=step)
    return passed_on(await behind.scheduler.get(path))


@router.get("/decisions", response_model=DecisionList)
async def decisions(
    _: Person,
    behind: Behind,
    before: Unix = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 30,
) -> Response:
    """List what was decided and why, newest first."""
    path = with_query("/v1/decisions", before=before, limit=limit)
    return passed_on(await behind.scheduler.get(path))


@router.post("/orders", response_model=OrderTaken)
async def order(body: Order, _: Person, behind: Behind) -> Response:
    """Load, send to sleep, evict, pin or ban a model; drain a node; stop or resume all of it. For the owner."""
    reply = await behind.scheduler.post("/v1/orders", json=body.model_dump(exclude_none=True))
    return passed_on(reply)


@router.delete("/leases/{lease_id}")
async def release(lease_id: Annotated[RequestId, Path()], _: Person, behind: Behind) -> Response:
    """End a lease, whoever holds it. For the owner."""
    return passed_on(await behind.scheduler.request("DELETE", f"/v1/leases/{lease_id}"))


@router.get("/usage", response_model=Usage)
async def usage(
    _: Person,
    behind: Behind,
    since: date | None = None,
    until: date | None = None,
    by: Annotated[str | None, Query(pattern=r"^[a-z_]+(,[a-z_]+){0,4}$")] = None,
) -> Response:
    """Return the calls, tokens, seconds and money of the days, by what `by` names. For the owner."""
    path = with_query(USAGE_PATH, since=since, until=until, by=by)
    return passed_on(await behind.models.get(path))


@router.get("/budgets", response_model=Budgets)
async def budgets(_: Person, behind: Behind) -> Response:
    """Return what is used of each budget today, and what is left. For the owner."""
    return passed_on(await behind.models.get(BUDGETS_PATH))
