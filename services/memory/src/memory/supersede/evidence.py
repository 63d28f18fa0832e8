"""What speaks for a memory answering a question, and for one memory having replaced another in it. Pure.

Two small linear models over readable features; weights.py says what they were fitted on. The rules' verdict is one of
the features: where they are sure, the model follows; where they are silent, nearness, time and topic decide.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from memory.facts.cues import Cue
from memory.facts.predicates import SELF
from memory.facts.times import spans
from memory.supersede.asks import Asked, answers, asked
from memory.supersede.decide import ASKED, Limits, kind_of, replaces, who_of
from memory.supersede.people import ratio_of, same_people, weighty_of
from memory.supersede.reading import Reading
from memory.supersede.topics import shared, topics
from memory.supersede.when import Kind, When, asking
from memory.supersede.words import stem, stems

_WHEN = re.compile(
    r"\b(?:when|what\s+time|which\s+day|what\s+day|on\s+which|on\s+what|which\s+evening)\b", re.I
)
_HOW_MUCH = re.compile(
    r"\b(?:how\s+(?:much|many|old|heavy)|number|code|password|combination|dose|rate|price|cost|pin)\b",
    re.I,
)
_YES_NO = re.compile(r"^(?:do|does|did|am|is|are|was|were|can|may|have|has|will|should)\b", re.I)
_NOT = Cue(
    r"\b(?:no|not|never|n't|don't|doesn't|isn't|aren't|can't|cannot|stopped|quit|gave\s+up|gone\s+off|hates?|scared|afraid|dislikes?"
    r"|any\s?more|off|cancelled|sold|without|died|left|lost|paid|ditched|given\s+up|split|broke\s+up|called\s+off|fight|refuse[sd]?)\b"
)
_WORD = re.compile(r"[a-zà-ÿ'-]+")
_MOMENTS = frozenset({"weekday", "clock", "date"})
_AMOUNTS = frozenset({"money", "phone", "measure", "count", "code", "grade"})
_COUNTED = frozenset({"age", "number", "dose"})

ANSWER = (
    "near", "below_nearest", "covers", "states", "idle", "own", "strange", "named", "kind", "past", "planned", "after",
    "topic", "topics",
)  # fmt: skip
REPLACE = (
    "near_both", "near_earlier", "near_later", "nearer", "ratio", "shared", "asked_of_both", "asked_lost", "values", "updates",
    "corrects", "adds", "ended", "left", "people", "same_people", "names", "verdict", "name_lost", "slot", "late", "gap",
    "near_product", "asked_of_later", "earlier_states", "later_states", "kinds", "topic", "flip", "flip_asked", "topic_later",
    "topic_gain", "negative",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Query:
    """A question as the evidence needs it."""

    text: str
    when: When
    asks: Asked
    words: frozenset[str]
    topics: Mapping[str, float]
    named: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """A memory as the evidence needs it: what it says, how near the question it is, and its matters."""

    reading: Reading
    near: float
    topics: Mapping[str, float]
    words: frozenset[str]
    states: bool
    negative: bool


def timeless(query: str, now: datetime) -> str:
    """Return the question without the times it names: what was true in March need not speak of March."""
    text = query
    for span in reversed(spans(query, now)):
        text = f"{text[: span.start].rstrip()} {text[span.end :].lstrip()}".strip()
    return re.sub(r"\s+([?.!])", r"\1", text)


def sought(query: str, now: datetime) -> str:
    """Return what to look for by meaning: without the time, where the question is what was true then."""
    return timeless(query, now) if asking(query, now).kind is Kind.AT else query


def question(query: str, when: When, now: datetime) -> Query:
    """Return what `query` is about."""
    bare = timeless(query, now) if when.kind is Kind.AT else query
    asks = asked(query)
    named = tuple(sorted(who for who in asks.about if who != SELF))
    return Query(query, when, asks, frozenset(stems(bare)), _matters(bare), named)


def answer(reading: Reading, near: float, asks: Asked) -> Answer:
    """Return what one memory brings to a question."""
    return Answer(
        reading,
        near,
        _matters(reading.text),
        reading.topic | reading.names,
        any(answers(asks, fact) for fact in reading.facts),
        bool(_NOT.search(reading.text)),
    )


def answers_by(query: Query, each: Answer, nearest: float) -> list[float]:
    """Return the features of a memory as an answer, in the order of `ANSWER`."""
    reading = each.reading
    return [
        each.near,
        each.near - nearest,
        len(query.words & each.words) / max(1, len(query.words)),
        float(each.states),
        float(reading.silent),
        float(SELF in query.asks.about and SELF in reading.people),
        float(
            query.asks.about == frozenset({SELF})
            and SELF not in reading.people
            and bool(reading.people)
        ),
        float(bool(query.named) and all(_speaks_of(reading, who) for who in query.named)),
        _kind(query.text, reading),
        float(reading.past),
        float(reading.planned),
        _after(query.when, reading),
        shared(query.topics, each.topics),
        len(query.topics.keys() & each.topics.keys()) / max(1, len(query.topics)),
    ]


def replaced_by(
    query: Query, earlier: Answer, later: Answer, limits: Limits = ASKED
) -> list[float]:
    """Return the features of one memory having replaced another in this question, in the order of `REPLACE`."""
    old, new = earlier.reading, later.reading
    common = old.topic & new.topic
    words = max(1, len(query.words))
    near = min(earlier.near, later.near)
    lost = any(_speaks_of(old, who) for who in query.named) and not any(
        _speaks_of(new, who) for who in query.named
    )
    other_values = any(
        kind in old.values and not values & old.values[kind] for kind, values in new.values.items()
    )
    one_slot = any(
        kind_of(one) == kind_of(two) and who_of(one) == who_of(two)
        for one in old.facts
        for two in new.facts
    )
    flip = earlier.negative != later.negative
    return [
        near,
        earlier.near,
        later.near,
        later.near - earlier.near,
        ratio_of(new, old, common) if common else 0.0,
        float(min(3, len(weighty_of(common, new, old)))),
        len(query.words & earlier.words & later.words) / words,
        len((query.words & earlier.words) - later.words) / words,
        float(other_values),
        float(new.updates),
        float(new.corrects),
        float(new.adds),
        float(bool(new.ended & earlier.words)),
        float(bool(new.left & earlier.words)),
        float(same_people(new, old)),
        float(old.people == new.people),
        float(bool(old.names & new.names)),
        float(replaces(new, old, near, limits) is not None),
        float(lost),
        float(one_slot),
        float(new.past or new.silent),
        math.log1p(max(0, (new.said_at - old.said_at).days)) / 7,
        near * later.near,
        len(query.words & later.words) / words,
        float(earlier.states),
        float(later.states),
        float(bool(old.values.keys() & new.values.keys())),
        shared(earlier.topics, later.topics),
        float(flip),
        float(flip and bool(_YES_NO.search(query.text))),
        shared(query.topics, later.topics),
        shared(query.topics, later.topics) - shared(query.topics, earlier.topics),
        float(later.negative),
    ]


def _matters(text: str) -> dict[str, float]:
    words = _WORD.findall(text.lower())
    return topics(each for word in words for each in {word, stem(word)})


def _speaks_of(reading: Reading, who: str) -> bool:
    word = who.rsplit(".", 1)[-1]
    return (
        who in reading.people
        or word in reading.names
        or any(each.rsplit(".", 1)[-1] == word for each in reading.people)
        or stem(word) in reading.topic
    )


def _kind(query: str, reading: Reading) -> float:
    """Say whether the memory has the kind of value that is asked for: 1, -1, or 0 when no kind is."""
    if _WHEN.search(query):
        return 1.0 if reading.values.keys() & _MOMENTS else -1.0
    if _HOW_MUCH.search(query):
        counted = any(fact.predicate in _COUNTED for fact in reading.facts)
        return 1.0 if counted or reading.values.keys() & _AMOUNTS else -1.0
    return 0.0


def _after(when: When, reading: Reading) -> float:
    """Say whether a memory speaks of a time after the one asked about."""
    if when.kind is not Kind.AT or when.until is None:
        return 0.0
    starts = [fact.valid_from for fact in reading.facts if fact.valid_from is not None]
    since = min(starts) if starts else (None if reading.past else reading.said_at)
    return float(since is not None and since >= when.until)
