"""Learns supersede/weights.py from the development parts of the first-person set, in this process, without a database.

    python -m tests.bench.first_person_learning FOLDER_OF_THE_EMBEDDER'S_MODEL [held-out]

prints how well stories do that were left out of the learning (a sixth of them, and all of one hand), and then the
weights, which go into weights.py by hand; with `held-out` the totals of the parts kept closed instead, by weights.py.
Each story is looked at alone and among others of other matters, each question of a large household also with only a few
of its memories: what is learned must hold in both. It takes two minutes.
"""

from __future__ import annotations

import random
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import numpy as np
from contracts.tiers import Tier
from memory.domain import Entry
from memory.recall import closed
from memory.recall.question import read as read_question
from memory.recall.rank import rank
from memory.supersede import weights
from memory.supersede.evidence import ANSWER, REPLACE, answer, answers_by, question, sought
from memory.supersede.plan import Known, Mark, Set, plan
from memory.supersede.settle import Found, chosen, reading_of
from memory.supersede.when import Kind, asking
from memory.supersede.worth import pairs

from .first_person import Household, Question, households
from .first_person_fitting import Case, Model, learned, score

FOLDS = 6
# Kinds of which a memory that may not come first is of the right matter, only out of date.
OF_THE_MATTER = frozenset(
    "update contradiction reschedule near_duplicate preference correction time out_of_order".split()
)
POOL_MAX, POOL_NEAR, KEPT = 8, 0.42, 3
Vectors = Callable[[str], np.ndarray]


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


def main(folder: Path, *parts: str) -> None:
    """Learn, tell, print."""
    from embedder.model import Encoder

    encoder = Encoder(folder)
    seen: dict[str, np.ndarray] = {}

    def vector(text: str) -> np.ndarray:
        if text not in seen:
            seen[text] = np.asarray(encoder.encode(text).vector, float)
        return seen[text]

    if parts == ("held-out",):
        held: defaultdict[str, list[Case]] = defaultdict(list)
        for house in households():
            if house.half.startswith("held_out"):
                held[house.half] += cases(house, vector)
        for half, told in held.items():
            _tell(half, np.array([*score(told, _kept()), len(told)]))
        return
    every = _folds(vector)
    for kind, groups in (
        ("a sixth", range(FOLDS)),
        ("its hand", sorted({of for _, of, _ in every})),
    ):
        counts: defaultdict[str, np.ndarray] = defaultdict(lambda: np.zeros(3, int))
        for out in groups:
            told = [case for key, some in every.items() if out not in key for case in some]
            model = learned(told)
            for key, some in every.items():
                if out in key:
                    counts[f"{key[1]}, {key[2]}"] += [*score(some, model), len(some)]
        for name, count in counts.items():
            _tell(f"{name}, {kind} left out", count)
    _print(learned([case for some in every.values() for case in some]))


def _folds(vector: Vectors) -> dict[tuple[int, str, str], list[Case]]:
    """Return all cases by fold, hand, and in which company they are."""
    hands: defaultdict[str, list[Household]] = defaultdict(list)
    for house in households():
        if not house.half.startswith("held_out"):
            hands["large" if house.half == "development" else f"hand {house.name[0]}"].append(house)
    found: dict[tuple[int, str, str], list[Case]] = {}
    for hand, houses in sorted(hands.items()):
        random.Random(5).shuffle(houses)
        for fold in range(FOLDS):
            ours = houses[fold::FOLDS]
            few = [each for house in ours for each in thinned(house, vector)]
            for company, some in (
                ("alone", ours),
                ("in other company", few if hand == "large" else pooled(ours, vector)),
            ):
                found[fold, hand, company] = [
                    case for house in some for case in cases(house, vector)
                ]
    return found


def _kept() -> Model:
    """Return the weights that stand in weights.py."""
    return Model(
        np.array([weights.ANSWER[name] for name in ANSWER]),
        np.array([weights.REPLACE[name] for name in REPLACE]),
        weights.REPLACE_BASE,
        weights.REPLACE_GAIN,
    )


def _tell(name: str, counted: np.ndarray) -> None:
    right, wrong, count = counted
    print(f"{name}: {100 * right / count:.1f} % right first, {wrong} of {count} wrong", flush=True)


def _print(model: Model) -> None:
    for names, numbers in ((ANSWER, model.alone), (REPLACE, model.between)):
        print(
            "".join(
                f'    "{name}": {value:.4g},\n' for name, value in zip(names, numbers, strict=True)
            )
        )
    print(f"REPLACE_BASE = {model.base:.4g}\nREPLACE_GAIN = {model.gain:.4g}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
