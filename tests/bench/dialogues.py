"""The development dialogues and what counts as having found an answer in them. Nothing of them is kept in the project."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from .memory_corpus import folder

FILE = "locomo-dev.json"
# The fifth category asks of one what the other said: its evidence must still be found.
TRAP = 5
DEPTHS = (5, 10, 20)
_ENTRY = re.compile(r"D:?(\d+):(\d+)")
_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Turn:
    """One thing that was said."""

    speaker: str
    text: str
    session: int
    at: datetime


@dataclass(frozen=True)
class Asked:
    """One question and the places of the turns that answer it."""

    text: str
    category: int
    evidence: tuple[int, ...]


@dataclass(frozen=True)
class Dialogue:
    """Months of talk between two people, and questions about it."""

    name: str
    turns: tuple[Turn, ...]
    questions: tuple[Asked, ...]


def where() -> Path:
    """Return where the dialogues lie, whether they do or not."""
    return folder() / FILE


def dialogues() -> list[Dialogue]:
    """Return every dialogue, its turns in order; questions without evidence are left out."""
    return [_dialogue(told) for told in json.loads(where().read_text())]


def _dialogue(told: dict[str, Any]) -> Dialogue:
    talk, turns, places = told["conversation"], list[Turn](), dict[str, int]()
    sessions = sorted(int(key[8:]) for key in talk if re.fullmatch(r"session_\d+", key))
    for session in sessions:
        begun = datetime.strptime(talk[f"session_{session}_date_time"], "%I:%M %p on %d %B, %Y")
        for number, turn in enumerate(talk[f"session_{session}"]):
            places[turn["dia_id"]] = len(turns)
            shown = turn.get("blip_caption")
            text = turn["text"] + (f" [photo: {shown}]" if shown else "")
            at = begun.replace(tzinfo=UTC) + timedelta(seconds=number)
            turns.append(Turn(turn["speaker"], text, session, at))
    questions: list[Asked] = []
    for asked in told["qa"]:
        named = (
            f"D{int(session)}:{int(turn)}"
            for entry in asked.get("evidence") or []
            for session, turn in _ENTRY.findall(entry)
        )
        evidence = tuple(dict.fromkeys(places[name] for name in named if name in places))
        if evidence:
            questions.append(Asked(asked["question"], asked["category"], evidence))
    return Dialogue(told["sample_id"], tuple(turns), tuple(questions))


@dataclass
class Tally:
    """Evidence found, question by question."""

    name: str
    found: dict[int, list[float]]
    traps: list[float]

    @classmethod
    def of(cls, name: str) -> Tally:
        """Return an empty tally."""
        return cls(name, {depth: [] for depth in DEPTHS}, [])

    def add(self, question: Asked, answer: Sequence[int]) -> None:
        """Count one answer: the places of turns, best first."""
        for depth in DEPTHS:
            best = set(answer[:depth])
            share = sum(place in best for place in question.evidence) / len(question.evidence)
            if question.category != TRAP:
                self.found[depth].append(share)
            elif depth == 10:
                self.traps.append(share)

    def row(self) -> dict[str, Any]:
        """Return it as a row of the result."""
        shares = {f"recall@{depth}": _percent(self.found[depth]) for depth in DEPTHS}
        return {"arm": self.name, **shares, "adversarial@10": _percent(self.traps)}


def _percent(shares: Sequence[float]) -> float:
    return round(100 * sum(shares) / max(len(shares), 1), 1)


def by_words(texts: Sequence[Mapping[str, int]], asked: Sequence[str]) -> list[int]:
    """Return the places of the texts that BM25 finds for these terms, best first."""
    lengths = [sum(text.values()) for text in texts]
    average = sum(lengths) / len(texts)
    seen = Counter(term for text in texts for term in text)
    scores: list[tuple[float, int]] = []
    for place, text in enumerate(texts):
        norm = 1.2 * (0.25 + 0.75 * lengths[place] / average)
        score = sum(
            math.log(1 + (len(texts) - seen[term] + 0.5) / (seen[term] + 0.5))
            * text[term]
            * 2.2
            / (text[term] + norm)
            for term in dict.fromkeys(asked)
            if term in text
        )
        if score > 0:
            scores.append((-score, place))
    return [place for _, place in sorted(scores)]
