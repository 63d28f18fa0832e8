"""Candidates in the order in which they answer a question. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from memory.finding import Candidate, Corpus
from memory.levels.decay import STRENGTH_MAX, half_life, strength_now
from memory.recall.evidence import FEATURES, Evidence, Manner, weigh
from memory.recall.question import Question
from memory.recall.weights import ENTITY, FADED, MIDDLE, REINFORCED, SLOPE, WEIGHTS

_WEIGHTS = tuple(WEIGHTS[name] for name in FEATURES)


@dataclass(frozen=True, slots=True)
class Ranked:
    """A candidate, how well it answers (0..1, the same in every query), and what that rests on."""

    candidate: Candidate
    score: float
    evidence: Evidence = field(repr=False)
    strength: float
    entity: float = 0.0

    def of(self, feature: str) -> float:
        """Return one piece of the evidence by its name; nothing where the memory was not weighed."""
        return self.evidence[FEATURES.index(feature)] if self.evidence else 0.0


def rank(
    question: Question,
    candidates: Sequence[Candidate],
    corpus: Corpus,
    now: datetime,
    entities: Mapping[UUID, float] | None = None,
    *,
    most: int | None = None,
    manners: Mapping[UUID, Manner] | None = None,
) -> list[Ranked]:
    """Return every candidate once, best first; ties go by id, so that the order never depends on chance.

    `entities` says how telling a memory's mention of somebody is whom the question names, `manners` how those texts
    speak that have been read already. With `most`, no more than the best so many come back, and what is marked as
    replaced, wherever it comes.
    """
    import numpy as np

    if not candidates:
        return []
    named = entities or {}
    evidence = weigh(question, candidates, corpus, manners or {})
    mentions = [
        min(max(named.get(each.id, 0.0), 0.0), 1.0) if named else 0.0 for each in candidates
    ]
    kept = [_kept(each, now) for each in candidates]
    totals = (evidence * _WEIGHTS).sum(axis=1) + ENTITY * np.array(mentions) + np.array(kept)
    scores = [_share(total) for total in totals.tolist()]
    ids = [each.id for each in candidates]
    order = sorted(
        range(len(ids)), key=[*zip((-score for score in scores), ids, strict=True)].__getitem__
    )
    if most is not None:
        marked = [place for place in order[most:] if candidates[place].superseded_by is not None]
        order = order[:most] + marked
    rows = evidence[order].tolist()
    return [
        Ranked(
            candidates[place],
            scores[place],
            tuple(row),
            _strength(candidates[place], now),
            mentions[place],
        )
        for place, row in zip(order, rows, strict=True)
    ]


def merged(one: Sequence[Ranked], other: Sequence[Ranked]) -> list[Ranked]:
    """Return both together, best first: scores of two searches mean the same."""
    return sorted([*one, *other], key=lambda each: (-each.score, each.candidate.id))


def replacing(candidate: Candidate, now: datetime) -> Ranked:
    """Return a memory that no search found and that replaced one that was found: it has no score of its own."""
    return Ranked(candidate, 0.0, (), _strength(candidate, now))


def _strength(candidate: Candidate, now: datetime) -> float:
    level = str(candidate.level)
    return strength_now(candidate.strength, candidate.accessed_at, now, level)


def _kept(candidate: Candidate, now: datetime) -> float:
    """Return what fading takes away, or use has added: only what can fade is judged by it."""
    if half_life(str(candidate.level)) is None:
        return 0.0
    strength = _strength(candidate, now)
    if strength < 1.0:
        return FADED * (strength - 1.0)
    return REINFORCED * math.log2(min(strength, STRENGTH_MAX))


def _share(total: float) -> float:
    return 1.0 / (1.0 + math.exp(-SLOPE * (total - MIDDLE)))
