"""Spans of the calendar as people name them: "in March", "last week", "on 3 June", "two years ago". Pure.

A phrase is read against the moment at which it was said. Where a name alone leaves the year open, the reader says
which way to look: what has happened lies behind, what is planned lies ahead.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from memory.facts.cues import Cue

_MONTHS_LONG = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
]
MONTHS = {
    **{name: number for number, name in enumerate(_MONTHS_LONG, 1)},
    **{name[:3]: number for number, name in enumerate(_MONTHS_LONG, 1) if name != "may"},
    "sept": 9,
}
WEEKDAYS = {
    name: number
    for number, name in enumerate(
        ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
    )
}
# First month and how many; winter is named after the year in which it begins.
_SEASONS = {"spring": (3, 3), "summer": (6, 3), "autumn": (9, 3), "fall": (9, 3), "winter": (12, 3)}
_PARTS = {"early": (0, 4), "mid": (4, 4), "late": (8, 4)}
_NUMBERS = {
    word: number
    for number, word in enumerate(
        [
            "zero",
            "one",
            "two",
            "three",
            "four",
            "five",
            "six",
            "seven",
            "eight",
            "nine",
            "ten",
            "eleven",
            "twelve",
        ]
    )
} | {"a": 1, "an": 1, "couple": 2, "few": 3}

# "may" and "mar" are words of their own: they count as months where a preposition or a number says so.
_MONTH = r"(?:january|february|march|april|may|june|july|august|september|october|november|december|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec)\b\.?"
_DAY = r"(?:\d{1,2})(?:st|nd|rd|th)?"
_SPAN = Cue(
    rf"""
    \b(?:
      (?P<iso>(?P<iy>(?:19|20)\d\d)-(?P<im>\d\d)-(?P<id>\d\d))
    | (?P<d1>{_DAY})\s+(?:of\s+)?(?P<m1>{_MONTH})(?:,?\s+(?P<y1>(?:19|20)\d\d))?
    | (?P<m2>{_MONTH})\s+(?:the\s+)?(?P<d2>{_DAY})\b(?!\d|[.:]\d)(?:,?\s+(?P<y2>(?:19|20)\d\d))?
    | (?:(?:in|since|until|till|by|from|during|of)\s+(?:the\s+)?)?(?:(?P<part>early|mid|late)[-\s]+)?(?P<season>spring|summer|autumn|fall|winter)\s+(?:of\s+)?(?P<y3>(?:19|20)\d\d)
    | (?:(?:in|since|until|till|by|from|during|of)\s+(?:the\s+)?)?(?:(?P<part2>early|mid|late)[-\s]+)?(?P<m3>{_MONTH})\s+(?:of\s+)?(?P<y4>(?:19|20)\d\d)
    | (?:in|since|until|till|by|from|of|during|this|last|next|and|before|after|around|early|mid|late)\s+(?:the\s+)?(?P<m4>{_MONTH})(?!\s+\d)
    | (?:in|since|until|till|during|this|last|next|by|from)\s+(?:the\s+)?(?P<season2>spring|summer|autumn|fall|winter)
    | (?P<season3>spring|summer|autumn|fall|winter)(?=\s+(?:we|i|was|were)\b)
    | (?:(?P<part3>early|mid|late)[-\s]+)?(?P<y5>(?:19|20)\d\d)\b(?![-:]\d)
    | (?P<n>\d{{1,3}}|an?|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|couple|few)\s+(?:of\s+)?(?P<unit>day|week|month|year)s?\s+ago
    | (?P<rel>last|this|next|past)\s+(?P<runit>week|month|year|weekend)
    | (?P<rel2>last|this|next)\s+(?P<wday>monday|tuesday|wednesday|thursday|friday|saturday|sunday)
    | (?P<near>yesterday|today|tomorrow|tonight)
    | on\s+the\s+(?P<dom>\d{{1,2}}(?:st|nd|rd|th)|first|second|third|tenth)
    )\b
    """,
    re.VERBOSE,
)
_DAYS_NAMED = {"first": 1, "second": 2, "third": 3, "tenth": 10}


@dataclass(frozen=True, slots=True)
class Span:
    """From `since` up to, not including, `until`; `start` and `end` say where the text names it."""

    since: datetime
    until: datetime
    start: int
    end: int


def spans(text: str, said_at: datetime, ahead: bool = False) -> list[Span]:
    """Return the spans of the calendar that `text` names, in order; what is no date is passed over."""
    found: list[Span] = []
    for match in _SPAN.finditer(text):
        try:
            since, until = _read(match, said_at.astimezone(UTC), ahead)
        except (ValueError, OverflowError):
            continue
        found.append(Span(since, until, match.start(), match.end()))
    return found


def _read(match: re.Match[str], now: datetime, ahead: bool) -> tuple[datetime, datetime]:
    """Return the span of one match. Raises ValueError for a day that no calendar has."""
    got = {name: text.lower() for name, text in match.groupdict().items() if text}
    if "iso" in got:
        return _day(int(got["iy"]), int(got["im"]), int(got["id"]))
    for day, month, year in (("d1", "m1", "y1"), ("d2", "m2", "y2")):
        if day in got:
            number = int(re.sub(r"\D", "", got[day]))
            return _dated(now, _month_number(got[month]), number, got.get(year), ahead)
    season = got.get("season") or got.get("season2") or got.get("season3")
    if season:
        first, months = _SEASONS[season]
        year = int(got["y3"]) if "y3" in got else _year_of(now, first, ahead, match)
        return _months(year, first, months)
    month = got.get("m3") or got.get("m4")
    if month:
        number = _month_number(month)
        return _months(
            int(got["y4"]) if "y4" in got else _year_of(now, number, ahead, match), number, 1
        )
    if "y5" in got:
        first, months = _PARTS[got["part3"]] if "part3" in got else (0, 12)
        return _months(int(got["y5"]), first + 1, months)
    return _relative(got, now, ahead)


def _relative(got: dict[str, str], now: datetime, ahead: bool) -> tuple[datetime, datetime]:
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if "near" in got:
        shift = {"yesterday": -1, "tomorrow": 1}.get(got["near"], 0)
        return midnight + timedelta(days=shift), midnight + timedelta(days=shift + 1)
    if "n" in got:
        number = _NUMBERS.get(got["n"]) or int(got["n"])
        return _around(midnight, -number, got["unit"])
    if "wday" in got:
        step = (WEEKDAYS[got["wday"]] - midnight.weekday()) % 7
        day = midnight + timedelta(days=step if got["rel2"] != "last" else step - 7)
        return day, day + timedelta(days=1)
    if "dom" in got:
        word = got["dom"]
        number = _DAYS_NAMED.get(word) or int(re.sub(r"\D", "", word))
        year, month = now.year, now.month
        if number > now.day and not ahead:
            year, month = (year, month - 1) if month > 1 else (year - 1, 12)
        elif number < now.day and ahead:
            year, month = (year, month + 1) if month < 12 else (year + 1, 1)
        return _day(year, month, number)
    shift = {"last": -1, "past": -1, "next": 1}.get(got["rel"], 0)
    unit = got["runit"]
    if unit == "weekend":
        saturday = midnight + timedelta(days=(5 - midnight.weekday()) % 7, weeks=shift)
        return saturday, saturday + timedelta(days=2)
    return _around(midnight, shift, unit)


def _around(midnight: datetime, shift: int, unit: str) -> tuple[datetime, datetime]:
    if unit == "day":
        day = midnight + timedelta(days=shift)
        return day, day + timedelta(days=1)
    if unit == "week":
        monday = midnight - timedelta(days=midnight.weekday()) + timedelta(weeks=shift)
        return monday, monday + timedelta(weeks=1)
    if unit == "month":
        index = midnight.year * 12 + midnight.month - 1 + shift
        return _months(index // 12, index % 12 + 1, 1)
    return _months(midnight.year + shift, 1, 12)


def _month_number(name: str) -> int:
    return MONTHS[name.rstrip(".")]


def _year_of(now: datetime, month: int, ahead: bool, match: re.Match[str]) -> int:
    """Choose the year of a month that is named alone: the last such month, or the next when looking ahead."""
    word = match.group().split()[0].lower()
    if word == "next" or (ahead and word not in ("last", "since")):
        return now.year + (month < now.month)
    if word == "this":
        return now.year
    return now.year - (month > now.month)


def _dated(
    now: datetime, month: int, day: int, year: str | None, ahead: bool
) -> tuple[datetime, datetime]:
    if year:
        return _day(int(year), month, day)
    later = (month, day) > (now.month, now.day)
    return _day(now.year - (later and not ahead) + ((not later) and ahead), month, day)


def _day(year: int, month: int, day: int) -> tuple[datetime, datetime]:
    since = datetime(year, month, day, tzinfo=UTC)
    return since, since + timedelta(days=1)


def _months(year: int, first: int, count: int) -> tuple[datetime, datetime]:
    last = year * 12 + first - 1 + count
    return datetime(year, first, 1, tzinfo=UTC), datetime(last // 12, last % 12 + 1, 1, tzinfo=UTC)
