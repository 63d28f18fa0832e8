"""Noting that memories were used: recall and a look by id leave their answer here, and nobody waits for it.

Answers lie in a bounded buffer; once a second it is read out of them which memories they used, and that is written in
one statement for each person and tier. So an answer from a cache counts like any other, and whoever only reads is
counted too: the note is the house's own, written as the application. A crash loses a second of notes and no memory.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from contracts.tiers import Tier
from kit import logs
from kit.errors import KitError

from memory.levels.decay import reinforce
from memory.levels.decide import ACCESSES_MAX, Item
from memory.levels.plan import EPISODIC, SESSION, WORKING, Limits
from memory.levels.store import ROLE, LevelStore

if TYPE_CHECKING:
    from kit.clock import Clock
    from kit.metrics import Metrics

log = logs.get(__name__)
FLUSH_SECONDS = 1.0
# More answers than this within a second are not noted: they would be the work of a loop, or of a whole house at once.
ANSWERS_MAX = 500
# One memory's uses within one flush: a page that asks three times counts thrice, a loop does not count a thousand.
USES_MAX = 10
ROWS_MAX = 500
# Of an answer, what was about the question: the first few, as long as they are not far behind the best.
FOUND_MAX = 10
FOUND_SHARE = 0.5


@dataclass(slots=True)
class Use:
    """How often a memory was used since the last flush, and how much the best of those uses was about it."""

    times: int
    relevance: float


def counted(ranked: Sequence[tuple[UUID, Tier, float]]) -> list[tuple[UUID, Tier, float]]:
    """Return which memories of an answer (best first, scores in 0..1) count as used."""
    if not ranked:
        return []
    best = max(score for _, _, score in ranked)
    return [each for each in ranked[:FOUND_MAX] if each[2] >= best * FOUND_SHARE and each[2] > 0]


def memories_of(content: bytes) -> list[tuple[UUID, Tier, float]]:
    """Return what an answer used and how much it was about it: the memory itself, or the best of a recall."""
    said: Any = json.loads(content)
    if "results" not in said:
        return [(UUID(said["id"]), Tier(said["tier"]), 1.0)]
    return counted(
        [
            (UUID(each["memory"]["id"]), Tier(each["memory"]["tier"]), float(each["score"]))
            for each in said["results"]
        ]
    )


def used(item: Item, use: Use, now: datetime, limits: Limits) -> Item | None:
    """Return the memory after its uses; None when there is nothing to write.

    What passes lives longer by its time to live. What stays is written only when a use counts for its strength:
    otherwise every look at knowledge would be a write.
    """
    strength, accessed_at = reinforce(
        item.strength,
        item.accessed_at,
        now,
        item.level,
        first=item.accesses == 0,
        relevance=use.relevance,
    )
    if accessed_at == item.accessed_at and item.level not in (SESSION, WORKING, EPISODIC):
        return None
    expires_at = limits.expires_at(item.level, now)
    if expires_at is not None and item.expires_at is not None:
        # A clock that was set back shortens nothing.
        expires_at = max(expires_at, item.expires_at)
    return replace(
        item,
        strength=strength,
        accesses=min(item.accesses + min(use.times, USES_MAX), ACCESSES_MAX),
        accessed_at=accessed_at,
        expires_at=expires_at,
    )


class Touch:
    """The buffer of uses, and the task that writes them."""

    def __init__(
        self, store: LevelStore, limits: Limits, clock: Clock, metrics: Metrics | None = None
    ) -> None:
        self._store = store
        self._limits = limits
        self._clock = clock
        self._answers: dict[tuple[UUID, bytes], int] = {}
        self._dropped = (
            metrics.counter(
                "uses_dropped_total", "Answers whose uses were not noted: too many at once."
            )
            if metrics
            else None
        )

    def answered(self, subject: UUID, content: bytes) -> None:
        """Note that this answer, a memory or the result of a recall, was given; it costs next to nothing."""
        key = (subject, content)
        if key in self._answers or len(self._answers) < ANSWERS_MAX:
            self._answers[key] = self._answers.get(key, 0) + 1
        elif self._dropped is not None:
            self._dropped.inc()

    async def run(self) -> None:
        """Write what was noted once a second, until cancelled; what is left then is written last."""
        try:
            while True:
                await self._clock.sleep(FLUSH_SECONDS)
                await self.flush()
        except asyncio.CancelledError:
            await self.flush()
            raise

    async def flush(self) -> int:
        """Write what was noted and return how many memories it concerned. What fails is let go of, never retried."""
        answers, self._answers = self._answers, {}
        waiting: dict[tuple[UUID, Tier], dict[UUID, Use]] = {}
        for (subject, content), times in answers.items():
            for memory_id, tier, relevance in memories_of(content):
                use = waiting.setdefault((subject, tier), {}).setdefault(memory_id, Use(0, 0.0))
                use.times += times
                use.relevance = max(use.relevance, relevance)
            # Whoever waits for an answer goes first.
            await asyncio.sleep(0)
        written = 0
        for (subject, tier), uses in waiting.items():
            idents = sorted(uses)
            for start in range(0, len(idents), ROWS_MAX):
                part = {ident: uses[ident] for ident in idents[start : start + ROWS_MAX]}
                try:
                    written += await self._write(subject, tier, part)
                except KitError as error:
                    log.warning("uses.not_noted", code=error.code)
                    return written
                except Exception as error:
                    log.exception("uses.not_noted", error)
        return written

    async def _write(self, subject: UUID, tier: Tier, uses: dict[UUID, Use]) -> int:
        now = self._clock.now()
        async with self._store.pool(tier).as_role(ROLE, subject) as conn:
            held = await self._store.take_many(conn, tier, list(uses))
            changed = [
                after
                for item in held
                if (after := used(item, uses[item.id], now, self._limits)) is not None
            ]
            if changed:
                await self._store.put_uses(conn, tier, changed)
        return len(changed)
