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

from memory.facts.predicates import SELF
from memory.supersede.asks import Asked, answers, asked
from memory.supersede.reading import Reading
from memory.supersede.signs import Signs, Sought, signs, strange
from memory.supersede.signs import sought as signs_sought
from memory.supersede.topics import shared, topics
from memory.supersede.when import Kind, When, asking, named_in
from memory.supersede.words import PLAIN, stem, stems

_WHEN = re.compile(
    r"\b(?:when|what\s+time|which\s+day|what\s+day|on\s+which|on\s+what|which\s+evening)\b", re.I
)
_HOW_MUCH = re.compile(
    r"\b(?:how\s+(?:much|many|old|heavy)|number|code|password|combination|dose|rate|price|cost|pin)\b",
    re.I,
)
_YES_NO = re.compile(r"^(?:do|does|did|am|is|are|was|were|can|may|have|has|will|should)\b", re.I)
_WORD = re.compile(r"[a-zà-ÿ'-]+")
_MOMENTS = frozenset({"weekday", "clock", "date"})
_AMOUNTS = frozenset({"money", "phone", "measure", "count", "code", "grade"})
_COUNTED = frozenset({"age", "number", "dose"})

ANSWER = (
    "near", "below_nearest", "states", "own", "strange", "named", "kind", "after", "topic", "whose", "nobodys", "others",
    "leads_self", "only_self", "who", "where", "counted", "cues", "ended", "long", "theirs",
    "too", "topic_cues",
)  # fmt: skip
REPLACE = (
    "near_both", "near_earlier", "near_later", "gap", "values", "kinds", "asked_of_later", "earlier_states",
    "later_states", "topic_later", "shared", "rare", "bridge", "bridge_cues", "name", "bridge_name", "name_asked", "cues",
    "cues_near", "numbers_cues", "now", "turned", "shifted", "righted", "newest", "lacks", "stranger", "lost", "then",
    "after", "agent_new", "theirs", "too", "initial", "shorter", "next", "near_newest", "then_shared", "owner_new",
    "strange_new", "ended_later", "whose_later",
)  # fmt: skip
# Of what many of the candidates share nothing follows.
_RARE_MAX = 2
_SOON_DAYS = 14


@dataclass(frozen=True, slots=True)
class Query:
    """A question as the evidence needs it."""

    text: str
    when: When
    asks: Asked
    words: frozenset[str]
    topics: Mapping[str, float]
    named: tuple[str, ...]
    sought: Sought
    yes_no: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """A memory as the evidence needs it: what it says, how near the question it is, and its matters."""

    reading: Reading
    near: float
    # How much it has of the question's matter, whatever its words.
    topic: float
    words: frozenset[str]
    states: bool
    signs: Signs
    # Of the kinds of answer that are asked for: 1 where it has one, -1 where it has none, 0 where none is asked for.
    who: float
    where: float
    counted: float
    whose: float
    strange: bool
    after: bool


def timeless(query: str, now: datetime) -> str:
    """Return the question without the times it names: what was true in March need not speak of March."""
    text = query
    for span in reversed(named_in(query, now)):
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
    return Query(
        query,
        when,
        asks,
        frozenset(stems(bare)),
        _matters(bare),
        named,
        signs_sought(query),
        bool(_YES_NO.search(query)),
    )


def answer(reading: Reading, text: str, near: float, query: Query) -> Answer:
    """Return what one memory brings to a question."""
    seen, wanted = signs(text), query.sought
    new = bool(seen.names - wanted.words)
    return Answer(
        reading,
        near,
        shared(query.topics, _matters(reading.text)),
        reading.topic | reading.names,
        any(answers(query.asks, fact) for fact in reading.facts),
        seen,
        who=_met(wanted.who, new),
        where=_met(wanted.where, new or seen.placed),
        counted=_met(wanted.counted, bool(seen.numbers or reading.values)),
        whose=len(wanted.whose & seen.words) / len(wanted.whose) if wanted.whose else 0.0,
        strange=strange(wanted, seen),
        after=_begins_after(query.when, reading),
    )


def answers_by(query: Query, each: Answer, nearest: float) -> list[float]:
    """Return the features of a memory as an answer, in the order of `ANSWER`."""
    reading, seen, wanted = each.reading, each.signs, query.sought
    return [
        each.near,
        each.near - nearest,
        float(each.states),
        float(SELF in query.asks.about and SELF in reading.people),
        float(
            query.asks.about == frozenset({SELF})
            and SELF not in reading.people
            and bool(reading.people)
        ),
        float(bool(query.named) and all(_speaks_of(reading, who) for who in query.named)),
        _kind(query.text, reading),
        float(each.after),
        each.topic,
        each.whose,
        float(bool(wanted.whose) and not each.whose),
        float(each.strange),
        float(wanted.mine and seen.leads_self),
        float(wanted.strangers and seen.leads_self and not each.whose),
        each.who,
        each.where,
        each.counted,
        float(seen.cues),
        float(seen.ended and query.yes_no),
        math.log1p(len(seen.words)),
        float(wanted.mine and seen.theirs),
        float(seen.too),
        each.topic * seen.cues,
    ]


def replaced_by(
    query: Query,
    earlier: Answer,
    later: Answer,
    common: Mapping[str, int],
    newest: bool,
    following: bool,
) -> list[float]:
    """Return the features of one memory having replaced another in this question, in the order of `REPLACE`.

    `common` says how many of the candidates have a stem, `newest` that none of them is later than the later one,
    `following` that none of them lies between the two.
    """
    old, new, was, is_ = earlier.reading, later.reading, earlier.signs, later.signs
    asked_words = query.sought.words
    bridge = min(2, len(_bridge(was, is_) - asked_words))
    name = float(bool(is_.names and is_.names - was.names - asked_words))
    dist = (was.stems & is_.stems) - query.words
    rare = sum(common.get(word, 0) <= _RARE_MAX for word in dist) if dist else 0
    kinds = old.values.keys() & new.values.keys() if old.values and new.values else ()
    days = max(0, (new.said_at - old.said_at).days)
    return [
        min(earlier.near, later.near),
        earlier.near,
        later.near,
        math.log1p(days) / 7,
        float(any(not new.values[kind] & old.values[kind] for kind in kinds)),
        float(bool(kinds)),
        len(query.words & later.words) / max(1, len(query.words)),
        float(earlier.states),
        float(later.states),
        later.topic,
        float(min(3, len(dist))),
        float(min(2, rare)),
        float(bridge),
        float(bridge * min(2, is_.cues)),
        name,
        bridge * name,
        name * query.sought.who,
        float(min(3, is_.cues)),
        is_.cues * later.near,
        is_.cues * float(bool(was.numbers) and not is_.numbers <= was.numbers),
        float(is_.now),
        float(is_.turned),
        float(is_.shifted),
        float(is_.righted and days < _SOON_DAYS),
        float(newest),
        float(_lacks(earlier, later)),
        float(later.strange) - float(earlier.strange),
        later.whose - earlier.whose,
        float(query.when.kind is Kind.AT),
        float(later.after and not earlier.after),
        float(bool(is_.agent) and is_.agent not in was.words and is_.agent not in asked_words),
        float(is_.theirs) - float(was.theirs),
        float(is_.too),
        float(bool(is_.initials) and _begins(is_.initials, was)),
        math.log1p(len(was.words)) - math.log1p(len(is_.words)),
        float(following),
        earlier.near * newest,
        float(query.when.kind is Kind.AT) * min(3, len(dist)),
        float(bool(is_.owners and is_.owners - was.words - asked_words)),
        float(later.strange) * later.near,
        float(is_.ended),
        float(bool(query.sought.whose) and later.whose > 0),
    ]


def _lacks(earlier: Answer, later: Answer) -> bool:
    """Say whether only the earlier has an answer of a kind that is asked for."""
    return (
        earlier.who > 0 > later.who
        or earlier.where > 0 > later.where
        or earlier.counted > 0 > later.counted
    )


def _begins(initials: frozenset[str], was: Signs) -> bool:
    """Say whether one of the initials is that of a name in the earlier memory."""
    return any(name[:1] in initials for name in (*was.names, was.first))


def _bridge(was: Signs, is_: Signs) -> frozenset[str]:
    """Return the names by which the later memory takes the earlier one up, also where they are written small."""
    found = (was.names & is_.stems) | (is_.names & was.stems) | (was.names & is_.names)
    if was.first in is_.words and was.first not in PLAIN:
        found |= {was.first}
    return found


def _met(wanted: bool, there: bool) -> float:
    """Return 1 where there is what is wanted, -1 where it is missing, and 0 where it is not wanted."""
    return (1.0 if there else -1.0) if wanted else 0.0


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


def _begins_after(when: When, reading: Reading) -> bool:
    """Say whether a memory speaks of a time after the one asked about."""
    if when.kind is not Kind.AT or when.until is None:
        return False
    starts = [fact.valid_from for fact in reading.facts if fact.valid_from is not None]
    since = min(starts) if starts else (None if reading.past else reading.said_at)
    return since is not None and since >= when.until
