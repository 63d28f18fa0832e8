"""The five levels, and the consolidation that moves memories between them."""

from typing import Annotated

from contracts.levels import (
    Consolidation,
    ConsolidationSwitch,
    Journal,
    LevelList,
    MoveList,
    RunRequest,
)
from fastapi import APIRouter, Query, Response

from dashboard.neighbours import passed_on, with_query
from dashboard.routes.access import Behind, Person

router = APIRouter(prefix="/api/memory", tags=["levels"])
# A run looks at thousands of memories: longer than any other question may take.
RUN_SECONDS = 30.0


@router.get("/levels", response_model=LevelList)
async def levels(_: Person, behind: Behind) -> Response:
    """Return what each level holds, and what it promises."""
    return passed_on(await behind.memory.get("/v1/levels"))


@router.get("/consolidation", response_model=Consolidation)
async def consolidation(_: Person, behind: Behind) -> Response:
    """Return whether memories are moved by themselves, when last and when next."""
    return passed_on(await behind.memory.get("/v1/consolidation"))


@router.put("/consolidation", response_model=Consolidation)
async def switch_consolidation(body: ConsolidationSwitch, _: Person, behind: Behind) -> Response:
    """Turn consolidation on or off."""
    reply = await behind.memory.request("PUT", "/v1/consolidation", json=body.model_dump())
    return passed_on(reply)


@router.post("/consolidation/run", response_model=MoveList)
async def run_consolidation(body: RunRequest, _: Person, behind: Behind) -> Response:
    """Move what is due now; as a dry run, only say what would move."""
    reply = await behind.memory.post(
        "/v1/consolidation/run", json=body.model_dump(), timeout_s=RUN_SECONDS
    )
    return passed_on(reply)


@router.get("/consolidation/journal", response_model=Journal)
async def journal(
    _: Person,
    behind: Behind,
    limit: Annotated[int, Query(ge=1, le=200)] = 30,
    before: Annotated[str | None, Query(max_length=200)] = None,
) -> Response:
    """List what was moved and why, newest first."""
    path = with_query("/v1/consolidation/journal", limit=limit, before=before)
    return passed_on(await behind.memory.get(path))
