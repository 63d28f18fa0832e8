"""Ask for facts: of an entity, by predicate, as of a time, and as it was known at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from contracts.facts import Fact, FactPage
from contracts.identity import Caller
from contracts.memory import Source
from contracts.tiers import Tier
from kit.pool import Connection

from memory.domain import Cursor, check_list_limit, decode_cursor, encode_cursor
from memory.errors import TierDenied
from memory.facts.errors import EntityNotFound, FactNotFound
from memory.facts.nodes import Node, nodes, roots_of
from memory.facts.predicates import label
from memory.facts.reading import SINCE_EVER
from memory.facts.sqltext import one, over, plain_tiers
from memory.facts.standing import Row, judged
from memory.library import Library, now
from memory.presenting import check_writes

LISTING = "facts"
PAGE, PAGES_MAX = 200, 10
# Of chains that were said over and over, what was learned last.
KNOWN_MAX = 5000
_KEPT = (
    "id tier namespace memory_id predicate qualifier chain polarity object_text object_key valid_from ends_at learned_at"
    " retired_at confidence extractor span_from span_to source_kind source_ref"
).split()


@dataclass(frozen=True, slots=True)
class Asked:
    """What facts are wanted: of whom, saying what, true when, and known when; None leaves it open, or now."""

    roots: Sequence[UUID] | None = None
    predicate: str | None = None
    as_of: datetime | None = None
    known_at: datetime | None = None
    superseded: bool = True
    memory_id: UUID | None = None
    after: Cursor | None = None
    limit: int = 50


async def rows_of_facts(conn: Connection, tiers: Sequence[Tier], asked: Asked) -> list[Row]:
    """Return the facts that are wanted, each judged, the last learned first.

    Where only what holds is wanted, pages are read until enough of it is found or PAGES_MAX were.
    """
    moment = now()
    as_of, known_at = asked.as_of or moment, asked.known_at or moment
    found: list[Row] = []
    after = asked.after
    size = asked.limit if asked.superseded else max(PAGE, asked.limit)
    for _ in range(PAGES_MAX):
        rows = await conn.fetch(
            over("list_facts", tuple(tiers)),
            known_at,
            list(asked.roots) if asked.roots is not None else None,
            asked.predicate,
            after.moment if after else None,
            after.id if after else None,
            size,
            asked.memory_id,
        )
        known = await _in_line(conn, tiers, rows, known_at)
        page = judged(await _rows(conn, tiers, rows), known, as_of)
        found += [fact for fact in page if fact.holds or asked.superseded]
        if len(rows) < size or len(found) >= asked.limit:
            break
        after = Cursor(rows[-1]["learned_at"], rows[-1]["id"])
    return found[: asked.limit]


async def _in_line(
    conn: Connection, tiers: Sequence[Tier], rows: Sequence[Any], known_at: datetime
) -> list[Row]:
    lines = list({(row["namespace"], row["chain"]) for row in rows})
    if not lines:
        return []
    known = await conn.fetch(
        over("facts_in_line", tuple(tiers)),
        known_at,
        [namespace for namespace, _ in lines],
        [chain for _, chain in lines],
        KNOWN_MAX,
    )
    return await _rows(conn, tiers, known)


async def _rows(conn: Connection, tiers: Sequence[Tier], rows: Sequence[Any]) -> list[Row]:
    """Return rows with the nodes their entities are shown as; what was read from an older text is left out."""
    ids = {row[name] for row in rows for name in ("entity_id", "object_entity_id")} - {None}
    shown = await conn.fetch(over("nodes_of_entities", tuple(tiers)), list(ids)) if ids else []
    nodes_by_entity = {row["entity_id"]: row["node_id"] for row in shown}
    return [
        Row(
            node_id=nodes_by_entity[row["entity_id"]],
            object_node_id=nodes_by_entity.get(row["object_entity_id"]),
            **{name: row[name] for name in _KEPT},
        )
        for row in rows
        if row["fresh"] and row["entity_id"] in nodes_by_entity
    ]


async def facts_of(conn: Connection, tiers: Sequence[Tier], asked: Asked) -> list[Fact]:
    """Return the facts that are wanted, as they are shown."""
    rows = await rows_of_facts(conn, tiers, asked)
    ids = [each for row in rows for each in (row.node_id, row.object_node_id) if each]
    known = await nodes(conn, tiers, ids)
    none = UUID(int=0)
    return [_fact(row, known[row.node_id], known.get(row.object_node_id or none)) for row in rows]


class Facts:
    """`GET /v1/facts`, `DELETE /v1/facts/{id}`, `POST /v1/facts/{id}/restore`."""

    def __init__(self, library: Library) -> None:
        self._library = library

    async def page(
        self, caller: Caller, entity: UUID | None, asked: Asked, cursor: str | None
    ) -> FactPage:
        """Return the next facts, the last learned first. Raises EntityNotFound, LimitInvalid, CursorInvalid."""
        tiers = _tiers(caller)
        limit = check_list_limit(asked.limit)
        after = decode_cursor(cursor, LISTING) if cursor is not None else None
        async with self._library.plain.pool.as_caller(caller) as conn:
            roots: Sequence[UUID] | None = None
            if entity is not None:
                found = await roots_of(conn, tiers, [entity])
                if not found:
                    raise EntityNotFound()
                roots = [root for each in found.values() for root in each]
            wanted = Asked(
                roots,
                asked.predicate,
                asked.as_of,
                asked.known_at,
                asked.superseded,
                None,
                after,
                limit + 1,
            )
            found_facts = await facts_of(conn, tiers, wanted)
        shown = found_facts[:limit]
        last = shown[-1] if len(found_facts) > limit else None
        return FactPage(
            items=shown,
            next_cursor=encode_cursor(Cursor(last.learned_at, last.id), LISTING) if last else None,
        )

    async def retire(self, caller: Caller, fact_id: UUID) -> None:
        """Note that a fact is wrong: it is kept and no longer believed. Raises FactNotFound, kit.read_only."""
        await self._mark(caller, fact_id, "retire_fact")

    async def restore(self, caller: Caller, fact_id: UUID) -> None:
        """Believe a fact again. Raises FactNotFound, kit.read_only."""
        await self._mark(caller, fact_id, "restore_fact")

    async def _mark(self, caller: Caller, fact_id: UUID, statement: str) -> None:
        check_writes(caller.db_role, caller.read_only)
        async with self._library.plain.pool.as_caller(caller) as conn:
            for tier in _tiers(caller):
                if await conn.fetchval(one(statement, tier), fact_id) is not None:
                    return
        raise FactNotFound()


def _tiers(caller: Caller) -> tuple[Tier, ...]:
    tiers = plain_tiers(caller.db_role)
    if not tiers:
        raise TierDenied()
    return tiers


def _fact(row: Row, about: Node, other: Node | None) -> Fact:
    ends = [moment for moment in (row.ends_at, row.superseded_from) if moment is not None]
    return Fact(
        id=row.id,
        entity=about.ref(),
        predicate=row.predicate,
        label=label(row.predicate),
        qualifier=row.qualifier,
        polarity=row.polarity,
        object=row.object_text,
        object_entity=other.ref() if other else None,
        valid_from=row.valid_from if row.valid_from > SINCE_EVER else None,
        valid_to=min(ends, default=None),
        learned_at=row.learned_at,
        retired_at=row.retired_at,
        superseded_by=row.superseded_by,
        current=row.holds,
        confidence=round(row.confidence, 3),
        extractor=row.extractor,
        tier=Tier(row.tier),
        namespace=row.namespace,
        memory_id=row.memory_id,
        source=Source(kind=row.source_kind, ref=row.source_ref),
        span=(row.span_from, row.span_to),
    )
