"""The levels in one table: what each holds, for how long and for whom. A house's settings override the figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from contracts.tiers import IDENTITY_TOKENS_MAX

from memory.levels.decay import half_life

IDENTITY, SESSION, WORKING = "identity", "session", "working"
EPISODIC, KNOWLEDGE = "episodic", "knowledge"
# The kind of source that a weekly summary names: it restates what is known, so nothing is read out of it.
SUMMARY_KIND = "lares.summary"
# Between English prose (about 4.5) and what costs most in our models' vocabularies: an estimate that errs high.
CHARACTERS_PER_TOKEN = 3.5


@dataclass(frozen=True, slots=True)
class LevelPlan:
    """What one level promises. Capacities count one person's memories that are not archived."""

    level: str
    owner: str
    capacity: int
    ttl: timedelta | None = None
    tokens_max: int | None = None

    @property
    def half_life(self) -> timedelta | None:
        """How long a memory takes to lose half its strength; None when it does not fade."""
        return half_life(self.level)


LEVELS: Mapping[str, LevelPlan] = {
    plan.level: plan
    for plan in (
        LevelPlan(IDENTITY, "the person", 1_000, tokens_max=IDENTITY_TOKENS_MAX),
        LevelPlan(SESSION, "the conversation", 1_000, ttl=timedelta(minutes=30)),
        LevelPlan(WORKING, "the task at hand", 10_000, ttl=timedelta(hours=1)),
        LevelPlan(EPISODIC, "all agents", 100_000),
        LevelPlan(KNOWLEDGE, "the house", 1_000_000),
    )
}


@dataclass(frozen=True, slots=True)
class Limits:
    """By what the consolidation decides. A test or a house may set every figure; none may be unbounded."""

    levels: Mapping[str, LevelPlan] = field(default_factory=lambda: LEVELS)
    session_accesses: int = 2  # session -> working
    working_accesses: int = 5  # working -> episodic
    # episodic -> knowledge: used often, for longer than one half-life, and still strong after it.
    episodic_accesses: int = 10
    episodic_age: timedelta = timedelta(days=7)
    episodic_strength: float = 3.0
    # Below this an episodic memory is archived: one that was never used is there after 23 days.
    weak_strength: float = 0.1
    # An archived memory keeps this much at most, and returns when use has brought it back to `restore_strength`:
    # two uses that count.
    archived_strength: float = 0.5
    restore_strength: float = 2.0

    def ttl(self, level: str) -> timedelta | None:
        """Return a level's time to live; None for one that keeps."""
        return self.levels[level].ttl

    def capacity(self, level: str) -> int:
        """Return how many active memories of one person the level holds."""
        return self.levels[level].capacity

    def expires_at(self, level: str, now: datetime) -> datetime | None:
        """Return when a memory that comes to this level now, or is used in it now, ends; None for never."""
        ttl = self.ttl(level)
        return now + ttl if ttl is not None else None

    def with_capacity(self, capacity: Mapping[str, int]) -> Limits:
        """Return the same with other capacities for the levels that are named."""
        changed = {level: replace(self.levels[level], capacity=n) for level, n in capacity.items()}
        return replace(self, levels={**self.levels, **changed})


LIMITS = Limits()


def tokens_of(characters: int) -> int:
    """Return about how many tokens a text of this length has as a line of a prompt, rather too many than too few."""
    return int(characters / CHARACTERS_PER_TOKEN) + 2
