"""Where a memory comes from: every source, what it replaced, the summaries made of it, and what was read from it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from contracts.identity import Caller
from contracts.memory import Memory, Source, Tier
from contracts.provenance import FurtherSource, Provenance
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from memory.asking import answer, path_id, reads
from memory.domain import Entry, allowed_tiers
from memory.facts import provenance as facts
from memory.library import Library
from memory.presenting import to_memory
from memory.provenance import store

# Of each kind: a page of a person's own past, not an export.
EACH_MAX = 50


class AskProvenance:
    """`GET /v1/memories/{id}/provenance`."""

    def __init__(self, library: Library) -> None:
        self._library = library

    def routes(self) -> list[Route]:
        """Return the one route."""
        return [Route("/v1/memories/{id}/provenance", self.get, methods=["GET"])]

    async def get(self, request: Request) -> Response:
        """`GET /v1/memories/{id}/provenance`."""
        caller = await reads(request)
        return answer(await self(caller, path_id(request)))

    async def __call__(self, caller: Caller, memory_id: UUID) -> Provenance:
        """Return what is known of the memory's origin, of the tiers that the caller may read. Raises MemoryNotFound.

        Nothing is read out of a sacred memory and no other tier tells of it: of one there is only what it replaced.
        """
        entry = await self._library.find(caller, memory_id)
        if entry.tier is Tier.SACRED:
            return await self._of_sacred(caller, entry)
        shelf = self._library.plain
        async with shelf.pool.as_caller(caller) as conn:
            replaced = await store.replaced(conn, entry.tier, entry.id, EACH_MAX)
            summarised, summaries = await store.links(conn, entry.tier, entry.id, EACH_MAX)
            rows = await store.sources(conn, entry.tier, entry.id, EACH_MAX)
            stated, named = await facts.of(conn, entry.tier, entry.id)
            newer = [entry.superseded_by] if entry.superseded_by is not None else []
            known: dict[UUID, Memory] = {}
            for tier in allowed_tiers(caller.db_role):
                if tier is not Tier.SACRED:
                    found = await shelf.many(
                        conn, tier, [*replaced, *summarised, *summaries, *newer]
                    )
                    known.update({each.id: to_memory(each) for each in found})
        return Provenance(
            memory=to_memory(entry),
            sources=[_source(row) for row in rows],
            supersedes=_known(replaced, known),
            superseded_by=next(iter(_known(newer, known)), None),
            summarises=_known(summarised, known),
            summarised_by=_known(summaries, known),
            facts=stated,
            entities=named,
        )

    async def _of_sacred(self, caller: Caller, entry: Entry) -> Provenance:
        shelf = self._library.sacred
        async with shelf.pool.as_caller(caller) as conn:
            ids = await store.replaced(conn, Tier.SACRED, entry.id, EACH_MAX)
            older = [await shelf.get(conn, Tier.SACRED, each) for each in ids]
            newer = (
                await shelf.get(conn, Tier.SACRED, entry.superseded_by)
                if entry.superseded_by is not None
                else None
            )
        return Provenance(
            memory=to_memory(entry),
            sources=[],
            supersedes=[to_memory(each) for each in older if each is not None],
            superseded_by=to_memory(newer) if newer is not None else None,
            summarises=[],
            summarised_by=[],
            facts=[],
            entities=[],
        )


def _known(ids: list[UUID], known: dict[UUID, Memory]) -> list[Memory]:
    return [known[each] for each in ids if each in known]


def _source(row: Any) -> FurtherSource:
    return FurtherSource(
        source=Source(kind=row["source_kind"], ref=row["source_ref"]),
        text=row["text"],
        thread=row["thread"],
        position=row["position"],
        speaker=row["speaker"],
        occurred_at=row["occurred_at"],
        learned_at=row["learned_at"],
        merged_id=row["merged_id"],
    )
