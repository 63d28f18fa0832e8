"""What time a question asks about: now, a time it names, what was before, or what was first. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from memory.facts.times import Span, spans
from memory.supersede.feasts import feasts

_PAST = re.compile(
    r"\b(?:did|was|were|had|used|wasn't|didn't|weren't|hadn't|lived|worked|drove|studied|was\s+\w+ing|would\s+\w+\s+have)\b",
    re.I,
)
_PRESENT = re.compile(
    r"\b(?:am|is|are|do|does|have|has|will|can)\b|\w'(?:m|re|ve|ll)\b"
    r"|\b(?:who|what|where|when|how|which|it|that|there|he|she)'s\b",
    re.I,
)
_BEFORE = re.compile(
    r"\b(?:before|previously|previous|formerly|former|used\s+to|use\s+to|earlier|prior|last\s+time|in\s+the\s+past|back\s+then|until\s+recently|no\s+longer)\b",
    re.I,
)
_FIRST = re.compile(
    r"\b(?:originally|original|at\s+first|initially|initial|in\s+the\s+beginning|to\s+begin\s+with|at\s+the\s+start|(?:did|was|were|had)\b.*\bfirst)\b",
    re.I,
)
_STILL = re.compile(
    r"\b(?:now|still|these\s+days|currently|current|nowadays|at\s+the\s+moment|today|any\s?more|corrected|new|latest|end\s+up|last|final)\b",
    re.I,
)


class Kind(StrEnum):
    """Which of the memories that replaced each other a question is after."""

    NOW = "now"
    AT = "at"
    BEFORE = "before"
    FIRST = "first"


@dataclass(frozen=True, slots=True)
class When:
    """The time that a question is about; `since` and `until` only for AT."""

    kind: Kind
    since: datetime | None = None
    until: datetime | None = None


NOW = When(Kind.NOW)


def named_in(query: str, now: datetime) -> list[Span]:
    """Return the times that a question names, in order."""
    named = feasts(query, now)
    dated = [
        span
        for span in spans(query, now)
        if all(span.end <= each.start or span.start >= each.end for each in named)
    ]
    return sorted([*named, *dated], key=lambda each: each.start)


def asking(query: str, now: datetime) -> When:
    """Return what time `query` is about, read at `now`. A named time counts only in a question about the past."""
    past = bool(_PAST.search(query)) or not _PRESENT.search(query)
    named = [span for span in named_in(query, now) if span.since < now]
    if past and named:
        span = max(named, key=lambda each: each.since - each.until)
        return When(Kind.AT, span.since, min(span.until, now))
    if _STILL.search(query):
        return NOW
    if _FIRST.search(query):
        return When(Kind.FIRST)
    if _BEFORE.search(query):
        return When(Kind.BEFORE)
    return NOW
