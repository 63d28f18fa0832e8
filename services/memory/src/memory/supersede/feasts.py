"""The days of a year that people name instead of a date, as a question names them: "last Christmas", "at Easter". Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from memory.facts.times import Span

_FEAST = re.compile(
    r"\b(?:(?:at|over|by|around|during|after|since|until|on|in|last|this)\s+)+(?:the\s+)?"
    r"(?:(?P<christmas>christmas(?:\s+(?:day|eve))?|xmas|boxing\s+day)|(?P<year>new\s+year(?:'?s)?(?:\s+(?:day|eve))?\b(?!\s+\w+ing)"
    r"|(?:turn|start|beginning)\s+of\s+(?:the|this)\s+year)|(?P<easter>easter(?:\s+(?:sunday|monday))?))(?:\s+(?P<number>(?:19|20)\d\d))?\b",
    re.I,
)


def feasts(text: str, now: datetime) -> list[Span]:
    """Return the feasts that `text` names, each the last one before `now` unless a year says which."""
    return [_span(match, now.astimezone(UTC)) for match in _FEAST.finditer(text)]


def _span(match: re.Match[str], now: datetime) -> Span:
    year = int(match["number"] or now.year)
    since = _since(match, year)
    if match["number"] is None and since >= now:
        since = _since(match, year - 1)
    return Span(since, since + timedelta(days=3), match.start(), match.end())


def _since(match: re.Match[str], year: int) -> datetime:
    if match["christmas"]:
        return datetime(year, 12, 24, tzinfo=UTC)
    if match["year"]:
        # The night before a year belongs to it.
        return datetime(year, 1, 1, tzinfo=UTC) - timedelta(days=1)
    return _easter(year) - timedelta(days=1)


def _easter(year: int) -> datetime:
    """Return Easter Sunday by the Gregorian reckoning (the algorithm that Nature printed in 1876)."""
    century, rest = divmod(year, 100)
    golden = year % 19
    epact = (
        19 * golden + century - century // 4 - (century - (century + 8) // 25 + 1) // 3 + 15
    ) % 30
    weekday = (32 + 2 * (century % 4) + 2 * (rest // 4) - epact - rest % 4) % 7
    late = (golden + 11 * epact + 22 * weekday) // 451
    month, day = divmod(epact + weekday - 7 * late + 114, 31)
    return datetime(year, month, day + 1, tzinfo=UTC)
