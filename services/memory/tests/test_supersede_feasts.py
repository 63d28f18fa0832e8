"""Feasts stand for the days on which they fall."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from memory.supersede.evidence import timeless
from memory.supersede.feasts import feasts
from memory.supersede.when import Kind, asking

NOW = datetime(2026, 11, 10, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "since"),
    [
        ("What was the rent last Christmas?", date(2025, 12, 24)),
        ("Where did I live at Christmas 2023?", date(2023, 12, 24)),
        ("Where were we painting at the turn of the year?", date(2025, 12, 31)),
        ("Who did I partner at New Year?", date(2025, 12, 31)),
        ("Where was the password book at Easter?", date(2026, 4, 4)),
        ("Where did I stay over Easter 2025?", date(2025, 4, 19)),
    ],
)
def test_a_question_about_a_feast_is_about_its_days(text: str, since: date) -> None:
    when = asking(text, NOW)
    assert when.kind is Kind.AT
    assert when.since is not None
    assert when.since.date() == since


def test_a_feast_that_is_still_to_come_this_year_was_last_year() -> None:
    [span] = feasts("at Christmas", datetime(2026, 12, 23, tzinfo=UTC))
    assert span.since.year == 2025


@pytest.mark.parametrize(
    "text",
    ["What do I want for Christmas?", "What's on my Christmas list?", "Where's the Easter egg?"],
)
def test_a_feast_that_is_no_time_asks_about_now(text: str) -> None:
    assert asking(text, NOW).kind is Kind.NOW


def test_the_feast_and_its_year_are_no_part_of_what_is_looked_for() -> None:
    assert timeless("Where did I live at Christmas 2023?", NOW) == "Where did I live?"


def test_what_belongs_to_somebody_makes_no_question_one_about_today() -> None:
    assert asking("Who packed Hubert's tablets in spring 2025?", NOW).kind is Kind.AT
