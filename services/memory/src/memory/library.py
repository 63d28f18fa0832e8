"""The two shelves together: which one a tier stands on, and where a memory is found."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

from contracts.tiers import Tier
from kit.pool import PERSON, client_of

from memory.domain import HOME, Entry, Space, allowed_tiers
from memory.errors import Busy, MemoryNotFound, NamespaceUnknown
from memory.plain import PlainShelf
from memory.sacred import SacredShelf
from memory.store import Shelf

if TYPE_CHECKING:
    from contracts.identity import Caller

# A change holds one connection and works with others: without this limit, changes alone could take the whole pool
# and each wait for the next.
CHANGES_AT_ONCE = 2
CHANGE_WAIT_S = 5.0


@dataclass
class Library:
    """Everything that use cases need of the stores."""

    plain: PlainShelf
    sacred: SacredShelf
    _changes: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(CHANGES_AT_ONCE))

    def shelf(self, tier: Tier) -> Shelf:
        """Return the shelf on which memories of this tier stand."""
        return self.sacred if tier is Tier.SACRED else self.plain

    def shelves(self, db_role: str) -> tuple[Shelf, ...]:
        """Return the shelves a role has a part in."""
        return tuple(dict.fromkeys(self.shelf(tier) for tier in allowed_tiers(db_role)))

    async def find(self, caller: Caller, memory_id: UUID) -> Entry:
        """Return the caller's memory, in whichever of their tiers. Raises MemoryNotFound."""
        entry = await self.search(caller, memory_id)
        if entry is None:
            raise MemoryNotFound()
        return entry

    async def search(self, caller: Caller, memory_id: UUID) -> Entry | None:
        """Return the caller's memory, or None. While a move is under way the more private copy is the memory.

        The id of a memory that was merged into another finds that other.
        """
        tiers = allowed_tiers(caller.db_role)
        if Tier.SACRED in tiers:
            async with self.sacred.pool.as_caller(caller) as conn:
                entry = await self.sacred.get(conn, Tier.SACRED, memory_id)
            if entry is not None:
                return entry
        async with self.plain.pool.as_caller(caller) as conn:
            for tier in tiers:
                if tier is not Tier.SACRED:
                    entry = await self.plain.get(conn, tier, memory_id)
                    if entry is not None:
                        return entry
            for tier in tiers:
                if tier is not Tier.SACRED:
                    entry = await self.plain.survivor(conn, tier, memory_id)
                    if entry is not None:
                        return entry
        return None

    async def namespaces(self, caller: Caller) -> list[Space]:
        """Return the namespaces that the caller may use, without `home`."""
        async with self.plain.pool.own(read_only=True) as conn:
            spaces = await self.plain.namespaces(conn, caller.subject)
        return [space for space in spaces if space.seen_by(client_of(caller), PERSON)]

    async def check_namespace(self, caller: Caller, name: str) -> None:
        """Return if the caller may write to the namespace. Raises NamespaceUnknown."""
        if name == HOME:
            return
        async with self.plain.pool.own(read_only=True) as conn:
            space = await self.plain.namespace(conn, caller.subject, name)
        if space is None or not space.seen_by(client_of(caller), PERSON):
            raise NamespaceUnknown()

    @asynccontextmanager
    async def changing(self, memory_id: UUID) -> AsyncGenerator[None]:
        """Be the only one who changes this memory, in both databases, until the block ends. Raises Busy."""
        import asyncpg

        try:
            async with asyncio.timeout(CHANGE_WAIT_S):
                await self._changes.acquire()
        except TimeoutError:
            raise Busy() from None
        try:
            async with self.plain.pool.own() as conn:
                try:
                    await self.plain.hold(conn, memory_id)
                except asyncpg.LockNotAvailableError:
                    raise Busy() from None
                yield
        finally:
            self._changes.release()


def now() -> datetime:
    """Return the time to write into a row."""
    return datetime.now(UTC)
