"""Filters never leak, and sacred rows become candidates like any other."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from contracts.memory import RecallRequest
from contracts.tiers import Level, Tier
from hypothesis import given
from hypothesis import strategies as st
from memory.domain import Entry, Filters
from memory.errors import LevelUnknown, NamespaceInvalid, TierDenied, TimeInvalid
from memory.recall import closed
from memory.recall.asked import passes, read_filters
from memory.recall.question import read

NOW = datetime(2026, 11, 20, tzinfo=UTC)
DAYS = st.integers(-10, 10).map(lambda days: NOW + timedelta(days=days))
SPACES, KINDS, THREADS = ["home", "work"], ["turn", "mail"], [None, "a", "b"]
ENTRIES = st.builds(
    Entry,
    id=st.integers(1, 10**6).map(lambda number: UUID(int=number)),
    subject_id=st.just(uuid4()),
    tier=st.just(Tier.SACRED),
    text=st.just("the key"),
    source_kind=st.sampled_from(KINDS),
    source_ref=st.none(),
    occurred_at=st.none() | DAYS,
    created_at=DAYS,
    updated_at=DAYS,
    namespace=st.sampled_from(SPACES),
    level=st.sampled_from(list(Level)),
    thread=st.sampled_from(THREADS),
    expires_at=st.none() | DAYS,
    archived_at=st.none() | DAYS,
    superseded_by=st.none() | st.just(UUID(int=1)),
)


def some(values: list[str]) -> st.SearchStrategy[tuple[str, ...] | None]:
    return st.none() | st.lists(st.sampled_from(values), max_size=2).map(tuple)


FILTERS = st.builds(
    Filters,
    tiers=st.just((Tier.SACRED,)),
    namespaces=some(SPACES),
    levels=st.none() | st.lists(st.sampled_from(list(Level)), max_size=2).map(tuple),
    sources=some(KINDS),
    threads=some(["a", "b"]),
    entities=st.none() | st.just((UUID(int=7),)),
    since=st.none() | DAYS,
    until=st.none() | DAYS,
    archived=st.booleans(),
    superseded=st.booleans(),
)


@given(ENTRIES, FILTERS)
def test_what_passes_has_everything_that_was_asked(entry: Entry, filters: Filters) -> None:
    if not passes(entry, filters, NOW):
        return
    assert filters.namespaces is None or entry.namespace in filters.namespaces
    assert filters.levels is None or entry.level in filters.levels
    assert filters.sources is None or entry.source_kind in filters.sources
    assert filters.threads is None or entry.thread in filters.threads
    assert filters.entities is None
    assert filters.since is None or entry.happened_at >= filters.since
    assert filters.until is None or entry.happened_at < filters.until
    assert filters.archived or entry.archived_at is None
    assert filters.archived or entry.expires_at is None or entry.expires_at > NOW
    assert filters.superseded or entry.superseded_by is None


@given(ENTRIES)
def test_without_filters_everything_that_has_not_ended_passes(entry: Entry) -> None:
    ended = entry.archived_at is not None or (
        entry.expires_at is not None and entry.expires_at <= NOW
    )
    assert passes(entry, Filters((Tier.SACRED,)), NOW) != ended
    assert passes(entry, Filters((Tier.SACRED,), archived=True), NOW)


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        ({"tiers": ["sacred"]}, TierDenied),
        ({"levels": ["wisdom"]}, LevelUnknown),
        ({"namespaces": ["No!"]}, NamespaceInvalid),
        ({"since": "2026-01-01T00:00:00"}, TimeInvalid),
        ({"since": "2026-02-01T00:00:00Z", "until": "2026-01-01T00:00:00Z"}, TimeInvalid),
    ],
)
def test_a_filter_that_makes_no_sense_is_a_coded_error(
    asked: dict[str, object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        read_filters("lares_mcp", RecallRequest.model_validate({"query": "x", **asked}))


def entry(number: int, text: str, **changes: object) -> Entry:
    given_fields: dict[str, object] = {
        "id": UUID(int=number),
        "subject_id": UUID(int=99),
        "tier": Tier.SACRED,
        "text": text,
        "source_kind": "turn",
        "source_ref": None,
        "occurred_at": None,
        "created_at": NOW,
        "updated_at": NOW,
    }
    return Entry(**{**given_fields, **changes})  # pyright: ignore[reportArgumentType]


def test_sacred_rows_are_counted_compared_and_set_beside_each_other() -> None:
    question = read("Where are the keys?", [], NOW)
    rows = [
        entry(1, "Where are the keys?", thread="t", position=1, embedding=[1.0, 0.0]),
        entry(3, "Unrelated."),
        entry(2, "In the drawer.", thread="t", position=5, embedding=[0.6, 0.8]),
    ]
    found, corpus = closed.candidates(rows, question, [2.0, 0.0])
    assert corpus.rows == 3
    assert corpus.document_frequency == {"key": 1}
    asked, alone, answer = found
    assert asked.terms == {"key": 1.0}
    assert asked.cosine == pytest.approx(1.0)
    assert answer.cosine == pytest.approx(0.6)
    assert alone.cosine is None
    assert (asked.after, answer.before, alone.before) == (answer.id, asked.id, None)
