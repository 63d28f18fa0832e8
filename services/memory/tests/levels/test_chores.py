"""When a chore is due: once in its time, at its hour, and again soon when it was cut off."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from memory.levels.chores import RETRY, Chore, LastTime, due
from memory.levels.duties import duties

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)


async def nothing(_: Any) -> None:
    return


WEEKLY = Chore("weekly", 7 * DAY, nothing)
NIGHTLY = Chore("nightly", DAY, nothing, hour=3)


def ended(ago: timedelta, code: str | None = None) -> LastTime:
    return LastTime(NOW - ago, True, code)


def test_a_chore_is_due_when_its_time_has_passed() -> None:
    assert due(WEEKLY, None, NOW)
    assert not due(WEEKLY, ended(7 * DAY - MINUTE), NOW)
    assert due(WEEKLY, ended(7 * DAY), NOW)


@pytest.mark.parametrize("last", [ended(RETRY, "data.unavailable"), LastTime(NOW - RETRY, False)])
def test_one_that_failed_or_was_cut_off_is_tried_again_soon(last: LastTime) -> None:
    assert due(WEEKLY, last, NOW)
    assert not due(WEEKLY, last, NOW - MINUTE)


def test_a_chore_of_the_night_waits_for_its_hour_and_is_done_once_a_night() -> None:
    three = NOW.replace(hour=3)
    assert not due(NIGHTLY, None, NOW.replace(hour=2))
    assert due(NIGHTLY, None, three)
    done = LastTime(three, True)
    assert not due(NIGHTLY, done, three + timedelta(hours=9))
    assert not due(NIGHTLY, done, three + timedelta(hours=23))
    assert due(NIGHTLY, done, three + DAY)
    # A night that was begun late does not push the next one into the day.
    late = LastTime(three + timedelta(hours=8), True)
    assert due(NIGHTLY, late, three + DAY)


def test_a_time_noted_by_a_clock_that_ran_ahead_silences_no_chore() -> None:
    assert due(WEEKLY, LastTime(NOW + 300 * DAY, True), NOW)


def test_every_chore_of_the_house_has_a_name_of_its_own_and_an_end() -> None:
    names = [chore.name for chore in duties()]
    assert len(names) == len(set(names))
    assert all(chore.every >= MINUTE for chore in duties())
