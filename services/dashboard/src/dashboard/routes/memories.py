"""Memories: kept and found by the memory service, which judges tiers and rights."""

from typing import Annotated
from uuid import UUID

from contracts.memory import (
    LIST_LIMIT_MAX,
    EditRequest,
    Erased,
    Memory,
    MemoryPage,
    RecallRequest,
    RecallResult,
    RememberRequest,
)
from fastapi import APIRouter, Header, Query, Response

from dashboard.neighbours import passed_on, with_query
from dashboard.routes.access import Behind, Person

router = APIRouter(prefix="/api", tags=["memory"])
IdempotencyKey = Annotated[str | None, Header(alias="Idempotency-Key", max_length=128)]


@router.post("/memories", response_model=Memory, status_code=201)
async def remember(
    body: RememberRequest, _: Person, behind: Behind, key: IdempotencyKey = None
) -> Response:
    """Keep a memory."""
    headers = {"Idempotency-Key": key} if key else {}
    reply = await behind.memory.post(
        "/v1/memories", json=body.model_dump(mode="json", exclude_unset=True), headers=headers
    )
    return passed_on(reply)


@router.get("/memories", response_model=MemoryPage)
async def list_memories(
    _: Person,
    behind: Behind,
    tier: Annotated[str | None, Query(max_length=20)] = None,
    limit: Annotated[int, Query(ge=1, le=LIST_LIMIT_MAX)] = 50,
    cursor: Annotated[str | None, Query(max_length=500)] = None,
) -> Response:
    """List memories, newest first."""
    path = with_query("/v1/memories", tier=tier, limit=limit, cursor=cursor)
    return passed_on(await behind.memory.get(path))


@router.get("/memories/{memory_id}", response_model=Memory)
async def read_memory(memory_id: UUID, _: Person, behind: Behind) -> Response:
    """Return one memory."""
    return passed_on(await behind.memory.get(f"/v1/memories/{memory_id}"))


@router.patch("/memories/{memory_id}", response_model=Memory)
async def edit_memory(memory_id: UUID, body: EditRequest, _: Person, behind: Behind) -> Response:
    """Change a memory's text, tier or time."""
    changes = body.model_dump(mode="json", exclude_unset=True)
    return passed_on(await behind.memory.patch(f"/v1/memories/{memory_id}", json=changes))


@router.delete("/memories/{memory_id}", response_model=Erased)
async def forget_memory(memory_id: UUID, _: Person, behind: Behind) -> Response:
    """Forget a memory everywhere. It cannot be undone."""
    return passed_on(await behind.memory.delete(f"/v1/memories/{memory_id}"))


@router.post("/recall", response_model=RecallResult)
async def recall(body: RecallRequest, _: Person, behind: Behind) -> Response:
    """Find memories, best first, each with the reasons why it was found."""
    reply = await behind.memory.post(
        "/v1/recall", json=body.model_dump(mode="json", exclude_unset=True)
    )
    return passed_on(reply)
