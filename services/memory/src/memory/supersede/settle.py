"""The last step of a recall: what answers the question at the time it asks about comes first. Pure.

1. The best are read. What states as a fact what is asked, is of the kind asked for, and is about whom is asked,
   answers better than what is merely near; what is only asked, supposed or quoted answers worse.
2. Among them, what replaced something takes its place, marked or not: here the question is the common topic (worth.py).
3. Scores are handed out anew in that order, so that they still mean what they meant: nothing is added or lost.

Turns of a conversation among others keep the order in which they were found: they answer by what stands around them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from uuid import UUID

from memory.facts.subjects import is_self
from memory.supersede.evidence import Answer, answer, question
from memory.supersede.reading import Reading, read
from memory.supersede.resolve import STEP, Standing, resolve
from memory.supersede.when import When, asking
from memory.supersede.worth import worths

# How many are read: by their score, by their nearness alone, and what replaced any of these.
BEST_MAX, NEAREST_MAX, READ_MAX = 6, 4, 14


@dataclass(frozen=True, slots=True)
class Found:
    """One candidate of a recall, as settling needs it. `cosine` is None where it was not found by meaning."""

    id: UUID
    score: float
    text: str = field(repr=False)
    speaker: str | None
    said_at: datetime
    cosine: float | None
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    superseded_by: UUID | None = None
    thread: str | None = None


def settle(
    query: str,
    found: Sequence[Found],
    now: datetime,
    readings: Mapping[UUID, Reading] = MappingProxyType({}),
) -> tuple[list[Standing], When]:
    """Return the candidates, best first, and the time the question is about. Every candidate comes back once.

    `readings` are what `reading_of` returned for some of them before.
    """
    when = asking(query, now)
    ordered = sorted(found, key=lambda each: (-each.score, each.id))
    best = chosen(ordered)
    placed = _placed(query, best, when, now, readings) if best else []
    taken = {standing.id for standing in placed}
    rest = [_standing(each) for each in ordered if each.id not in taken]
    return resolve([*placed, *rest], when), when


def reading_of(found: Found) -> Reading:
    """Return what a candidate says."""
    return read(found.text, found.speaker, found.said_at)


def chosen(ordered: Sequence[Found]) -> list[Found]:
    """Return what is worth reading of the candidates, best first; nothing in a conversation of others, or where no nearness is known."""
    best = ordered[:BEST_MAX]
    if any(each.thread is not None and not is_self(each.speaker) for each in best):
        return []
    near = [each for each in ordered if each.cosine is not None]
    near.sort(key=lambda each: (-(each.cosine or 0.0), each.id))
    worthy = {each.id: each for each in [*best, *near[:NEAREST_MAX]] if each.cosine is not None}
    by_id = {each.id: each for each in ordered}
    # A dictionary keeps its order, and grows here while what it gains is looked at in turn.
    waiting = list(worthy.values())
    while waiting and len(worthy) < READ_MAX:
        after = waiting.pop(0).superseded_by
        if after is not None and after in by_id and after not in worthy:
            worthy[after] = by_id[after]
            waiting.append(by_id[after])
    return list(worthy.values())


def _placed(
    query: str,
    best: Sequence[Found],
    when: When,
    now: datetime,
    readings: Mapping[UUID, Reading],
) -> list[Standing]:
    """Return the best in the order in which they answer, with the scores that they had among them."""
    asked = question(query, when, now)
    seen = [
        answer(readings.get(each.id) or reading_of(each), each.text, each.cosine or 0.0, asked)
        for each in best
    ]
    standings = [
        _standing(each, how, worth)
        for each, how, worth in zip(best, seen, worths(asked, seen), strict=True)
    ]
    scores = sorted((each.score for each in best), reverse=True)
    placed: list[Standing] = []
    ceiling = math.inf
    for score, standing in zip(scores, resolve(standings, when), strict=True):
        ceiling = min(score, ceiling - STEP)
        placed.append(replace(standing, score=ceiling))
    return placed


def _standing(each: Found, seen: Answer | None = None, score: float | None = None) -> Standing:
    since, until = each.valid_from, each.valid_to
    for fact in seen.reading.facts if seen is not None else ():
        since, until = since or fact.valid_from, until or fact.valid_to
    worth = each.score if score is None else score
    return Standing(each.id, worth, each.said_at, since, until, each.superseded_by)
