"""Learns supersede/weights.py from the development parts of the first-person set, in this process, without a database.

    python -m tests.bench.first_person_learning FOLDER_OF_THE_EMBEDDER'S_MODEL

prints how well households do that were left out of the learning, and then the weights, which go into weights.py by hand.
Each story is looked at alone and among others of other matters, each question of a large household also with only a few
of its memories: what is learned must hold in both. How stories are put together moves the outcome by half a point: the
weights that stand in weights.py came out of the same steps with the stories in another order.
"""

from __future__ import annotations

import random
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import numpy as np
from contracts.tiers import Tier
from memory.domain import Entry
from memory.recall import closed
from memory.recall.question import read as read_question
from memory.recall.rank import rank
from memory.supersede.evidence import ANSWER, REPLACE, answer, answers_by, question, sought
from memory.supersede.plan import Known, Mark, Set, plan
from memory.supersede.settle import Found, chosen, reading_of
from memory.supersede.when import Kind, asking
from memory.supersede.worth import pairs

from .first_person import Household, Question, households

FOLDS, STEPS, RATE, RIDGE = 6, 120, 0.08, 10.0
# What an old answer in front costs beside a missed one; how much the pairs and the matter alone are learned besides.
WRONG, PAIRS, MATTER = 3.0, 0.1, 0.3
# Kinds of which a memory that may not come first is of the right matter, only out of date.
OF_THE_MATTER = frozenset(
    "update contradiction reschedule near_duplicate preference correction time out_of_order".split()
)
POOL_MAX, POOL_NEAR, KEPT = 8, 0.42, 3
Vectors = Callable[[str], np.ndarray]


@dataclass
class Case:
    """One question with the evidence of its best candidates; `may[a, b]` says that time favours b before a."""

    alone: np.ndarray
    between: np.ndarray
    may: np.ndarray
    first: np.ndarray
    never: np.ndarray
    matter: bool
    before: bool


def cases(house: Household, vector: Vectors) -> list[Case]:
    """Return every question of a household as the last step of a recall would see it."""
    entries, ids, marks = _remembered(house, vector)
    return [_case(house, each, entries, ids, marks, vector) for each in house.questions]


def _remembered(
    house: Household, vector: Vectors
) -> tuple[list[Entry], dict[str, UUID], dict[UUID, Set]]:
    entries: list[Entry] = []
    known: list[Known] = []
    marks: dict[tuple[UUID, bool], Mark] = {}
    moves: dict[UUID, Set] = {}
    for number, memory in enumerate(house.memories, 1):
        ident, said_at = UUID(int=number), _at(memory.said_at)
        entry = Entry(
            id=ident, subject_id=UUID(int=0), tier=Tier.CONVENIENCE, text=memory.text, source_kind="api",
            source_ref=None, occurred_at=said_at, created_at=said_at, updated_at=said_at,
            embedding=[float(part) for part in vector(memory.text)],
        )  # fmt: skip
        new = Known(ident, entry.tier, reading_of(_found(entry, 0.0, None, None)), said_at, None)
        near = [
            replace(old, near=float(vector(entry.text) @ vector(entries[place].text)))
            for place, old in enumerate(known)
        ]
        for move in plan(new, near, marks):
            if isinstance(move, Set):
                marks[move.old_id, False] = Mark(move.old_id, move.new_id, "rule")
                moves[move.old_id] = move
            else:
                marks.pop((move.old_id, False), None)
                moves.pop(move.old_id, None)
        entries.append(entry)
        known.append(new)
    ids = {memory.id: UUID(int=number) for number, memory in enumerate(house.memories, 1)}
    return entries, ids, moves


def _found(entry: Entry, score: float, cosine: float | None, by: UUID | None) -> Found:
    return Found(entry.id, score, entry.text, None, entry.happened_at, cosine, superseded_by=by)


def _case(
    house: Household,
    asked: Question,
    entries: Sequence[Entry],
    ids: dict[str, UUID],
    marks: dict[UUID, Set],
    vector: Vectors,
) -> Case:
    now = _at(asked.asked_at)
    read = read_question(asked.text, [], now)
    near = [float(part) for part in vector(sought(read.bare, now))]
    candidates, corpus = closed.candidates(entries, read, near)
    by_id = {entry.id: entry for entry in entries}
    found = [
        _found(
            by_id[each.candidate.id],
            each.score,
            each.candidate.cosine,
            marks[each.candidate.id].new_id if each.candidate.id in marks else None,
        )
        for each in rank(read, candidates, corpus, now)
    ]
    best = chosen(sorted(found, key=lambda each: (-each.score, each.id)))
    query = question(asked.text, asking(asked.text, now), now)
    seen = [answer(reading_of(each), each.text, each.cosine or 0.0, query) for each in best]
    nearest = max((each.near for each in seen), default=0.0)
    count = len(seen)
    between, may = np.zeros((count, count, len(REPLACE))), np.zeros((count, count))
    for (one, two), evidence in pairs(query, seen):
        between[one, two], may[one, two] = evidence, 1.0
    first, never = {ids[each] for each in asked.first}, {ids[each] for each in asked.never}
    return Case(
        np.array([answers_by(query, each, nearest) for each in seen]).reshape(count, len(ANSWER)),
        between,
        may,
        np.array([each.id in first for each in best], bool),
        np.array([each.id in never for each in best], bool),
        asked.kind in OF_THE_MATTER,
        query.when.kind is Kind.BEFORE,
    )


def _at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def pooled(stories: Sequence[Household], vector: Vectors) -> list[Household]:
    """Return the stories as households of several, of matters that are far from each other."""
    groups: list[list[Household]] = []
    for story in stories:
        for group in groups:
            if len(group) < POOL_MAX and all(_apart(story, other, vector) for other in group):
                group.append(story)
                break
        else:
            groups.append([story])
    return [
        Household(
            group[0].name,
            group[0].half,
            sorted((each for one in group for each in one.memories), key=lambda each: each.said_at),
            [each for one in group for each in one.questions],
        )
        for group in groups
    ]


def _apart(one: Household, other: Household, vector: Vectors) -> bool:
    return all(
        float(vector(asked.text) @ vector(memory.text)) < POOL_NEAR
        for mine, theirs in ((one, other), (other, one))
        for asked in mine.questions
        for memory in theirs.memories
    )


def thinned(house: Household, vector: Vectors) -> list[Household]:
    """Return each question with what matters for it and the few that are nearest besides."""
    found: list[Household] = []
    for asked in house.questions:
        matters = asked.first | asked.never
        rest = [each for each in house.memories if each.id not in matters]
        rest.sort(key=lambda each: -float(vector(each.text) @ vector(asked.text)))
        kept = matters | {each.id for each in rest[:KEPT]}
        memories = [each for each in house.memories if each.id in kept]
        found.append(Household(house.name, house.half, memories, [asked]))
    return found


@dataclass
class Model:
    """The weights, with the base and the gain of worth.py."""

    alone: np.ndarray
    between: np.ndarray
    base: float
    gain: float


def forward(case: Case, model: Model) -> tuple[np.ndarray, ...]:
    """Return what worth.py works out: alone, odds, chances, losses, shares and worths."""
    alone = case.alone @ model.alone
    odds = (
        case.between @ model.between + model.base + model.gain * (alone[None, :] - alone[:, None])
    )
    odds = np.clip(odds, -30, 30)
    chance = 1 / (1 + np.exp(-odds))
    lost = (case.may * np.logaddexp(0, odds)).sum(1)
    power = np.exp(alone - alone.max())
    handed = power[:, None] * case.may * chance
    whole = power + handed.sum(0)
    if case.before:
        worth = alone + np.log(1 - np.exp(-lost) + 1e-3)
    else:
        worth = np.log(whole) + alone.max() - lost
    return alone, odds, chance, lost, handed / whole, power / whole, worth


def _share(worth: np.ndarray, among: np.ndarray | None = None) -> np.ndarray:
    power = np.exp(worth - worth.max()) * (1.0 if among is None else among)
    return power / max(power.sum(), 1e-30)


def slopes(case: Case, model: Model) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Return how the loss of one case changes with each weight."""
    alone, _, chance, lost, handed, kept, worth = forward(case, model)
    slope = _share(worth + np.log(WRONG) * case.never) - _share(worth, case.first)
    if case.before:
        fade = np.exp(-lost)
        by_odds = (slope * fade / (1 - fade + 1e-3))[:, None] * case.may * chance
        by_alone = slope.copy()
    else:
        by_odds = -slope[:, None] * case.may * chance + slope[None, :] * handed * (1 - chance)
        by_alone = slope * kept + (slope[None, :] * handed).sum(1)
    told = np.where(case.first, 0.0, np.nan)[:, None] + np.zeros_like(case.may)
    told[np.ix_(case.never, case.first)] = 1.0
    told[np.ix_(case.never, ~case.never & ~case.first)] = 0.0
    by_odds += PAIRS * case.may * np.where(np.isnan(told), 0.0, chance - np.nan_to_num(told))
    matter = case.first | (case.never & case.matter)
    by_alone += MATTER * (_share(alone) - matter / matter.sum())
    gain = float((by_odds * (alone[None, :] - alone[:, None])).sum())
    by_alone += model.gain * (by_odds.sum(0) - by_odds.sum(1))
    return (
        by_alone @ case.alone,
        np.einsum("ij,ijk->k", by_odds, case.between),
        float(by_odds.sum()),
        gain,
    )


def learned(told: Sequence[Case]) -> Model:
    """Return the weights for these cases: every step looks at all of them (Adam, with a ridge)."""
    told = [case for case in told if case.first.any()]
    alone = np.concatenate([case.alone for case in told])
    between = np.concatenate([case.between[case.may > 0] for case in told])
    wide, middle, broad = alone.std(0) + 1e-6, between.mean(0), between.std(0) + 1e-6
    scaled = [
        replace(
            case,
            alone=case.alone / wide,
            between=(case.between - middle) / broad * case.may[:, :, None],
        )
        for case in told
    ]
    size, n = len(ANSWER), len(told)
    at = np.r_[np.zeros(size + len(REPLACE)), -1.0, 0.3]
    mean, square = np.zeros_like(at), np.zeros_like(at)
    for step in range(1, STEPS + 1):
        model = Model(at[:size], at[size:-2], float(at[-2]), float(at[-1]))
        slope = np.r_[RIDGE * at[:-2], 0.0, 0.0]
        for case in scaled:
            slope += np.r_[slopes(case, model)]
        slope /= n
        mean, square = 0.9 * mean + 0.1 * slope, 0.99 * square + 0.01 * slope**2
        at = at - RATE * (mean / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.99**step)) + 1e-8)
    weights = at[size:-2] / broad
    return Model(at[:size] / wide, weights, float(at[-2] - weights @ middle), float(at[-1]))


def score(told: Sequence[Case], model: Model) -> tuple[int, int]:
    """Return how many are right first, and how many wrong first."""
    right = wrong = 0
    for case in told:
        best = int(np.argmax(forward(case, model)[-1]))
        right, wrong = right + bool(case.first[best]), wrong + bool(case.never[best])
    return right, wrong


def main(folder: Path) -> None:
    """Learn, tell, print."""
    from embedder.model import Encoder

    encoder = Encoder(folder)
    seen: dict[str, np.ndarray] = {}

    def vector(text: str) -> np.ndarray:
        if text not in seen:
            seen[text] = np.asarray(encoder.encode(text).vector, float)
        return seen[text]

    large = [each for each in households() if each.half == "development"]
    small = [each for each in households() if each.half == "development_2"]
    for some in (large, small):
        random.Random(5).shuffle(some)
    folds: list[dict[str, list[Case]]] = [defaultdict(list) for _ in range(FOLDS)]
    for number, fold in enumerate(folds):
        ours, stories = large[number::FOLDS], small[number::FOLDS]
        fold["large"] = [case for house in ours for case in cases(house, vector)]
        few = [each for house in ours for each in thinned(house, vector)]
        fold["large, few"] = [case for house in few for case in cases(house, vector)]
        fold["stories"] = [case for house in stories for case in cases(house, vector)]
        together = pooled(stories, vector)
        fold["stories together"] = [case for house in together for case in cases(house, vector)]
    counts: defaultdict[str, np.ndarray] = defaultdict(lambda: np.zeros(3, int))
    for out in folds:
        rest = [
            case for fold in folds if fold is not out for some in fold.values() for case in some
        ]
        model = learned(rest)
        for kind, told in out.items():
            counts[kind] += [*score(told, model), len(told)]
    for kind, (right, wrong, count) in counts.items():
        print(
            f"{kind}, left out: {100 * right / count:.1f} % right first, {wrong} of {count} wrong"
        )
    model = learned([case for fold in folds for some in fold.values() for case in some])
    for names, weights in ((ANSWER, model.alone), (REPLACE, model.between)):
        print(
            "".join(
                f'    "{name}": {value:.4g},\n' for name, value in zip(names, weights, strict=True)
            )
        )
    print(f"REPLACE_BASE = {model.base:.4g}\nREPLACE_GAIN = {model.gain:.4g}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
