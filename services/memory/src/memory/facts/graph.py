"""Who is around an entity: what facts say of it and whom the same memories mention, some steps out, within limits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from contracts.facts import Graph as Shown
from contracts.facts import GraphEdge
from contracts.identity import Caller
from contracts.tiers import Tier
from kit.pool import Connection

from memory.domain import check_list_limit
from memory.errors import TierDenied
from memory.facts.asking import Asked, rows_of_facts
from memory.facts.errors import DepthInvalid, EntityNotFound
from memory.facts.nodes import nodes, roots_of
from memory.facts.reading import SINCE_EVER
from memory.facts.sqltext import one, over, plain_tiers
from memory.library import Library, now

DEPTH_MAX = 3
EDGES_MAX = 1000
FACTS_A_STEP = 400
MENTIONS_A_STEP = 200
# Two are mentioned together: what the graph says of them when no fact does.
TOGETHER = "mentioned_with"


class Graph:
    """`GET /v1/graph`."""

    def __init__(self, library: Library) -> None:
        self._library = library

    async def __call__(
        self,
        caller: Caller,
        entity: UUID,
        depth: int,
        limit: int,
        as_of: datetime | None,
        known_at: datetime | None,
    ) -> Shown:
        """Return at most `limit` entities within `depth` steps and what is between them.

        Facts come before mere mentions, and what holds before what held. Raises EntityNotFound, DepthInvalid,
        LimitInvalid.
        """
        if not 1 <= depth <= DEPTH_MAX:
            raise DepthInvalid()
        check_list_limit(limit)
        tiers = plain_tiers(caller.db_role)
        if not tiers:
            raise TierDenied()
        async with self._library.plain.pool.as_caller(caller) as conn:
            around = _Around(conn, tiers, limit, as_of, known_at)
            return await around.walk(entity, depth)


class _Around:
    def __init__(
        self,
        conn: Connection,
        tiers: Sequence[Tier],
        limit: int,
        as_of: datetime | None,
        known_at: datetime | None,
    ) -> None:
        self._conn = conn
        self._tiers = tuple(tiers)
        self._limit = limit
        self._as_of = as_of
        self._known_at = known_at
        self._seen: dict[UUID, None] = {}
        self._edges: dict[tuple[UUID, UUID, str], GraphEdge] = {}
        self._truncated = False

    async def walk(self, entity: UUID, depth: int) -> Shown:
        """Return the neighbourhood. Raises EntityNotFound."""
        found = await roots_of(self._conn, self._tiers, [entity])
        if not found:
            raise EntityNotFound()
        self._seen = dict.fromkeys(found)
        frontier: Mapping[UUID, list[UUID]] = found
        for _ in range(depth):
            roots = [root for each in frontier.values() for root in each]
            reached = [*await self._by_facts(roots), *await self._by_mentions(roots)]
            new = [node for node in dict.fromkeys(reached) if node not in self._seen]
            room = self._limit - len(self._seen)
            self._truncated = self._truncated or len(new) > room
            new = new[: max(room, 0)]
            self._seen.update(dict.fromkeys(new))
            if not new:
                break
            frontier = await roots_of(self._conn, self._tiers, new)
        known = await nodes(self._conn, self._tiers, list(self._seen))
        edges = [
            edge for edge in self._edges.values() if edge.source in known and edge.target in known
        ]
        self._truncated = self._truncated or len(edges) > EDGES_MAX
        return Shown(
            nodes=[node.graph_node() for node in known.values()],
            edges=edges[:EDGES_MAX],
            truncated=self._truncated,
        )

    async def _by_facts(self, roots: Sequence[UUID]) -> list[UUID]:
        asked = Asked(roots, None, self._as_of, self._known_at, True, limit=FACTS_A_STEP)
        rows = await rows_of_facts(self._conn, self._tiers, asked)
        self._truncated = self._truncated or len(rows) == FACTS_A_STEP
        reached: list[UUID] = []
        # What holds first: of one relation that many memories state, the graph shows the one that stands.
        for row in sorted(rows, key=lambda row: not row.holds):
            about, other = row.node_id, row.object_node_id
            if other is None or not row.polarity:
                continue
            reached += [about, other]
            ends = [each for each in (row.ends_at, row.superseded_from) if each is not None]
            edge = GraphEdge.model_validate(
                {
                    "from": about,
                    "to": other,
                    "predicate": row.predicate,
                    "fact_id": row.id,
                    "valid_from": row.valid_from if row.valid_from > SINCE_EVER else None,
                    "valid_to": min(ends, default=None),
                    "current": row.holds,
                }
            )
            self._edges.setdefault((about, other, row.predicate), edge)
        return reached

    async def _by_mentions(self, roots: Sequence[UUID]) -> list[UUID]:
        moment = self._known_at or now()
        rows = [
            (row, tier)
            for tier in self._tiers
            for row in await self._conn.fetch(
                one("mentioned_with", tier), list(roots), moment, MENTIONS_A_STEP
            )
        ]
        self._truncated = self._truncated or len(rows) >= MENTIONS_A_STEP
        ids = list({row[name] for row, _ in rows for name in ("root", "other_root")})
        shown = await self._conn.fetch(over("nodes_of_entities", self._tiers), ids) if ids else []
        node_of = {row["entity_id"]: row["node_id"] for row in shown}
        seen: dict[tuple[UUID, UUID, Tier], int] = {}
        reached: list[UUID] = []
        for row, tier in sorted(rows, key=lambda found: -found[0]["weight"]):
            one_id, other_id = node_of[row["root"]], node_of[row["other_root"]]
            if one_id != other_id:
                reached.append(other_id)
                # Both may be among `roots`: then a pair is found from either side.
                seen[min(one_id, other_id), max(one_id, other_id), tier] = row["weight"]
        weights: Counter[tuple[UUID, UUID]] = Counter()
        for (one_id, other_id, _), weight in seen.items():
            weights[one_id, other_id] += weight
        for (one_id, other_id), weight in weights.items():
            edge = GraphEdge.model_validate(
                {"from": one_id, "to": other_id, "predicate": TOGETHER, "weight": weight}
            )
            self._edges.setdefault((one_id, other_id, TOGETHER), edge)
        return reached
