"""Households' memories in the first person, and what is asked of them. See data/first_person*.jsonl.

Of each household: the half that it belongs to, its memories in the order of arrival, and questions. `first` are the
memories any of which may come first, `never` those of which none may (what was superseded, or is about somebody else).
The first file has few households with many memories, the second short stories of three to eight memories in everybody's
own manner, written by another hand, the third six hundred more by three further hands (their names begin with c, d, e),
each in one line. Rules and weights were made looking at `development`, `development_2` and `development_3` alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent / "data"
DATA = (FOLDER / "first_person.jsonl", FOLDER / "first_person_2.jsonl")
LINES = FOLDER / "first_person_3.jsonl"
PARTS = ("development", "held_out", "development_2", "held_out_2", "development_3")
NOON = "T12:00:00Z"


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
    return [*_read(), *(_story(json.loads(line)) for line in LINES.read_text().splitlines())]


def _story(told: dict[str, Any]) -> Household:
    """Return what one line tells: memories are [day, text], questions name them by their number."""
    name = told["household"]
    memories = [
        Memory(f"{name}-{number}", _moment(day), text)
        for number, (day, text) in enumerate(told["memories"], 1)
    ]
    questions = [
        Question(
            text,
            kind,
            _moment(day),
            frozenset(f"{name}-{number}" for number in first),
            frozenset(f"{name}-{number}" for number in never),
        )
        for text, kind, day, first, never in told["questions"]
    ]
    return Household(name, told["half"], memories, questions)


def _moment(day: str) -> str:
    return day if "T" in day else day + NOON


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
