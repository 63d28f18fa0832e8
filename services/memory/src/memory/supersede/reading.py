"""Reads a memory for what decides whether it replaces another: its topic, its values, its cues. Pure.

A *topic* is the words that say what a memory is about; a *value* is what can change while the topic stays: a weekday,
a time, a sum, a code, a name. Two memories of one topic with different values of one kind contradict each other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from memory.facts.clauses import Clause, Mood
from memory.facts.cues import Cue
from memory.facts.extract import facts_of
from memory.facts.fact import ExtractedFact
from memory.facts.predicates import ROLE_NAMES, ROLES, fold
from memory.facts.subjects import Subject, subjects
from memory.supersede.words import PLAIN, SUFFIX, stems

_WEEKDAY = Cue(r"\b(mon|tues|wednes|thurs|fri|satur|sun)days?\b")
_NUMBER_WORDS = {
    word: str(number)
    for number, word in enumerate(
        ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty"]
    )
} | {"once": "1", "twice": "2", "first": "1", "second": "2", "third": "3", "fourth": "4", "fifth": "5", "half": "0.5"}  # fmt: skip
_NUM = r"(?:\d+(?:[.,]\d+)*|zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|eighteen|nineteen|twenty)"
_KINDS: tuple[tuple[str, re.Pattern[str] | Cue], ...] = (
    ("money", Cue(rf"[$€£₹]\s?\d[\d.,]*|\b{_NUM}\s*(?:euros?|dollars?|pounds?|rupees?|kroner|francs?|zloty|eur|usd|gbp|bucks)\b")),
    ("date", Cue(r"\b\d{1,2}(?:st|nd|rd|th)?\s+(?:of\s+)?(?:january|february|march|april|may|june|july|august|september|october|november|december)(?:\s+\d{4})?\b|\b(?:january|february|march|april|may|june|july|august|september|october|november|december)\s+\d{1,4}(?:st|nd|rd|th)?\b")),
    ("clock", Cue(r"\b\d{1,2}[:.]\d\d(?:\s*[ap]m)?\b|\b\d{1,2}\s*(?:am|pm|o'clock)\b|\b(?:at|around|opens?\s+at|by)\s+(?:half\s+past\s+|quarter\s+(?:past|to)\s+)?(?:\d{1,2}|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|noon|midnight)\b(?!\s*(?:%|euros?|dollars?|pounds?|\w*(?:street|road)))")),
    ("phone", re.compile(r"\+?\d[\d\s()-]{6,18}\d")),
    ("measure", Cue(rf"\b{_NUM}\s*(?:%|mg|mcg|ml|g|grams?|kg|kilos?|pounds|lbs|cm|metres?|meters?|km|miles|litres?|minutes?|hours?|megabit|gb|watts?|percent)\b")),
    ("count", Cue(rf"\b{_NUM}\s+(?:\w+\s+)?(?:days?|times?|people|head|hours|persons|employees|cats?|dogs?|kids|packs?|cups?|pages)\b")),
    ("grade", Cue(r"\b(?:year|grade|class|lkg|ukg)\s+(?:\d+|one|two|three|four|five|six)\b|\b(?:first|second|third|fourth|fifth|final)\s+(?:year|grade)\b|\breception\b|\blkg\b")),
    ("code", re.compile(r"\b(?=[\w-]*\d)[A-Za-z0-9]+(?:-[A-Za-z0-9]+)+\b|\b\d{4,8}[A-Z]?\b|\b(?:[a-z]+-)+\d+\b")),
)  # fmt: skip
_MAIL = re.compile(r"[\w.+-]+@[\w.-]+")
# Something ends that stands after the verb: "sold the Golf", "no longer eat meat", "gave up on Turkish".
_ENDS_WHAT_FOLLOWS = Cue(
    r"\b(?:sold|ditched|dumped|scrapped|abandoned|swapped|exchanged|came\s+off|gone\s+off|unsubscribed\s+from|withdrew\s+from|pulled\s+out\s+of|moved\s+out\s+of|parted\s+with|broke\s+off|gave\s+back|quit|resigned\s+from|stopped|gave\s+up|given\s+up|gave\s+away|got\s+rid\s+of|no\s+longer|not\s+\w+\s+any\s*more|no\s+more|never\s+again|instead\s+of|rather\s+than|replac(?:ed|es|ing|e)"
    r"|cancell?ed|called\s+off|broke\s+up\s+with|split\s+up\s+with|lost|traded(?:\s+in)?|handed|let|gone\s+off|went\s+off|can't\s+stand|don't|doesn't|didn't|dropped|swapped|(?<!\bher )(?<!\bhis )(?<!\bmy )(?<!\bthe )(?<!\bour )left(?=\s+(?:the\b|my\b|our\b|his\b|her\b|(?-i:[A-Z])))|leaving(?=\s+(?:the\b|my\b|our\b)))\b"
)
# Something ends that stands before it: "the boiler was replaced", "my GP retired", "Lise has moved away".
_ENDS_WHAT_PRECEDES = Cue(
    r"\b(?:stolen|replaced|cancell?ed|called\s+off|retired|died|passed\s+away|closed|shut\s+down|sold\s+up|moved\s+(?:away|out)|cut\s+off|go|is\s+over|are\s+over|is\s+finished|went\s+bankrupt|no\s+longer\s+exists|withdrawn|discontinued|suspended|merged|expired|ended|broke\s+down|split\s+up(?!\s+with)"
    r"|no\s+longer\s+together|instead|any\s*more|gone|was\s+full|quit(?=\s*(?:[.;,]|$))|left(?=\s*(?:[.;,]|$|\s+for\b)))\b"
)
_LEFT_BEHIND = re.compile(
    r"\b(?:from|instead\s+of|rather\s+than|not|than)\s+([^,.;]+?)(?=\s+(?:to|into|and|but)\b|[,.;]|$)"
)
_UPDATE = Cue(
    r"\b(?:now|no\s+longer|not\s+any\s*more|any\s*more|instead|switched|changed|chang(?:es|ing)|moved|mov(?:es|ing)|replaced|renewed|these\s+days|nowadays|lately|currently|from\s+now\s+on"
    r"|from\s+(?:today|this|next|january|february|march|april|may|june|july|august|september|october|november|december)\b|as\s+of|new|became|become|promoted|got\s+moved|rescheduled|postponed|brought\s+forward"
    r"|back\s+to|went\s+back|again|finally|quit|left|stopped|gave\s+up|sold|bought|traded|raised|lowered|increased|reduced|took\s+over|up\s+to|down\s+to|turned|started|joined|opened|retired|died|closed|since|already|this\s+year|this\s+(?:spring|summer|autumn|winter)"
    r"|after\s+all|really|not\s+\w+\s+after\s+all|until\s+further|got\s+(?:a|my|our|the)\s+(?:own|new)|gone\s+off|handed|cancelled|picked|calls?)\b"
)
_CORRECTION = Cue(
    r"\b(?:correction|actually|sorry|i\s+was\s+wrong|i\s+had\s+it\s+wrong|had\s+that\s+wrong|i\s+misremembered|mistake|turns\s+out|it\s+turns\s+out|i\s+meant|not\s+\w+\s+but|rather\s+than|in\s+fact|really\s*[.!]?$|after\s+all)\b"
)
_ALSO = Cue(
    r"\b(?:also|too|as\s+well|another|a\s+second|second|in\s+addition|besides|additional|extra|both|one\s+more|other|on\s+top\s+of)\b"
)


@dataclass(frozen=True, slots=True)
class Reading:
    """A memory as the decision sees it."""

    said_at: datetime
    holds_at: datetime
    facts: tuple[ExtractedFact, ...]
    people: frozenset[str]
    topic: frozenset[str]
    names: frozenset[str]
    values: Mapping[str, frozenset[str]]
    ended: frozenset[str]
    left: frozenset[str]
    updates: bool
    corrects: bool
    adds: bool
    past: bool
    planned: bool
    silent: bool
    text: str = field(repr=False, default="")


def read(text: str, speaker: str | None, said_at: datetime) -> Reading:
    """Return what `text` says, as far as replacing goes; under half a millisecond for an ordinary memory."""
    about = subjects(text, speaker)
    plain = " . ".join(clause.text for clause, _ in about)
    facts = tuple(facts_of(about, said_at))
    past = bool(about) and about[0][0].mood is Mood.PAST
    planned = bool(about) and all(clause.mood is Mood.PLANNED for clause, _ in about)
    values, rest = _values(plain)
    until = max((fact.valid_to for fact in facts if fact.valid_to), default=None)
    return Reading(
        said_at=said_at,
        holds_at=(until or said_at) if past else said_at,
        facts=facts,
        people=_people(about),
        topic=frozenset(stems(rest)),
        names=_names(plain),
        values=values,
        ended=_ended(plain),
        left=_left(plain),
        updates=bool(_UPDATE.search(plain)),
        corrects=bool(_CORRECTION.search(plain)),
        adds=bool(_ALSO.search(plain)),
        past=past,
        planned=planned,
        silent=not about,
        text=plain,
    )


def _people(about: list[tuple[Clause, Subject | None]]) -> frozenset[str]:
    """Return whom the clauses are about: the speaker, names, relations; a thing of nobody's counts as the speaker's."""
    found: set[str] = set()
    for clause, subject in about:
        if subject is None:
            continue
        if subject.role and subject.role in ROLES:
            found.add(subject.role)
        found.add(fold(subject.name))
        if subject.thing and clause.text.startswith(subject.thing):
            # "Lise next door" or "Bin day": perhaps somebody's name, surely no stranger's matter.
            found.add("~" + subject.thing.split()[0].casefold())
    return frozenset(found)


def _names(text: str) -> frozenset[str]:
    found: set[str] = set()
    for match in re.finditer(r"(?<![.!?]\s)(?<!^)\b[A-ZÀ-Þ][\w'-]+", text):
        word = SUFFIX.sub("", match.group().casefold())
        if word not in PLAIN and word != "i":
            found.add(word)
    first = re.match(r"[A-ZÀ-Þ][\w'-]+", text)
    if first:
        word = SUFFIX.sub("", first.group().casefold())
        if word not in PLAIN and word not in ROLES and word not in ROLE_NAMES:
            found.add(word)
    return frozenset(found)


def _values(text: str) -> tuple[dict[str, frozenset[str]], str]:
    """Return the values by kind, and the text without them."""
    found: dict[str, set[str]] = {}
    rest = text
    days = {day.group(1).lower() for day in _WEEKDAY.finditer(rest)}
    if days:
        found["weekday"] = days
        rest = _WEEKDAY.sub(" ", rest)
    if "@" in rest:
        mails = {mail.lower() for mail in _MAIL.findall(rest)}
        if mails:
            found["mail"] = mails
        rest = _MAIL.sub(" ", rest)
    for kind, pattern in _KINDS:
        values = {_value(match.group()) for match in pattern.finditer(rest)}
        if values:
            found[kind] = values
            rest = pattern.sub(" ", rest)
    return {kind: frozenset(values) for kind, values in found.items()}, rest


def _value(raw: str) -> str:
    words = re.sub(r"[^\w.:@]+", " ", raw.lower()).split()
    kept = [
        _NUMBER_WORDS.get(word, word) for word in words if word not in ("at", "of", "by", "around")
    ]
    return " ".join(kept)


def _ended(text: str) -> frozenset[str]:
    """Return the stems of what a memory says has ended."""
    found: set[str] = set()
    for match in _ENDS_WHAT_FOLLOWS.finditer(text):
        after = re.split(r"[.;!?,]|\b(?:and|because|but|so|to)\b", text[match.end() :], maxsplit=1)[
            0
        ]
        found.update(stems(" ".join(after.split()[:6])))
    for match in _ENDS_WHAT_PRECEDES.finditer(text):
        before = re.split(r"[.;!?]|\b(?:and|because|but)\b", text[: match.start()])[-1]
        found.update(stems(" ".join(before.split()[-5:])))
    return frozenset(found)


def _left(text: str) -> frozenset[str]:
    """Return the stems of what a memory says it came from: "from Vodafone to NOS", "not 3 June"."""
    found: set[str] = set()
    for match in _LEFT_BEHIND.finditer(text):
        found.update(stems(" ".join(match.group(1).split()[:4])))
    return frozenset(found)
