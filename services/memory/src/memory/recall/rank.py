"""Candidates in the order in which they answer a question. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from operator import mul
from uuid import UUID

from memory.finding import Candidate, Corpus
from memory.levels.decay import STRENGTH_MAX, half_life, strength_now
from memory.recall.evidence import FEATURES, Evidence, weigh
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
) -> list[Ranked]:
    """Return every candidate once, best first; ties go by id, so that the order never depends on chance.

    `entities` says how telling a memory's mention of somebody is whom the question names.
    """
    named = entities or {}
    ranked: list[Ranked] = []
    for candidate, evidence in zip(candidates, weigh(question, candidates, corpus), strict=True):
        strength = strength_now(
            candidate.strength, candidate.accessed_at, now, str(candidate.level)
        )
        entity = min(max(named.get(candidate.id, 0.0), 0.0), 1.0)
        total = sum(map(mul, _WEIGHTS, evidence)) + ENTITY * entity
        total += _kept(candidate.level, strength)
        ranked.append(Ranked(candidate, _share(total), evidence, strength, entity))
    ranked.sort(key=lambda each: (-each.score, each.candidate.id))
    return ranked


def merged(one: Sequence[Ranked], other: Sequence[Ranked]) -> list[Ranked]:
    """Return both together, best first: scores of two searches mean the same."""
    return sorted([*one, *other], key=lambda each: (-each.score, each.candidate.id))


def replacing(candidate: Candidate, now: datetime) -> Ranked:
    """Return a memory that no search found and that replaced one that was found: it has no score of its own."""
    strength = strength_now(candidate.strength, candidate.accessed_at, now, str(candidate.level))
    return Ranked(candidate, 0.0, (), strength)


def _kept(level: str, strength: float) -> float:
    """Return what fading takes away, or use has added: only what can fade is judged by it."""
    if half_life(str(level)) is None:
        return 0.0
    if strength < 1.0:
        return FADED * (strength - 1.0)
    return REINFORCED * math.log2(min(strength, STRENGTH_MAX))


def _share(total: float) -> float:
    return 1.0 / (1.0 + math.exp(-SLOPE * (total - MIDDLE)))
