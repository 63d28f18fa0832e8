"""Memories: kept and found by the memory service, which judges tiers and rights."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from contracts.memory import (
    LIST_LIMIT_MAX,
    EditRequest,
    Identity,
    Memory,
    MemoryPage,
    RecallRequest,
    RecallResult,
    RememberRequest,
    Timeline,
)
from contracts.provenance import Provenance
from contracts.supersede import SupersedeRequest
from contracts.writing import MergeMemories
from fastapi import APIRouter, Header, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from dashboard.neighbours import passed_on, with_query
from dashboard.routes.access import Behind, Person

router = APIRouter(prefix="/api", tags=["memory"])
IdempotencyKey = Annotated[str | None, Header(alias="Idempotency-Key", max_length=128)]
Word = Annotated[str | None, Field(max_length=200)]


class ListQuery(BaseModel):
    """Which memories, in which order. What is not given is not asked; the memory service judges the rest."""

    model_config = ConfigDict(extra="forbid")

    tier: Word = None
    namespace: Word = None
    level: Word = None
    source: Word = None
    state: Word = None
    thread: Word = None
    entity: UUID | None = None
    since: datetime | None = None
    until: datetime | None = None
    order: Word = None
    limit: Annotated[int, Field(ge=1, le=LIST_LIMIT_MAX)] = 50
    cursor: Annotated[str | None, Field(max_length=500)] = None


@router.post("/memories", response_model=Memory, status_code=201)
async def remember(
    body: RememberRequest, _: Person, behind: Behind, key: IdempotencyKey = None
) -> Response:
    """Keep a memory. 200 when it joined one that says the same."""
    headers = {"Idempotency-Key": key} if key else {}
    reply = await behind.memory.post(
        "/v1/memories", json=body.model_dump(mode="json", exclude_unset=True), headers=headers
    )
    return passed_on(reply)


@router.get("/memories", response_model=MemoryPage)
async def list_memories(
    _: Person, behind: Behind, query: Annotated[ListQuery, Query()]
) -> Response:
    """List memories, newest first."""
    path = with_query("/v1/memories", **query.model_dump(mode="json"))
    return passed_on(await behind.memory.get(path))


@router.get("/memories/{memory_id}", response_model=Memory)
async def read_memory(memory_id: UUID, _: Person, behind: Behind) -> Response:
    """Return one memory."""
    return passed_on(await behind.memory.get(f"/v1/memories/{memory_id}"))


@router.patch("/memories/{memory_id}", response_model=Memory)
async def edit_memory(memory_id: UUID, body: EditRequest, _: Person, behind: Behind) -> Response:
    """Change a memory's text, place or times."""
    changes = body.model_dump(mode="json", exclude_unset=True)
    return passed_on(await behind.memory.patch(f"/v1/memories/{memory_id}", json=changes))


@router.get("/memories/{memory_id}/provenance", response_model=Provenance)
async def provenance(memory_id: UUID, _: Person, behind: Behind) -> Response:
    """Return where a memory came from, what it replaced, and what was drawn from it."""
    return passed_on(await behind.memory.get(f"/v1/memories/{memory_id}/provenance"))


@router.post("/memories/{memory_id}/merge", response_model=Memory)
async def merge(memory_id: UUID, body: MergeMemories, _: Person, behind: Behind) -> Response:
    """Make one memory of two that say the same, with the sources of both."""
    path = f"/v1/memories/{memory_id}/merge"
    return passed_on(await behind.memory.post(path, json=body.model_dump(mode="json")))


@router.post("/memories/{memory_id}/supersede", response_model=Memory)
async def supersede(memory_id: UUID, body: SupersedeRequest, _: Person, behind: Behind) -> Response:
    """Say what holds in place of a memory, which is kept below it. Returns the one that holds."""
    reply = await behind.memory.post(
        f"/v1/memories/{memory_id}/supersede",
        json=body.model_dump(mode="json", exclude_unset=True),
    )
    return passed_on(reply)


@router.post("/memories/{memory_id}/restore", response_model=Memory)
async def restore(memory_id: UUID, _: Person, behind: Behind) -> Response:
    """Take back that a memory was replaced or archived."""
    return passed_on(await behind.memory.post(f"/v1/memories/{memory_id}/restore"))


@router.post("/recall", response_model=RecallResult)
async def recall(body: RecallRequest, _: Person, behind: Behind) -> Response:
    """Find memories, best first, each with the reasons why it was found."""
    reply = await behind.memory.post(
        "/v1/recall", json=body.model_dump(mode="json", exclude_unset=True)
    )
    return passed_on(reply)


@router.get("/memory/timeline", response_model=Timeline)
async def timeline(
    _: Person,
    behind: Behind,
    bucket: Literal["day", "week", "month"] = "month",
    since: datetime | None = None,
    until: datetime | None = None,
) -> Response:
    """Count memories by when they happened."""
    path = with_query(
        "/v1/timeline",
        bucket=bucket,
        since=since.isoformat() if since else None,
        until=until.isoformat() if until else None,
    )
    return passed_on(await behind.memory.get(path))


@router.get("/memory/identity", response_model=Identity)
async def identity(_: Person, behind: Behind) -> Response:
    """Return what is always in context, and how much room is left there."""
    return passed_on(await behind.memory.get("/v1/identity"))
