"""A worker that takes no jobs although there are some is noticed; one that is busy, idle or cut off is left alone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from kit.stall import Stall, Tally


def test_jobs_that_nobody_takes_for_long_enough_are_a_stall() -> None:
    stall = Stall(30)
    assert not stall.seen(3, 7, 0, 0.0)
    assert not stall.seen(3, 7, 0, 5.0)
    assert not stall.seen(3, 7, 0, 34.9)
    assert stall.seen(4, 7, 0, 35.0)


def test_a_job_begun_or_running_an_empty_queue_and_a_silent_broker_start_the_clock_anew() -> None:
    for waiting, begun, running in ((3, 8, 0), (3, 7, 1), (0, 7, 0), (None, 7, 0)):
        stall = Stall(30)
        stall.seen(3, 7, 0, 0.0)
        stall.seen(3, 7, 0, 5.0)
        assert not stall.seen(waiting, begun, running, 40.0)
        assert not stall.seen(3, begun, 0, 41.0)
        assert not stall.seen(3, begun, 0, 70.9)


@given(st.lists(st.tuples(st.none() | st.integers(0, 3), st.integers(0, 1), st.integers(0, 1))))
def test_there_is_no_stall_without_waiting_jobs_over_the_whole_time(
    looks: list[tuple[int | None, int, int]],
) -> None:
    stall, begun, quiet = Stall(30), 0, 0
    for number, (waiting, more, running) in enumerate(looks):
        begun += more
        quiet = quiet + 1 if waiting and not running and not more and number else 0
        if stall.seen(waiting, begun, running, number * 5.0):
            assert quiet >= 7


def test_the_tally_counts_what_begins_and_what_runs() -> None:
    tally = Tally()
    with tally:
        assert (tally.begun, tally.running) == (1, 1)
    try:
        with tally:
            raise ValueError
    except ValueError:
        pass
    assert (tally.begun, tally.running) == (2, 0)
