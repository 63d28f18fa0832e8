"""Households' memories in the first person, and what is asked of them. See data/first_person*.jsonl.

Each line is a household (with the half that it belongs to), a memory of it in the order of arrival, or a question:
`first` are the memories any of which may come first, `never` those of which none may (what was superseded, or is
about somebody else). The first file has few households with many memories, the second many short stories of three to
eight memories in everybody's own manner, written by another hand. Rules and weights were made looking at `development`
and `development_2` alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

DATA = tuple(
    Path(__file__).resolve().parent / "data" / name
    for name in ("first_person.jsonl", "first_person_2.jsonl")
)
PARTS = ("development", "held_out", "development_2", "held_out_2")


@dataclass(frozen=True)
class Memory:
    """One memory and when it was said."""

    id: str
    said_at: str
    text: str


@dataclass(frozen=True)
class Question:
    """One question, when it is asked, and which memories may and may not come first."""

    text: str
    kind: str
    asked_at: str
    first: frozenset[str]
    never: frozenset[str]


@dataclass
class Household:
    """Somebody's memories, in the order in which they arrive, and the questions about them."""

    name: str
    half: str
    memories: list[Memory] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)


def households() -> list[Household]:
    """Return every household of the set."""
    return list(_read())


def _read() -> Iterator[Household]:
    house: Household | None = None
    for line in (line for file in DATA for line in file.read_text().splitlines()):
        told = json.loads(line)
        if "household" in told:
            if house is not None:
                yield house
            house = Household(told["household"], told["half"])
        elif house is None:
            raise ValueError("a line before the first household")
        elif "memory" in told:
            house.memories.append(Memory(told["memory"], told["said_at"], told["text"]))
        else:
            house.questions.append(
                Question(
                    told["question"],
                    told["kind"],
                    told["asked_at"],
                    frozenset(told["first"]),
                    frozenset(told["never"]),
                )
            )
    if house is not None:
        yield house
