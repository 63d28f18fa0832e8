"""What an answer counts as a use of, and what a use does to a memory."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from contracts.tiers import Tier
from hypothesis import given
from hypothesis import strategies as st
from memory.levels.decay import SPACING, STRENGTH_MAX
from memory.levels.decide import Item
from memory.levels.plan import LEVELS, LIMITS
from memory.levels.touch import (
    ANSWERS_MAX,
    FOUND_MAX,
    USES_MAX,
    Touch,
    Use,
    counted,
    memories_of,
    used,
)

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


def item(level: str, **changed: object) -> Item:
    told: dict[str, object] = {
        "id": UUID(int=1),
        "tier": "convenience",
        "namespace": "home",
        "level": level,
        "strength": 1.0,
        "accesses": 3,
        "accessed_at": NOW - timedelta(minutes=1),
        "created_at": NOW - timedelta(minutes=1),
        "expires_at": LIMITS.expires_at(level, NOW - timedelta(minutes=1)),
    }
    return Item(**{**told, **changed})  # type: ignore[arg-type]


def ranked(*scores: float) -> list[tuple[UUID, Tier, float]]:
    return [(UUID(int=n + 1), Tier.CONVENIENCE, score) for n, score in enumerate(scores)]


def test_the_best_of_an_answer_count_and_what_trails_far_behind_does_not() -> None:
    assert [score for _, _, score in counted(ranked(0.8, 0.5, 0.39, 0.1))] == [0.8, 0.5]
    assert counted(ranked(0.0)) == []
    assert counted([]) == []
    assert len(counted(ranked(*[0.9] * 50))) == FOUND_MAX


def test_an_answer_is_read_for_the_memories_it_used() -> None:
    ident = UUID(int=7)
    one = {"id": str(ident), "tier": "sacred", "text": "said"}
    assert memories_of(json.dumps(one).encode()) == [(ident, Tier.SACRED, 1.0)]
    recalled = {"results": [{"memory": one, "score": 0.6, "reasons": []}], "degraded": None}
    assert memories_of(json.dumps(recalled).encode()) == [(ident, Tier.SACRED, 0.6)]
    assert memories_of(b'{"results": []}') == []


@pytest.mark.parametrize("level", ["session", "working"])
def test_what_is_used_lives_longer_and_its_uses_are_counted(level: str) -> None:
    after = used(item(level), Use(1, 1.0), NOW, LIMITS)
    assert after is not None
    assert after.expires_at == LIMITS.expires_at(level, NOW)
    assert after.accesses == 4
    # Within the spacing it is one interest: nothing is gained.
    assert after.strength == 1.0


def test_a_loop_within_a_second_counts_a_few_times_at_most() -> None:
    after = used(item("working", accesses=0), Use(10_000, 1.0), NOW, LIMITS)
    assert after is not None
    assert after.accesses == USES_MAX


@pytest.mark.parametrize("level", ["knowledge", "identity"])
def test_what_stays_is_written_only_when_a_use_counts(level: str) -> None:
    assert used(item(level), Use(1, 1.0), NOW, LIMITS) is None
    spaced = used(item(level, accessed_at=NOW - SPACING), Use(1, 0.5), NOW, LIMITS)
    assert spaced is not None
    assert 1.0 < spaced.strength < 1.5
    assert spaced.accessed_at == NOW
    assert spaced.expires_at is None


def test_a_clock_that_was_set_back_shortens_no_life() -> None:
    ends = NOW + timedelta(days=2)
    after = used(item("session", expires_at=ends), Use(1, 1.0), NOW, LIMITS)
    assert after is not None
    assert after.expires_at == ends


@given(
    st.sampled_from(sorted(LEVELS)),
    st.floats(0, STRENGTH_MAX),
    st.integers(0, 2_000_000),
    st.integers(1, 10**9),
    st.floats(allow_nan=True),
    st.timedeltas(timedelta(days=-400), timedelta(days=400)),
)
def test_no_use_takes_a_memory_out_of_bounds(
    level: str, strength: float, accesses: int, times: int, relevance: float, age: timedelta
) -> None:
    before = item(level, strength=strength, accesses=accesses, accessed_at=NOW - age)
    after = used(before, Use(times, relevance), NOW, LIMITS)
    if after is not None:
        assert 0 <= after.strength <= STRENGTH_MAX
        assert 0 <= after.accesses <= max(1_000_000, accesses)
        assert replace(after, strength=0, accesses=0, accessed_at=NOW, expires_at=None) == replace(
            before, strength=0, accesses=0, accessed_at=NOW, expires_at=None
        )


def test_more_answers_than_a_second_can_hold_are_let_go_of(clock: object) -> None:
    touch = Touch(None, LIMITS, clock)  # type: ignore[arg-type]
    for number in range(ANSWERS_MAX + 50):
        touch.answered(UUID(int=1), f"answer {number}".encode())
    touch.answered(UUID(int=1), b"answer 0")
    assert len(touch._answers) == ANSWERS_MAX
    assert touch._answers[UUID(int=1), b"answer 0"] == 2
