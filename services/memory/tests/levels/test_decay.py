"""A memory fades and is refreshed: never by more than it should, whatever the clock does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory.levels.decay import (
    GAIN,
    HALF_LIFE,
    SPACING,
    STRENGTH_MAX,
    half_life,
    reinforce,
    strength_now,
)

START = datetime(2026, 3, 1, tzinfo=UTC)
LEVELS = ("identity", "session", "working", "episodic", "knowledge")
levels = st.sampled_from(LEVELS)
strengths = st.floats(0, STRENGTH_MAX)
spans = st.timedeltas(min_value=timedelta(days=-400), max_value=timedelta(days=4000))


def test_an_episodic_memory_loses_half_its_strength_in_seven_days() -> None:
    assert strength_now(4.0, START, START + HALF_LIFE, "episodic") == pytest.approx(2.0)
    assert strength_now(4.0, START, START + 2 * HALF_LIFE, "episodic") == pytest.approx(1.0)
    assert timedelta(days=7) == HALF_LIFE


@pytest.mark.parametrize("level", ["identity", "session", "working", "knowledge"])
def test_nothing_else_fades(level: str) -> None:
    assert half_life(level) is None
    assert strength_now(3.0, START, START + timedelta(days=3650), level) == 3.0


@given(strengths, spans, spans, levels)
def test_strength_never_grows_by_waiting(
    strength: float, one: timedelta, other: timedelta, level: str
) -> None:
    early, late = sorted((START + one, START + other))
    before = strength_now(strength, START, early, level)
    after = strength_now(strength, START, late, level)
    assert 0 <= after <= before <= strength


@given(
    strengths,
    st.lists(st.tuples(spans, st.floats(-1, 2)), max_size=60),
    levels,
)
def test_strength_stays_within_its_bounds_whatever_happens(
    strength: float, uses: list[tuple[timedelta, float]], level: str
) -> None:
    at = START
    for step, relevance in uses:
        moment = at + step / 60
        before = strength_now(strength, at, moment, level)
        strength, at = reinforce(strength, at, moment, level, relevance=relevance)
        assert 0 <= strength <= STRENGTH_MAX
        assert strength <= before + GAIN


@given(strengths, levels)
def test_each_use_adds_less_than_the_one_before(strength: float, level: str) -> None:
    at, gains = START, []
    for _ in range(12):
        # As soon as a use counts: what fades in between is next to nothing.
        moment = at + SPACING
        before = strength_now(strength, at, moment, level)
        strength, at = reinforce(strength, at, moment, level)
        gains.append(strength - before)
    assert all(gain >= 0 for gain in gains)
    assert all(later <= earlier + 1e-3 for earlier, later in pairwise(gains))


@given(strengths, st.integers(1, 500), levels)
def test_a_loop_of_reads_counts_once(strength: float, reads: int, level: str) -> None:
    once, _ = reinforce(strength, START - timedelta(days=1), START, level)
    looped, at = strength, START - timedelta(days=1)
    for read in range(reads):
        looped, at = reinforce(looped, at, START + read * SPACING / 501, level)
    assert looped == once
    assert at == START


def test_the_first_use_of_all_need_not_wait() -> None:
    strength, at = reinforce(1.0, START, START + timedelta(seconds=5), "episodic", first=True)
    assert strength == pytest.approx(1.0 + GAIN * (1 - 1 / STRENGTH_MAX), abs=1e-3)
    again, _ = reinforce(strength, at, at + timedelta(seconds=5), "episodic")
    assert again == strength


def test_a_use_that_was_hardly_about_it_adds_little() -> None:
    later = START + timedelta(hours=1)
    assert reinforce(1.0, START, later, "knowledge", relevance=0.1)[0] < 1.1
    assert reinforce(1.0, START, later, "knowledge", relevance=0.0)[0] == 1.0
    assert reinforce(1.0, START, later, "knowledge", relevance=float("nan"))[0] == 1.0


def test_a_time_noted_by_a_clock_that_ran_ahead_is_set_right_by_the_next_use() -> None:
    ahead = START + timedelta(days=30)
    assert strength_now(2.0, ahead, START, "episodic") == 2.0
    strength, at = reinforce(2.0, ahead, START, "episodic")
    assert at == START
    assert 2.0 < strength < 3.0


def test_what_is_not_a_number_is_no_strength() -> None:
    assert strength_now(float("nan"), START, START, "episodic") == 0.0
    assert strength_now(99.0, START, START, "knowledge") == STRENGTH_MAX
