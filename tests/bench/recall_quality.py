"""Where the weights of memory/recall/weights.py come from: learned on all dialogues but one, and read on that one.

`LARES_BENCH_LEARN=1 make bench ARGS="tests/bench/test_recall_quality.py"` learns anew; it takes some minutes, writes
results/recall_learning.json, and prints what would go into weights.py.

Every dialogue is shown in three ways, so that nothing leans on how a client happens to write: its sessions as threads,
the whole of it as one thread, and no thread at all.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import numpy as np
from contracts.tiers import Tier
from memory.finding import Candidate, Corpus
from memory.index.search import AROUND
from memory.recall.evidence import FEATURES, weigh
from memory.recall.question import Question, read
from memory.recall.recall import CANDIDATES

from .dialogues import TRAP, Asked, Dialogue, Tally, by_words

# How a dialogue is shown, and how much a question counts there: sessions as threads is how clients are told to write.
SHOWN = {"sessions": 3.0, "one thread": 1.0, "no thread": 1.0}
ASKED_AT = datetime(2026, 11, 1, tzinfo=UTC)
# What an arm found may not count against a memory: these weights are never negative.
FOUND_BY = frozenset(FEATURES[: FEATURES.index("asks")])
TRAP_SHARE, STEPS, RATE, PULL = 0.2, 400, 0.05, 3e-3
Matrix = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Material:
    """A dialogue with its vectors and terms."""

    dialogue: Dialogue
    turns: Matrix
    questions: Matrix
    terms: Sequence[Counter[str]]
    asked: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Case:
    """One question: the places of its candidates, the evidence for each, and how much the question counts."""

    question: Asked
    places: Matrix
    evidence: Matrix
    share: float


def read_questions(dialogue: Dialogue) -> list[Question]:
    """Return the questions as recall reads them."""
    speakers = sorted({turn.speaker for turn in dialogue.turns})
    return [read(each.text, speakers, ASKED_AT) for each in dialogue.questions]


def cases(material: Material, shown: str) -> list[Case]:
    """Return every question of a dialogue with what the index would find for it."""
    dialogue = material.dialogue
    threads = [_thread(turn.session, shown) for turn in dialogue.turns]
    speakers = sorted({turn.speaker for turn in dialogue.turns})
    seen = Counter(term for turn in material.terms for term in turn)
    average = sum(sum(turn.values()) for turn in material.terms) / len(material.terms)
    near = material.turns @ material.questions.T
    found: list[Case] = []
    for number, asked in enumerate(dialogue.questions):
        terms = list(dict.fromkeys(material.asked[number]))
        corpus = Corpus(len(threads), average, {term: seen[term] for term in terms})
        nearest = np.argsort(-near[:, number], kind="stable").tolist()
        said = by_words(material.terms, terms)
        best = {*nearest[:AROUND], *said[:AROUND]}
        chosen = {*nearest[:CANDIDATES], *said[:CANDIDATES]}
        pairs = [
            (place, place + 1)
            for place in range(len(threads) - 1)
            if threads[place] is not None
            and threads[place] == threads[place + 1]
            and (place in best or place + 1 in best)
        ]
        chosen |= {place for pair in pairs for place in pair}
        before = {later: earlier for earlier, later in pairs}
        after = dict(pairs)
        places = sorted(chosen)
        candidates = [
            _candidate(material, place, threads[place], near[place, number], terms, before, after)
            for place in places
        ]
        question = read(asked.text, speakers, ASKED_AT)
        evidence = np.asarray(weigh(question, candidates, corpus), dtype=np.float32)
        share = SHOWN[shown] * (TRAP_SHARE if asked.category == TRAP else 1.0)
        found.append(Case(asked, np.asarray(places), evidence, share))
    return found


def _thread(session: int, shown: str) -> str | None:
    return {"sessions": str(session), "one thread": "all"}.get(shown)


def _candidate(
    material: Material,
    place: int,
    thread: str | None,
    cosine: float,
    terms: Sequence[str],
    before: Mapping[int, int],
    after: Mapping[int, int],
) -> Candidate:
    turn, own = material.dialogue.turns[place], material.terms[place]
    return Candidate(
        id=UUID(int=place),
        tier=Tier.CONVENIENCE,
        text=turn.text,
        cosine=float(cosine),
        terms={term: float(own[term]) for term in terms if term in own},
        words=sum(own.values()),
        thread=thread,
        position=place,
        speaker=turn.speaker,
        occurred_at=turn.at,
        created_at=ASKED_AT,
        level="knowledge",
        strength=1.0,
        accesses=0,
        accessed_at=ASKED_AT,
        before=UUID(int=before[place]) if place in before else None,
        after=UUID(int=after[place]) if place in after else None,
    )


def learn(told: Sequence[Case]) -> Matrix:
    """Return the weights by which the evidence stands above everything else, question by question."""
    told = [case for case in told if _right(case).any()]
    rows = np.concatenate([case.evidence for case in told])
    spread = rows.std(0) + 1e-6
    shape = (len(told), max(len(case.places) for case in told))
    features = np.zeros((*shape, len(FEATURES)), dtype=np.float32)
    right, absent = np.zeros(shape, dtype=bool), np.ones(shape, dtype=bool)
    for number, case in enumerate(told):
        size = len(case.places)
        features[number, :size] = case.evidence / spread
        right[number, :size], absent[number, :size] = _right(case), False
    shares = np.array([case.share for case in told])
    shares *= len(told) / shares.sum()
    share = (right / right.sum(1, keepdims=True)) * shares[:, None]
    bound = np.array([name in FOUND_BY for name in FEATURES])
    weights = np.zeros(len(FEATURES))
    pace, size = np.zeros_like(weights), np.zeros_like(weights)
    flat = features.reshape(-1, len(FEATURES))
    for step in range(1, STEPS + 1):
        scores = (flat @ weights.astype(np.float32)).reshape(shape)
        scores[absent] = -1e9
        powers = np.exp(scores - scores.max(1, keepdims=True))
        wrong = powers * ~right
        total = powers + wrong.sum(1, keepdims=True) + 1e-12
        # Each right turn against all wrong ones; right ones do not compete.
        slope = share * (powers / total - 1) + (share / total).sum(1, keepdims=True) * wrong
        slope = slope.reshape(-1) @ flat / len(told) + PULL * 2 * weights
        pace, size = 0.9 * pace + 0.1 * slope, 0.99 * size + 0.01 * slope**2
        moved = (pace / (1 - 0.9**step)) / (np.sqrt(size / (1 - 0.99**step)) + 1e-8)
        weights -= RATE * moved * (1 - step / (STEPS + 1))
        weights[bound] = np.maximum(weights[bound], 0)
    return weights / spread


def _right(case: Case) -> Matrix:
    return np.isin(case.places, case.question.evidence)


def tally(name: str, read_on: Sequence[tuple[Sequence[Case], Matrix]]) -> Tally:
    """Return what weights find, each in the cases beside them."""
    counted = Tally.of(name)
    for told, weights in read_on:
        for case in told:
            order = np.argsort(-(case.evidence @ weights), kind="stable")
            counted.add(case.question, case.places[order][:20].tolist())
    return counted


def leave_one_out(materials: Sequence[Material]) -> tuple[list[Tally], dict[str, float]]:
    """Return what is found in each dialogue by weights learned on the others, and the weights learned on all."""
    told = {shown: [cases(material, shown) for material in materials] for shown in SHOWN}

    def together(but: int | None) -> list[Case]:
        return [
            case
            for shown in SHOWN
            for number, each in enumerate(told[shown])
            if number != but
            for case in each
        ]

    apart = [learn(together(number)) for number in range(len(materials))]
    everything = learn(together(None))
    tallies = [
        tally(f"{shown}, left out", list(zip(told[shown], apart, strict=True))) for shown in SHOWN
    ]
    tallies += [
        tally(f"{shown}, learned on all", [(each, everything) for each in told[shown]])
        for shown in SHOWN
    ]
    assert not any(math.isnan(weight) for weight in everything)
    rounded = [round(float(weight), 3) for weight in everything]
    return tallies, {str(name): weight for name, weight in zip(FEATURES, rounded, strict=True)}
