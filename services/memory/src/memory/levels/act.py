"""Carry out one move in one transaction. The plan is advice, the row decides.

Under the lock that also edits, tier moves and forgetting take, the row is read again; unless the same step still
follows from it, nothing happens and the next round plans afresh. The journal's line, the count and the event are
written with the row or not at all, in the row's own database.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from contracts.tiers import Tier
from kit.pool import Connection

from memory.errors import Busy
from memory.levels.decide import Item, Move, Why, after, next_for, score
from memory.levels.plan import Limits
from memory.levels.store import ROLE, Entered, LevelStore

if TYPE_CHECKING:
    from memory.plain import PlainShelf

STEP_OUT = "SET LOCAL ROLE NONE"


@dataclass(frozen=True)
class Actor:
    """Does what a plan says, one move at a time."""

    store: LevelStore
    limits: Limits
    shelf: PlainShelf | None = None

    async def __call__(self, subject: UUID, move: Move, now: datetime) -> Entered | None:
        """Return the journal's entry of the move; None when the row says otherwise by now. Raises DataUnavailable."""
        tier = Tier(move.tier)
        if move.into is not None:
            return await self._merge(subject, tier, move, move.into)
        async with self._held(subject, tier, move.id) as conn:
            item = await self.store.take(conn, tier, move.id) if conn is not None else None
            if conn is None or item is None or not still(item, move, now, self.limits):
                return None
            made = replace(move, namespace=item.namespace, score=score(item, now))
            await self.store.put(conn, tier, after(item, made, now, self.limits))
            await conn.execute(STEP_OUT)
            return await self.store.enter(conn, subject, made)

    async def _merge(self, subject: UUID, tier: Tier, move: Move, into: UUID) -> Entered | None:
        """Make one memory of two, if they still say the same."""
        if self.shelf is None or tier is Tier.SACRED:
            return None
        # Only who has two of a kind loads what makes one of them.
        from memory.writing.merge import hold_memories, merge_in

        async with self.store.plain.as_role(ROLE, subject) as conn:
            for memory_id in sorted((move.id, into)):
                if not await self.store.hold(conn, memory_id):
                    return None
            await conn.execute(STEP_OUT)
            try:
                # Held already: this asks in addition whether either is on its way to another tier.
                await hold_memories(conn, self.shelf, (move.id, into))
            except Busy:
                return None
            await self.shelf.step_in(conn, ROLE)
            survivor = await merge_in(conn, self.shelf, tier, move.id, into)
            if survivor is None:
                return None
            gone = move.id if survivor == into else into
            made = replace(move, id=gone, into=survivor)
            return await self.store.enter(conn, subject, made, announced=True)

    @asynccontextmanager
    async def _held(
        self, subject: UUID, tier: Tier, memory_id: UUID
    ) -> AsyncGenerator[Connection | None]:
        """One transaction in which nobody else changes the memory; None when somebody is at it."""
        if tier is not Tier.SACRED:
            async with self.store.plain.as_role(ROLE, subject) as conn:
                yield conn if await self.store.hold(conn, memory_id) else None
            return
        # The lock lies in the plain database for all tiers: a memory on its way between two has one id.
        async with self.store.plain.own() as guard:
            if not await self.store.hold(guard, memory_id):
                yield None
                return
            async with self.store.sacred.as_role(ROLE, subject) as conn:
                yield conn


def still(item: Item, move: Move, now: datetime, limits: Limits) -> bool:
    """Say whether a move that was planned follows from the row as it is."""
    if move.reason is Why.LEVEL_FULL:
        # Not used since it was found to be among the weakest, nor moved by anybody.
        return item.active and item.level == move.from_level and score(item, now) <= move.score
    following = next_for(item, now, limits)
    return following is not None and (following.kind, following.from_level, following.to_level) == (
        move.kind,
        move.from_level,
        move.to_level,
    )
