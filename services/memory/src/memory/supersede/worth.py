"""How well each of the best answers, once all of them were looked at together. Pure.

A memory answers as well as it is of the matter asked for, or as what it replaced was ("Dyed it pink" says nothing of hair:
what it replaced does); and as much worse as it seems to be replaced itself by the time that the question is about. Both
are sums of evidence (evidence.py), so that a doubt counts as a doubt: nothing is cut off at a threshold.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from operator import mul

from memory.supersede.decide import later_of
from memory.supersede.evidence import (
    ANSWER,
    REPLACE,
    Answer,
    Query,
    answers_by,
    replaced_by,
)
from memory.supersede.weights import ANSWER as ANSWER_WEIGHTS
from memory.supersede.weights import REPLACE as REPLACE_WEIGHTS
from memory.supersede.weights import REPLACE_BASE, REPLACE_GAIN
from memory.supersede.when import Kind

_ANSWER = tuple(ANSWER_WEIGHTS[name] for name in ANSWER)
_REPLACE = tuple(REPLACE_WEIGHTS[name] for name in REPLACE)
_LEAST = 1e-3
# Log odds beyond which nothing changes any more.
_SURE = 30.0


def worths(query: Query, seen: Sequence[Answer]) -> list[float]:
    """Return for each of `seen` how well it answers, as log odds: only their differences mean anything."""
    nearest = max((each.near for each in seen), default=0.0)
    alone = [_sum(_ANSWER, answers_by(query, each, nearest)) for each in seen]
    odds = _odds(query, seen, alone)
    taken = [0.0] * len(seen)
    gone = [0.0] * len(seen)
    top = max(alone, default=0.0)
    for (old, new), logit in odds.items():
        gone[old] += math.log1p(math.exp(logit))
        taken[new] += math.exp(alone[old] - top) / (1.0 + math.exp(-logit))
    if query.when.kind is Kind.BEFORE:
        # What is asked for is what was replaced.
        return [
            own + math.log(1.0 - math.exp(-lost) + _LEAST)
            for own, lost in zip(alone, gone, strict=True)
        ]
    return [
        top + math.log(math.exp(own - top) + gained) - lost
        for own, gained, lost in zip(alone, taken, gone, strict=True)
    ]


def _odds(
    query: Query, seen: Sequence[Answer], alone: Sequence[float]
) -> dict[tuple[int, int], float]:
    """Return of each two of which time favours the second the log odds that it took the place of the first."""
    found: dict[tuple[int, int], float] = {}
    for (one, two), evidence in pairs(query, seen):
        total = _sum(_REPLACE, evidence) + REPLACE_BASE + REPLACE_GAIN * (alone[two] - alone[one])
        found[one, two] = min(max(total, -_SURE), _SURE)
    return found


def pairs(
    query: Query, seen: Sequence[Answer]
) -> Iterator[tuple[tuple[int, int], Sequence[float]]]:
    """Yield the places of each two of which time favours the second, with the evidence that it took the first's place."""
    common = Counter(stem for each in seen for stem in each.signs.stems)
    moments = sorted({each.reading.said_at for each in seen})
    place = {moment: number for number, moment in enumerate(moments)}
    newest = len(moments) - 1
    # Only such questions favour the earlier of two.
    backward = query.when.kind in (Kind.AT, Kind.FIRST)
    for one, first in enumerate(seen):
        for two, second in enumerate(seen):
            if one == two or not _favoured(query, first, second):
                continue
            turned = backward and not later_of(second.reading, first.reading)
            earlier, later = (second, first) if turned else (first, second)
            # "Also" holds beside it.
            if later.reading.updates or not later.reading.adds:
                at = place[later.reading.said_at]
                follows = at - place[earlier.reading.said_at] <= 1
                yield (one, two), replaced_by(query, earlier, later, common, at == newest, follows)


def _favoured(query: Query, first: Answer, second: Answer) -> bool:
    """Say whether the time asked about puts `second` before `first`: the later, what had begun by then, the earliest."""
    one, two = first.reading, second.reading
    if query.when.kind is Kind.AT:
        if first.after != second.after:
            return first.after
        return later_of(one, two) if first.after else later_of(two, one)
    if query.when.kind is Kind.FIRST:
        return later_of(one, two)
    return later_of(two, one)


def _sum(weights: Sequence[float], features: Sequence[float]) -> float:
    return sum(map(mul, weights, features))
