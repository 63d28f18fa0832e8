"""Near-duplicates: what is one claim, and all the small words that make two."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from contracts.tiers import Level, Tier
from hypothesis import given
from hypothesis import strategies as st
from memory.domain import Entry
from memory.writing.duplicates import COSINE_MIN, claim, may_merge, same_claim

PAIRS = [
    tuple(line.split("\t"))
    for line in (Path(__file__).parent / "samples/pairs.tsv").read_text("utf-8").splitlines()
]
SAME = [(one, other) for kind, one, other in PAIRS if kind == "same"]
OTHER = [(one, other) for kind, one, other in PAIRS if kind == "other"]
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def entry(text: str = "I live in Lisbon", **more: object) -> Entry:
    plain = Entry(
        id=uuid4(),
        subject_id=uuid4(),
        tier=Tier.CONVENIENCE,
        text=text,
        source_kind="api",
        source_ref=None,
        occurred_at=None,
        created_at=NOON,
        updated_at=NOON,
    )
    return replace(plain, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_the_same_said_differently_is_one_claim(one: str, other: str) -> None:
    assert same_claim(one, other), (claim(one), claim(other))


@pytest.mark.parametrize(("one", "other"), OTHER)
def test_another_name_number_time_order_or_negation_is_another_claim(one: str, other: str) -> None:
    assert not same_claim(one, other), claim(one)


@given(st.text(max_size=200), st.text(max_size=200))
def test_sameness_goes_both_ways(one: str, other: str) -> None:
    assert same_claim(one, other) == same_claim(other, one)
    assert same_claim(one, one)


@given(st.sampled_from([*SAME, *OTHER]), st.floats(-1, 1), st.floats(0, 3), st.floats(0, 3))
def test_who_comes_first_changes_no_decision(
    pair: tuple[str, str], cosine: float, one_days: float, other_days: float
) -> None:
    one = entry(pair[0], occurred_at=NOON + timedelta(days=one_days))
    other = entry(pair[1], occurred_at=NOON + timedelta(days=other_days))
    assert may_merge(one, other, cosine) == may_merge(other, one, cosine)


def test_what_is_far_apart_in_meaning_is_not_merged_whatever_its_words() -> None:
    one, other = entry(), entry()
    assert may_merge(one, other)
    assert may_merge(one, other, COSINE_MIN)
    assert not may_merge(one, other, COSINE_MIN - 0.01)
    assert not may_merge(one, other, float("nan"))


def test_a_memory_is_not_merged_with_itself() -> None:
    one = entry()
    assert not may_merge(one, one)


@pytest.mark.parametrize(
    "apart",
    [
        {"tier": Tier.SENSITIVE},
        {"namespace": "work"},
        {"level": Level.EPISODIC},
        {"speaker": "Ben"},
        {"superseded_at": NOON},
        {"archived_at": NOON},
        {"valid_to": NOON},
        {"valid_from": NOON},
        {"thread": "t", "position": 1},
    ],
)
def test_what_stands_elsewhere_or_stands_no_more_is_not_merged(apart: dict[str, object]) -> None:
    assert not may_merge(entry(), entry(**apart))


def test_two_turns_of_a_conversation_are_two_turns() -> None:
    yes = {"thread": "talk", "source_kind": "turn", "source_ref": "t-1"}
    first = entry("Yes!", position=1, **yes)
    assert not may_merge(first, entry("Yes!", position=2, **yes))
    assert not may_merge(first, entry("Yes!", position=1, **{**yes, "source_ref": "t-2"}))
    assert not may_merge(
        entry("Yes!", thread="talk", position=1), entry("Yes!", thread="talk", position=1)
    )
    assert may_merge(first, entry("Yes!", position=1, **yes))


def test_two_days_are_two_events() -> None:
    ran = "I went running with Tom"
    first = entry(ran, occurred_at=NOON)
    assert not may_merge(first, entry(ran, occurred_at=NOON + timedelta(days=3)))
    assert may_merge(first, entry(ran, occurred_at=NOON + timedelta(hours=3)))


def test_what_counts_from_now_is_the_same_on_the_same_day_only() -> None:
    later = NOON + timedelta(days=30)
    assert may_merge(entry("I love tea"), entry("I love tea", created_at=later))
    assert not may_merge(
        entry("I see the dentist tomorrow"), entry("I see the dentist tomorrow", created_at=later)
    )
