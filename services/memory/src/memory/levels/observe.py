"""Look at one person's memories: what may move, and how full each level is. It reads and holds nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from contracts.tiers import Tier

from memory.levels.decide import Item, Pair, Snapshot
from memory.levels.pairs import near_duplicates
from memory.levels.plan import EPISODIC, KNOWLEDGE, SESSION, WORKING, Limits
from memory.levels.store import PLAIN_TIERS, ROLE, LevelStore

if TYPE_CHECKING:
    from memory.plain import PlainShelf

# Of one kind and tier, in one look; the rest is seen at the next.
BATCH = 500
_COUNT_EVERY = timedelta(minutes=15)
_PEOPLE_MAX = 1000
_PAIRS_SINCE, _PAIRS_AGAIN = timedelta(days=1), timedelta(minutes=5)
_SPILLING = (SESSION, WORKING, EPISODIC, KNOWLEDGE)
_DATABASES: tuple[Sequence[Tier], ...] = (PLAIN_TIERS, (Tier.SACRED,))


@dataclass(frozen=True, slots=True)
class Observed:
    """What was seen of one person, and when."""

    at: datetime
    snapshot: Snapshot
    occupancy: Mapping[str, int]


@dataclass
class Observer:
    """Makes snapshots. It remembers how much knowledge it counted, since a million rows are not counted every minute."""

    store: LevelStore
    limits: Limits
    shelf: PlainShelf | None = None
    _knowledge: dict[UUID, tuple[datetime, int]] = field(default_factory=dict)

    async def look(
        self, subject: UUID, now: datetime, since: datetime | None = None, *, batch: int = BATCH
    ) -> Observed:
        """Return what may move, `batch` memories of each kind and tier at most. Raises DataUnavailable.

        Near-duplicates are looked for among what changed its level after `since`, if the observer has a shelf to
        read their texts from.
        """
        counted = self._counted(subject, now)
        occupancy: Counter[str] = Counter() if counted is None else Counter({KNOWLEDGE: counted})
        items: dict[UUID, Item] = {}
        for tiers in _DATABASES:
            pool = self.store.pool(tiers[0])
            async with pool.as_role(ROLE, subject, read_only=True) as conn:
                for tier in tiers:
                    found = await self.store.moving(conn, tier, now, self.limits, batch)
                    if tier is not Tier.SACRED:
                        found += await self.store.identity(conn, tier, batch)
                    items.update((item.id, item) for item in found)
                    levels = await self.store.occupancy(conn, tier, passing=counted is not None)
                    occupancy.update({level: active for level, (active, _) in levels.items()})
        if counted is None:
            self._remember(subject, now, occupancy[KNOWLEDGE])
        for level in _SPILLING:
            excess = occupancy[level] - self.limits.capacity(level)
            if excess > 0:
                await self._add_weakest(subject, level, now, min(excess, batch), items)
        pairs: list[Pair] = []
        if self.shelf is not None:
            # Back a little further: a pair that somebody was at just then is found once more.
            found, pairs = await near_duplicates(
                self.store, self.shelf, subject, (since or now - _PAIRS_SINCE) - _PAIRS_AGAIN
            )
            items.update((item.id, item) for item in found if item.id not in items)
        snapshot = Snapshot(tuple(items.values()), tuple(pairs), dict(occupancy))
        return Observed(now, snapshot, dict(occupancy))

    async def _add_weakest(
        self, subject: UUID, level: str, now: datetime, limit: int, items: dict[UUID, Item]
    ) -> None:
        for tiers in _DATABASES:
            pool = self.store.pool(tiers[0])
            async with pool.as_role(ROLE, subject, read_only=True) as conn:
                for tier in tiers:
                    found = await self.store.weakest(conn, tier, level, now, limit)
                    # The row that was read first stays: both looks may be a moment apart.
                    items.update((item.id, item) for item in found if item.id not in items)

    def _counted(self, subject: UUID, now: datetime) -> int | None:
        at, count = self._knowledge.get(subject, (None, 0))
        return count if at is not None and abs(now - at) < _COUNT_EVERY else None

    def _remember(self, subject: UUID, now: datetime, count: int) -> None:
        if len(self._knowledge) >= _PEOPLE_MAX:
            self._knowledge.clear()
        self._knowledge[subject] = (now, count)
