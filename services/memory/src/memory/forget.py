"""Forget: the row, its embedding, its place in the queue, its events and its hashes go; a tombstone stays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from uuid import UUID

from contracts.identity import Caller
from contracts.memory import Erased, Tier

from memory.domain import allowed_tiers
from memory.errors import MemoryNotFound
from memory.library import Library
from memory.presenting import check_writes
from memory.store import Shelf

STORES = ("rows", "embeddings", "pending", "request_hashes", "events")


class Forget:
    """`DELETE /v1/memories/{id}`."""

    def __init__(self, library: Library, wake: Callable[[Tier], None]) -> None:
        self._library = library
        self._wake = wake

    async def __call__(self, caller: Caller, memory_id: UUID) -> Erased:
        """Return how much was erased, per store, once it is gone; all zero when it was already forgotten.

        Raises MemoryNotFound, Busy, kit.read_only.
        """
        check_writes(caller.db_role, caller.read_only)
        erased: Counter[str] = Counter(dict.fromkeys(STORES, 0))
        known = False
        async with self._library.changing(memory_id):
            # A move that was interrupted leaves a copy on each shelf: both are cleared, whatever was found first.
            for shelf in self._library.shelves(caller.db_role):
                tier = await self._clear(shelf, caller, memory_id, erased)
                known = known or tier is not None
            if not known:
                raise MemoryNotFound()
            # A memory that has moved leaves its key in the books of the shelf where it was first remembered.
            for shelf in (self._library.plain, self._library.sacred):
                async with shelf.pool.own() as conn:
                    erased.update(await shelf.erase_traces(conn, memory_id))
        return Erased(erased=dict(erased))

    async def _clear(
        self, shelf: Shelf, caller: Caller, memory_id: UUID, erased: Counter[str]
    ) -> Tier | None:
        """Erase the memory from one shelf; return its tier there, now or before it was forgotten."""
        cleared: Tier | None = None
        async with shelf.pool.as_caller(caller) as conn:
            for tier in allowed_tiers(caller.db_role):
                if self._library.shelf(tier) is not shelf:
                    continue
                deleted = await shelf.delete(conn, tier, memory_id)
                if deleted is not None:
                    cleared = tier
                    erased["rows"] += 1
                    erased["embeddings"] += deleted.embeddings
            await shelf.step_out(conn)
            if cleared is None:
                buried = await shelf.tombstone(conn, memory_id, caller.subject)
                # A tombstone in a tier the caller has no part in is as invisible as the memory was.
                return buried if buried in allowed_tiers(caller.db_role) else None
            erased["events"] += await shelf.drop_events(conn, memory_id)
            await shelf.bury(conn, memory_id, caller.subject, cleared)
            await shelf.announce(conn, memory_id, caller.subject, cleared, "forgotten")
        self._wake(cleared)
        return cleared
