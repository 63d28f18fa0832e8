"""Memories and what is read from them, over a real Postgres, without the processes around it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from contracts.tiers import Tier
from kit.clock import Clock
from kit.pool import Pool
from memory.facts.job import Extraction

TABLES = ("fact", "mention", "entity_alias", "entity", "entity_change")


@dataclass
class FactBench:
    """One person's memories in the plain tiers."""

    pool: Pool
    pg: Any
    subject: UUID

    def extraction(self, enabled: bool = True) -> Extraction:
        return Extraction(self.pool, Clock(), enabled=enabled, every_s=1.0)

    async def remember(self, text: str, tier: Tier = Tier.CONVENIENCE, **columns: Any) -> UUID:
        """Write a memory and read it."""
        memory_id = await self.write(text, tier, **columns)
        await self.extraction()(self.subject, tier, [memory_id])
        return memory_id

    async def write(self, text: str, tier: Tier = Tier.CONVENIENCE, **columns: Any) -> UUID:
        """Write a memory as its person, and read nothing yet."""
        moment = columns.pop("created_at", datetime.now(UTC))
        memory_id = uuid4()
        row = {
            "id": memory_id,
            "subject_id": self.subject,
            "text": text,
            "source_kind": "api",
            "created_at": moment,
            "updated_at": moment,
            "accessed_at": moment,
            **columns,
        }
        names = ", ".join(row)
        places = ", ".join(f"${number}" for number in range(1, len(row) + 1))
        async with self.as_person() as conn:
            await conn.execute(
                f"INSERT INTO {tier.value}.memory ({names}) VALUES ({places})", *row.values()
            )
        return memory_id

    async def note(self, memory_id: UUID, tier: Tier = Tier.CONVENIENCE) -> None:
        """Note that a memory is to be read anew, as a new version of the extractors does."""
        await self.fetch(
            "INSERT INTO memory.pending_extraction (memory_id, stage, subject_id, tier)"
            " VALUES ($1, 'rules', $2, $3)",
            memory_id,
            self.subject,
            tier.value,
        )

    async def forget(self, memory_id: UUID, tier: Tier = Tier.CONVENIENCE) -> None:
        async with self.as_person() as conn:
            await conn.execute(f"DELETE FROM {tier.value}.memory WHERE id = $1", memory_id)

    def as_person(self, role: str = "lares_app") -> Any:
        return self.pool.as_role(role, self.subject)

    async def fetch(self, statement: str, *values: Any) -> list[Any]:
        """Ask past every policy."""
        connection = await self.pg.connect()
        try:
            return await connection.fetch(statement, *values)
        finally:
            await connection.close()

    async def rows(self, tier: Tier = Tier.CONVENIENCE) -> dict[str, int]:
        """Return how many rows each table of a tier has."""
        return {
            table: (await self.fetch(f"SELECT count(*) FROM {tier.value}.{table}"))[0][0]
            for table in TABLES
        }

    async def names(self, tier: Tier = Tier.CONVENIENCE) -> dict[str, str]:
        """Return the shown entities by name, with their kinds."""
        found = await self.fetch(
            f"SELECT name, kind FROM {tier.value}.entity WHERE merged_into IS NULL"
        )
        return {row["name"]: row["kind"] for row in found}


@pytest.fixture
async def facts(pg: Any) -> AsyncIterator[FactBench]:
    """An empty bench."""
    async with await Pool.open(pg.database("svc_memory"), max_size=6) as pool:
        yield FactBench(pool, pg, uuid4())
