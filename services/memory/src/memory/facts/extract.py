"""From a text to the facts that it states, by rules: no model, no network, well under a millisecond. Pure.

1. Cut the text into clauses; leave out what is asked, supposed or quoted.
2. Find who the clause is about: the speaker, a person by name or relation, or a thing of theirs.
3. Match what is said of them against the known shapes; what "is" something fills a slot named by its own words.
4. Read from when and until when it holds.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime, timedelta

from memory.facts.clauses import Clause, Mood
from memory.facts.fact import ExtractedFact
from memory.facts.predicates import SELF, Slot, slot
from memory.facts.subjects import Subject, subjects
from memory.facts.times import Span, spans
from memory.facts.values import said

__all__ = ["EXTRACTOR", "SELF", "VERSION", "ExtractedFact", "Slot", "extract", "slot", "states"]

EXTRACTOR, VERSION = "rules", 2
FACTS_MAX = 16
_STATES = re.compile(
    r"\b(?:is|are|am|was|'s|'m|live|lives|moved|work|works|drive|drives|takes?|prefers?|likes?|loves?|changed|switched|now|no longer|eats?|drinks?|uses?|meets?|starts?|comes?|goes|has|have|got|bought|sold|called)\b",
    re.IGNORECASE,
)
_CHANGED = re.compile(
    r"\b(?:moved|switched|changed|started|joined|became|bought|sold|got|left|quit|gave|opened|closed|began|stopped|arrived|broke|married)\b",
    re.IGNORECASE,
)


def states(text: str) -> bool:
    """Say, generously and cheaply, whether the text may state something that another text can replace."""
    return bool(_STATES.search(text))


def extract(text: str, speaker: str | None, said_at: datetime) -> list[ExtractedFact]:
    """Return at most sixteen facts that `text` states, in its order; none of a question, a wish or a quotation."""
    return facts_of(subjects(text, speaker), said_at)


def facts_of(about: list[tuple[Clause, Subject | None]], said_at: datetime) -> list[ExtractedFact]:
    """Return the facts in clauses whose subjects are known."""
    found: list[ExtractedFact] = []
    for clause, subject in about:
        if subject is None:
            continue
        times = validity(clause, said_at)
        for fact in said(clause, subject):
            found.append(replace(fact, valid_from=times[0], valid_to=times[1]))
            if len(found) >= FACTS_MAX:
                return found
    return found


def validity(clause: Clause, said_at: datetime) -> tuple[datetime | None, datetime | None]:
    """Return from when and until when the clause says that it holds; None where it does not say."""
    text = clause.text
    ahead = clause.mood is Mood.PLANNED
    since: datetime | None = None
    until: datetime | None = None
    named = spans(text, said_at, ahead)
    for span in named:
        word = _word_before(text, span)
        if word in ("until", "till", "to") and word != "to":
            until = (
                spans(text, said_at, True)[0].since
                if len(named) == 1 and clause.mood is not Mood.PAST
                else span.since
            )
            if clause.mood is Mood.PAST:
                until = span.until
        elif word in ("since", "after"):
            since = span.since
        elif word in ("from", "starting", "of"):
            since = _nearer(text, span, said_at)
        elif clause.mood is Mood.PAST:
            since, until = span.since, min(span.until, said_at)
        elif _CHANGED.search(text) and since is None:
            since = span.since
    if clause.mood is Mood.PAST and until is None:
        # Over by the time it was said, and nobody says since when.
        until = said_at
    if since is not None and until is not None and until <= since:
        until = since + timedelta(days=1)
    return since, until


def _nearer(text: str, span: Span, said_at: datetime) -> datetime:
    """Return the beginning of a span, of two years that it may be in the nearer: "from February", said in January."""
    again = next(
        (each for each in spans(text, said_at, True) if each.start == span.start), span
    ).since
    return min(span.since, again, key=lambda each: abs(each - said_at))


def _word_before(text: str, span: Span) -> str:
    words = re.findall(r"[a-z]+", text[max(0, span.start - 12) : span.start + 8].lower())
    inside = re.match(r"[a-z]+", text[span.start : span.end].lower())
    if inside and inside.group() in ("since", "until", "till", "from", "by", "after"):
        return inside.group()
    head = re.findall(r"[a-z]+", text[max(0, span.start - 12) : span.start].lower())
    return head[-1] if head else (words[0] if words else "")
