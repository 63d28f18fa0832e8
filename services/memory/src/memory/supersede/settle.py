"""The last step of a recall: what answers the question at the time it asks about comes first. Pure.

1. What a memory states as a fact of the kind asked for, of whom is asked, answers better than what is merely near.
2. What is only asked, supposed or quoted answers worse; so does what is about somebody else.
3. Among the best, what replaced something takes its place, marked or not: here the question is the common topic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from memory.supersede.asks import Asked, answers, asked
from memory.supersede.decide import ASKED, later_of, replaces
from memory.supersede.reading import Reading, read
from memory.supersede.resolve import Standing, resolve
from memory.supersede.when import When, asking

# How many of the best are read: reading costs a quarter of a millisecond each.
READ_MAX = 10
FACT_GAIN = 0.2
IDLE_SHARE = 0.6
STRANGER_SHARE = 0.85


@dataclass(frozen=True, slots=True)
class Found:
    """One candidate of a recall, as settling needs it."""

    id: UUID
    score: float
    text: str = field(repr=False)
    speaker: str | None
    said_at: datetime
    cosine: float | None
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    superseded_by: UUID | None = None


def settle(query: str, found: Sequence[Found], now: datetime) -> tuple[list[Standing], When]:
    """Return the candidates, best first, and the time the question is about. Every candidate comes back once."""
    when = asking(query, now)
    asks = asked(query)
    ordered = sorted(found, key=lambda each: (-each.score, each.id))
    standings: list[Standing] = []
    readings: dict[UUID, tuple[Found, Reading]] = {}
    for place, each in enumerate(ordered):
        standing = Standing(
            each.id, each.score, each.said_at, each.valid_from, each.valid_to, each.superseded_by
        )
        if place < READ_MAX:
            reading = read(each.text, each.speaker, each.said_at)
            readings[each.id] = (each, reading)
            standing = _judged(standing, reading, asks)
        standings.append(standing)
    marked = _tie(standings, readings)
    return resolve(marked, when), when


def _judged(standing: Standing, reading: Reading, asks: Asked) -> Standing:
    score = standing.score
    if reading.silent:
        return replace(standing, score=score * IDLE_SHARE, moved="states nothing")
    if any(answers(asks, fact) for fact in reading.facts):
        return replace(standing, score=score + FACT_GAIN, moved="states what is asked")
    return standing


def _tie(
    standings: Sequence[Standing], readings: dict[UUID, tuple[Found, Reading]]
) -> list[Standing]:
    """Mark what another of the best replaces, where nobody has marked it yet."""
    tied: list[Standing] = []
    for standing in standings:
        own = readings.get(standing.id)
        if own is None or standing.superseded_by is not None:
            tied.append(standing)
            continue
        best: tuple[datetime, UUID, datetime] | None = None
        for other, reading in readings.values():
            if other.id == standing.id or not later_of(reading, own[1]):
                continue
            if replaces(reading, own[1], _near(own[0], other), ASKED) is None:
                continue
            if best is None or (reading.said_at, other.id) < best[:2]:
                best = (reading.said_at, other.id, other.said_at)
        if best is None:
            tied.append(standing)
        else:
            tied.append(
                replace(standing, superseded_by=best[1], valid_to=standing.valid_to or best[2])
            )
    return tied


def _near(one: Found, other: Found) -> float | None:
    """Two memories near one question are near each other about it: the farther of the two says how near."""
    if one.cosine is None or other.cosine is None:
        return None
    return min(one.cosine, other.cosine)
