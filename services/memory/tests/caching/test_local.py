"""Copies in the process: bounded, and never older than the last change anybody knows of."""

from __future__ import annotations

from uuid import UUID, uuid4

from hypothesis import given
from hypothesis import strategies as st
from memory.caching import local
from memory.caching.local import Local

ADA, BEN = UUID(int=1), UUID(int=2)
TTL = 30.0


class Time:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def made() -> tuple[Local, Time]:
    time = Time()
    return Local(time), time


def stamped(kept: Local, subject: UUID) -> int:
    stamp = kept.stamp(subject)
    assert stamp is not None
    return stamp


def test_an_answer_is_given_back_until_it_is_too_old() -> None:
    kept, time = made()
    assert kept.put(ADA, "a", b"1", stamped(kept, ADA), TTL)
    assert kept.get(ADA, "a") == b"1"
    assert kept.get(BEN, "a") is None
    time.now = TTL
    assert kept.get(ADA, "a") is None
    assert len(kept) == kept.bytes == 0


def test_an_answer_read_before_a_change_is_not_kept_after_it() -> None:
    kept, _ = made()
    stamp = stamped(kept, ADA)
    kept.changed(ADA, uuid4())
    assert not kept.put(ADA, "a", b"old", stamp, TTL)


def test_while_a_change_is_under_way_nothing_is_answered_or_kept() -> None:
    kept, _ = made()
    kept.put(ADA, "a", b"old", stamped(kept, ADA), TTL)
    first, second = uuid4(), uuid4()
    kept.changing(ADA, first)
    kept.changing(ADA, second)
    assert kept.get(ADA, "a") is None
    assert kept.stamp(ADA) is None
    kept.changed(ADA, first)
    assert kept.stamp(ADA) is None
    kept.changed(ADA, second)
    assert kept.put(ADA, "a", b"new", stamped(kept, ADA), TTL)


def test_a_change_that_was_rolled_back_stops_counting() -> None:
    kept, time = made()
    kept.changing(ADA, uuid4())
    time.now = local.CHANGE_SECONDS_MAX
    assert kept.stamp(ADA) is not None


def test_one_persons_change_leaves_anothers_answers() -> None:
    kept, _ = made()
    kept.put(ADA, "a", b"1", stamped(kept, ADA), TTL)
    kept.put(BEN, "a", b"2", stamped(kept, BEN), TTL)
    kept.changed(ADA, uuid4())
    assert kept.get(ADA, "a") is None
    assert kept.get(BEN, "a") == b"2"


def test_made_up_people_cost_the_cache_and_not_the_truth() -> None:
    kept, _ = made()
    stamp = stamped(kept, ADA)
    kept.changed(ADA, uuid4())
    for _ in range(local.ENTRIES_MAX + 1):
        kept.changed(uuid4(), uuid4())
    assert not kept.put(ADA, "a", b"old", stamp, TTL)


@given(st.lists(st.tuples(st.integers(0, 5000), st.integers(0, local.ANSWER_BYTES_MAX + 9))))
def test_neither_number_nor_size_ever_passes_its_limit(puts: list[tuple[int, int]]) -> None:
    kept, _ = made()
    for key, size in puts:
        kept.put(ADA, str(key), bytes(size), stamped(kept, ADA), TTL)
        assert kept.bytes <= local.BYTES_MAX
        assert len(kept) <= local.ENTRIES_MAX


EVENTS = st.lists(
    st.tuples(st.sampled_from(["read", "put", "begin", "commit", "event"]), st.integers(0, 3)),
    max_size=60,
)


@given(EVENTS)
def test_no_order_of_reads_and_changes_leaves_an_old_answer(
    events: list[tuple[str, int]],
) -> None:
    """A row with a version; readers that keep what they read; a writer that announces, commits and hears of it."""
    kept, _ = made()
    truth = 0
    reads: dict[int, tuple[int | None, int]] = {}
    announced: list[UUID] = []
    committed: list[UUID] = []
    for what, reader in events:
        if what == "read":
            reads[reader] = (kept.stamp(ADA), truth)
        elif what == "put" and reader in reads:
            stamp, seen = reads.pop(reader)
            if stamp is not None:
                kept.put(ADA, "row", str(seen).encode(), stamp, TTL)
        elif what == "begin":
            announced.append(uuid4())
            kept.changing(ADA, announced[-1])
        elif what == "commit" and announced:
            committed.append(announced.pop(0))
            truth += 1
        elif what == "event" and committed:
            kept.changed(ADA, committed.pop(0))
        answer = kept.get(ADA, "row")
        assert answer in (None, str(truth).encode())
