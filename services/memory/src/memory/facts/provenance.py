"""What was read from one memory: its part of `GET /v1/memories/{id}/provenance`."""

from __future__ import annotations

from uuid import UUID

from contracts.facts import Entity, Fact
from contracts.tiers import Tier
from kit.pool import Connection

from memory.facts.asking import Asked, facts_of
from memory.facts.nodes import nodes
from memory.facts.sqltext import PLAIN_TIERS, over

FACTS_MAX = 64


async def of(conn: Connection, tier: Tier, memory_id: UUID) -> tuple[list[Fact], list[Entity]]:
    """Return the facts and entities read from a memory of a plain tier, in its caller's transaction; none for sacred."""
    if tier not in PLAIN_TIERS:
        return [], []
    facts = await facts_of(conn, (tier,), Asked(memory_id=memory_id, limit=FACTS_MAX))
    rows = await conn.fetch(over("entities_of_memory", (tier,)), memory_id)
    known = await nodes(conn, (tier,), [row["node_id"] for row in rows])
    return facts, [node.entity() for node in known.values()]
