"""Memory's use cases over real stores, without HTTP, and an eye that sees past every wall."""

from __future__ import annotations

import secrets
from base64 import b64encode
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from contracts.memory import Tier
from kit.clock import Clock
from kit.pool import Pool
from memory.library import Library
from memory.plain import PlainShelf
from memory.sacred import SacredShelf
from memory.vault import Vault
from memory.writing.edit import Edit
from memory.writing.limit import WriteLimit
from memory.writing.merge import Join
from memory.writing.move import Move
from memory.writing.remember import Remember, Rules

PLACES = {
    Tier.CONVENIENCE: ("lares", "convenience.memory"),
    Tier.SENSITIVE: ("lares", "sensitive.memory"),
    Tier.SACRED: ("lares_sacred", "sacred.memory"),
}


@dataclass
class Bench:
    """Memory's use cases over real stores, without HTTP."""

    library: Library
    vault: Vault
    pg: Any

    def remember(self) -> Remember:
        rules = Rules(WriteLimit(0, Clock()), Join(self.library, True), True, lambda _: None)
        return Remember(self.library, self.vault, lambda _: None, rules)

    def edit(self) -> Edit:
        return Edit(self.library, Move(self.library), lambda _: None)

    async def places(self, memory_id: UUID) -> set[Tier]:
        """Return the tiers in which there is a row of this memory, seen past every wall."""
        found: set[Tier] = set()
        for tier, (database, table) in PLACES.items():
            connection = await self.pg.connect(name=database)
            if await connection.fetchval(f"SELECT count(*) FROM {table} WHERE id = $1", memory_id):
                found.add(tier)
            await connection.close()
        return found

    async def fetch(self, statement: str, *arguments: Any, database: str = "lares") -> Any:
        connection = await self.pg.connect(name=database)
        try:
            return await connection.fetch(statement, *arguments)
        finally:
            await connection.close()


@pytest.fixture
async def bench(pg: Any) -> AsyncIterator[Bench]:
    vault = Vault(b64encode(secrets.token_bytes(32)).decode())
    async with (
        await Pool.open(pg.database("svc_memory"), max_size=8) as plain,
        await Pool.open(pg.database("svc_memory", "lares_sacred"), max_size=4) as sacred,
    ):
        yield Bench(Library(PlainShelf(plain), SacredShelf(sacred, vault)), vault, pg)
