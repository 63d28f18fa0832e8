"""The last step of a recall: what answers the question at the time it asks about comes first. Pure.

1. The best are read. What states as a fact what is asked, is of the kind asked for, and is about whom is asked,
   answers better than what is merely near; what is only asked, supposed or quoted answers worse.
2. Among them, what replaced something takes its place, marked or not: here the question is the common topic.
3. Scores are handed out anew in that order, so that they still mean what they meant: nothing is added or lost.

Turns of a conversation among others keep the order in which they were found: they answer by what stands around them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from operator import mul
from types import MappingProxyType
from uuid import UUID

from memory.facts.subjects import is_self
from memory.supersede.decide import later_of
from memory.supersede.evidence import (
    ANSWER,
    REPLACE,
    Answer,
    Query,
    answer,
    answers_by,
    question,
    replaced_by,
)
from memory.supersede.reading import Reading, read
from memory.supersede.resolve import STEP, Standing, resolve
from memory.supersede.weights import ANSWER as ANSWER_WEIGHTS
from memory.supersede.weights import REPLACE as REPLACE_WEIGHTS
from memory.supersede.weights import REPLACE_BASE, REPLACE_LEAST
from memory.supersede.when import When, asking

# How many are read: by their score, by their nearness alone, and what replaced any of these.
BEST_MAX, NEAREST_MAX, READ_MAX = 6, 4, 14
_ANSWER = tuple(ANSWER_WEIGHTS[name] for name in ANSWER)
_REPLACE = tuple(REPLACE_WEIGHTS[name] for name in REPLACE)
# Log odds from which one memory counts as replaced by another in this question.
_CUT = math.log(REPLACE_LEAST / (1 - REPLACE_LEAST)) - REPLACE_BASE


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
    placed = _placed(question(query, when, now), best, when, readings) if best else []
    taken = {standing.id for standing in placed}
    rest = [_standing(each) for each in ordered if each.id not in taken]
    return resolve([*placed, *rest], when), when


def reading_of(found: Found) -> Reading:
    """Return what a candidate says."""
    return read(found.text, found.speaker, found.said_at)


def chosen(ordered: Sequence[Found]) -> list[Found]:
    """Return of candidates, best first, what is worth reading.

    That is nothing in a conversation of others, or where no nearness is known.
    """
    best = ordered[:BEST_MAX]
    if any(each.thread is not None and not is_self(each.speaker) for each in best):
        return []
    near = [each for each in ordered if each.cosine is not None]
    near.sort(key=lambda each: (-(each.cosine or 0.0), each.id))
    taken = {each.id: each for each in [*best, *near[:NEAREST_MAX]] if each.cosine is not None}
    by_id = {each.id: each for each in ordered}
    # A dictionary keeps its order, and grows here while what it gains is looked at in turn.
    waiting = list(taken.values())
    while waiting and len(taken) < READ_MAX:
        after = waiting.pop(0).superseded_by
        if after is not None and after in by_id and after not in taken:
            taken[after] = by_id[after]
            waiting.append(by_id[after])
    return list(taken.values())


def _placed(
    query: Query, best: Sequence[Found], when: When, readings: Mapping[UUID, Reading]
) -> list[Standing]:
    """Return the chosen in the order in which they answer, with the scores that they had among them."""
    seen = {
        each.id: answer(readings.get(each.id) or reading_of(each), each.cosine or 0.0, query.asks)
        for each in best
    }
    nearest = max(each.near for each in seen.values())
    standings: list[Standing] = []
    for each in best:
        worth = _sum(_ANSWER, answers_by(query, seen[each.id], nearest))
        standings.append(replace(_replaced(query, each, best, seen), score=worth))
    scores = sorted((each.score for each in best), reverse=True)
    placed: list[Standing] = []
    ceiling = math.inf
    for score, standing in zip(scores, resolve(standings, when), strict=True):
        ceiling = min(score, ceiling - STEP)
        placed.append(replace(standing, score=ceiling))
    return placed


def _replaced(
    query: Query, each: Found, best: Sequence[Found], seen: Mapping[UUID, Answer]
) -> Standing:
    """Return the candidate with what replaced it: as it is marked, else the earliest of the chosen that seems to."""
    standing = _standing(each, seen[each.id])
    if each.superseded_by is not None:
        return standing
    for other in sorted(best, key=lambda one: (one.said_at, one.id)):
        if other.id == each.id or not later_of(seen[other.id].reading, seen[each.id].reading):
            continue
        later = seen[other.id].reading
        if later.adds and not later.updates:
            # "Also" holds beside it.
            continue
        if _sum(_REPLACE, replaced_by(query, seen[each.id], seen[other.id])) > _CUT:
            until = standing.valid_to or other.said_at
            return replace(standing, superseded_by=other.id, valid_to=until)
    return standing


def _standing(each: Found, seen: Answer | None = None) -> Standing:
    since, until = each.valid_from, each.valid_to
    for fact in seen.reading.facts if seen is not None else ():
        since, until = since or fact.valid_from, until or fact.valid_to
    return Standing(each.id, each.score, each.said_at, since, until, each.superseded_by)


def _sum(weights: Sequence[float], features: Sequence[float]) -> float:
    return sum(map(mul, weights, features))
