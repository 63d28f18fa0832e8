"""What the tables say around one memory, asked as its caller."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID

from contracts.tiers import Tier
from kit import sql
from kit.pool import Connection

STATEMENTS = sql.load(Path(__file__).with_name("queries.sql"))


def _text(name: str, tier: Tier) -> str:
    # asyncpg takes exactly `str`.
    return str(STATEMENTS[name]).replace("convenience.", f"{tier.value}.")


async def replaced(conn: Connection, tier: Tier, memory_id: UUID, limit: int) -> list[UUID]:
    """Return the memories of the tier that this one replaced, the last first."""
    name = "list_replaced_sacred" if tier is Tier.SACRED else "list_replaced"
    return [row["id"] for row in await conn.fetch(_text(name, tier), memory_id, limit)]


async def links(
    conn: Connection, tier: Tier, memory_id: UUID, limit: int
) -> tuple[list[UUID], list[UUID]]:
    """Return what the memory summarises, and the summaries that it is in."""
    rows = await conn.fetch(_text("list_links", tier), memory_id, limit)
    return (
        [row["other"] for row in rows if row["summarises"]],
        [row["other"] for row in rows if not row["summarises"]],
    )


async def sources(conn: Connection, tier: Tier, memory_id: UUID, limit: int) -> list[Any]:
    """Return the rows of the memory's further sources, the first first."""
    return await conn.fetch(_text("list_sources", tier), memory_id, limit)
