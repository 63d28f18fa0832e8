"""What memories speak of: entities, facts over time, and the graph that they make."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from contracts.facts import (
    EntityEdit,
    EntityMerge,
    EntityPage,
    EntitySplit,
    EntityView,
    FactPage,
    Graph,
)
from contracts.memory import LIST_LIMIT_MAX
from fastapi import APIRouter, Query, Response

from dashboard.neighbours import passed_on, with_query
from dashboard.routes.access import Behind, Person

router = APIRouter(prefix="/api/memory", tags=["knowledge"])
Limit = Annotated[int, Query(ge=1, le=LIST_LIMIT_MAX)]
Cursor = Annotated[str | None, Query(max_length=500)]
Moment = datetime | None


def _iso(moment: Moment) -> str | None:
    return moment.isoformat() if moment else None


@router.get("/entities", response_model=EntityPage)
async def list_entities(
    _: Person,
    behind: Behind,
    query: Annotated[str | None, Query(max_length=200)] = None,
    kind: Annotated[str | None, Query(max_length=40)] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """List who and what memories speak of, the most mentioned first."""
    path = with_query("/v1/entities", query=query, kind=kind, limit=limit, cursor=cursor)
    return passed_on(await behind.memory.get(path))


@router.get("/entities/{entity_id}", response_model=EntityView)
async def read_entity(entity_id: UUID, _: Person, behind: Behind) -> Response:
    """Return an entity with its names, and the memories that mention it."""
    return passed_on(await behind.memory.get(f"/v1/entities/{entity_id}"))


@router.patch("/entities/{entity_id}", response_model=EntityView)
async def edit_entity(entity_id: UUID, body: EntityEdit, _: Person, behind: Behind) -> Response:
    """Give an entity another name or kind."""
    changes = body.model_dump(mode="json", exclude_unset=True)
    return passed_on(await behind.memory.patch(f"/v1/entities/{entity_id}", json=changes))


@router.post("/entities/{entity_id}/merge", response_model=EntityView)
async def merge_entity(entity_id: UUID, body: EntityMerge, _: Person, behind: Behind) -> Response:
    """Say that another entity is the same as this one."""
    reply = await behind.memory.post(
        f"/v1/entities/{entity_id}/merge", json=body.model_dump(mode="json")
    )
    return passed_on(reply)


@router.post("/entities/{entity_id}/split", response_model=EntityView)
async def split_entity(entity_id: UUID, body: EntitySplit, _: Person, behind: Behind) -> Response:
    """Take apart what was taken for one: by a merge, by names, or by memories."""
    reply = await behind.memory.post(
        f"/v1/entities/{entity_id}/split", json=body.model_dump(mode="json", exclude_unset=True)
    )
    return passed_on(reply)


@router.get("/facts", response_model=FactPage)
async def list_facts(
    _: Person,
    behind: Behind,
    entity: UUID | None = None,
    predicate: Annotated[str | None, Query(max_length=100)] = None,
    as_of: Moment = None,
    known_at: Moment = None,
    superseded: bool = False,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """List facts as they stand now, or as they stood, or were known, at another time."""
    path = with_query(
        "/v1/facts",
        entity=entity,
        predicate=predicate,
        as_of=_iso(as_of),
        known_at=_iso(known_at),
        superseded=str(superseded).lower(),
        limit=limit,
        cursor=cursor,
    )
    return passed_on(await behind.memory.get(path))


@router.delete("/facts/{fact_id}", status_code=204, response_class=Response)
async def retire_fact(fact_id: UUID, _: Person, behind: Behind) -> Response:
    """Say that a fact is wrong: it is kept, and no longer believed."""
    await behind.memory.delete(f"/v1/facts/{fact_id}")
    return Response(status_code=204)


@router.post("/facts/{fact_id}/restore", status_code=204, response_class=Response)
async def restore_fact(fact_id: UUID, _: Person, behind: Behind) -> Response:
    """Believe a fact again."""
    await behind.memory.post(f"/v1/facts/{fact_id}/restore")
    return Response(status_code=204)


@router.get("/graph", response_model=Graph)
async def graph(
    _: Person,
    behind: Behind,
    entity: UUID,
    depth: Annotated[int, Query(ge=1, le=3)] = 1,
    limit: Limit = 100,
    as_of: Moment = None,
) -> Response:
    """Return who and what is around an entity."""
    path = with_query("/v1/graph", entity=entity, depth=depth, limit=limit, as_of=_iso(as_of))
    return passed_on(await behind.memory.get(path))
