"""Entities as a reader sees them: an id leads to every row that is shown as the same one, in every tier they may read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast
from uuid import UUID

from contracts.facts import Entity, EntityKind, EntityRef, GraphNode
from contracts.tiers import Tier
from kit.pool import Connection

from memory.facts.sqltext import over

NODES_MAX = 1000


@dataclass(frozen=True, slots=True)
class Node:
    """One entity as it is shown."""

    id: UUID
    name: str = field(repr=False)
    kind: str
    me: bool
    namespace: str
    tiers: tuple[Tier, ...]
    mentions: int

    def ref(self) -> EntityRef:
        """Return it by name."""
        return EntityRef(id=self.id, name=self.name, kind=cast(EntityKind, self.kind), me=self.me)

    def entity(self) -> Entity:
        """Return it as a list shows it."""
        return Entity(
            **self.ref().model_dump(),
            tiers=list(self.tiers),
            namespace=self.namespace,
            mentions=self.mentions,
        )

    def graph_node(self) -> GraphNode:
        """Return it as a graph shows it."""
        return GraphNode(**self.ref().model_dump(), mentions=self.mentions)


async def roots_of(
    conn: Connection, tiers: Sequence[Tier], ids: Sequence[UUID]
) -> Mapping[UUID, list[UUID]]:
    """Return, by the id it is shown under, the roots of each entity of `ids`; what may not be seen is left out."""
    if not tiers or not ids:
        return {}
    rows = await conn.fetch(over("find_roots", tuple(tiers)), list(ids)[:NODES_MAX])
    return {row["node_id"]: list(row["roots"]) for row in rows}


async def nodes(
    conn: Connection, tiers: Sequence[Tier], ids: Sequence[UUID]
) -> Mapping[UUID, Node]:
    """Return the nodes that are shown under these ids."""
    wanted = list(dict.fromkeys(ids))[:NODES_MAX]
    if not tiers or not wanted:
        return {}
    rows = await conn.fetch(over("get_nodes", tuple(tiers)), wanted)
    return {row["id"]: node_of(row) for row in rows}


def node_of(row: Any) -> Node:
    """Return a node from its row."""
    return Node(
        row["id"],
        row["name"],
        row["kind"],
        row["self"],
        row["namespace"],
        tuple(sorted((Tier(tier) for tier in row["tiers"] or ()), key=str)),
        row["mentions"],
    )
