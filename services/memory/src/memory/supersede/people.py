"""Whom memories are about, and how much of a topic two of them share. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

from memory.facts.predicates import ROLES_ONE, SELF
from memory.supersede.reading import Reading
from memory.supersede.words import stem

_WEAK = frozenset(
    [
        "eat",
        "drink",
        "work",
        "liv",
        "play",
        "us",
        "driv",
        "run",
        "meet",
        "open",
        "com",
        "call",
        "start",
        "get",
        "mov",
        "chang",
        "switch",
        "buy",
        "sell",
        "find",
        "tell",
        "say",
        "ask",
        "put",
        "giv",
        "hav",
        "read",
        "see",
        "know",
        "hear",
        "feel",
        "turn",
        "plan",
        "visit",
        "day",
        "morn",
        "even",
        "afternoon",
        "night",
        "week",
        "home",
        "hous",
        "job",
        "new",
        "peopl",
        "help",
        "pay",
        "cost",
        "number",
        "code",
        "dr",
        "mr",
        "mrs",
        "professor",
        "name",
        "part",
        "long",
        "little",
        "small",
        "big",
        "good",
        "best",
        "full",
        "half",
        "favourit",
        "live",
        "drive",
        "give",
        "move",
        "change",
        "number",
        "cod",
        "kid",
        "street",
        "school",
    ]
)
_AGENTS = frozenset(
    {
        "doctor",
        "landlord",
        "boss",
        "dentist",
        "council",
        "company",
        "work",
        "school",
        "clinic",
        "bank",
        "airline",
        "vet",
        "cardiologist",
        "scan",
    }
)
_AGENT_STEMS = frozenset(stem(agent) for agent in _AGENTS)
_SELF_WORDS = re.compile(r"\b(?:i|we|my|our|me|us|mine|ours)\b", re.IGNORECASE)


def same_people(later: Reading, earlier: Reading) -> bool:
    """Say whether the later memory is about somebody whom the earlier one is about."""
    if not later.people or not earlier.people:
        return True
    of_mine = SELF in earlier.people and _speaks_of_self(later)
    return of_mine or (
        any(_mentions(later, who) for who in earlier.people)
        and any(_mentions(earlier, who) for who in later.people)
    )


def _speaks_of_self(reading: Reading) -> bool:
    if SELF in reading.people:
        return True
    acting = any(
        stem(who.split(".")[-1]) in _AGENT_STEMS or who in _AGENTS for who in reading.people
    )
    return acting and bool(reading.updates)


def _mentions(reading: Reading, who: str) -> bool:
    if who == SELF:
        return SELF in reading.people
    if who in reading.people or who in reading.names:
        return True
    word = who.split(".")[-1].removeprefix("~")
    if "." in who and word in ROLES_ONE | _AGENTS:
        return any(each.endswith("." + word) for each in reading.people)
    parts = [part for part in re.split(r"[\s.]+", word) if len(part) > 2]
    return any(part in reading.names or stem(part) in reading.topic for part in parts)


def weighty_of(words: Iterable[str], *readings: Reading) -> set[str]:
    """Return the words that name a topic, not a person and not what everything shares."""
    people = {part for reading in readings for part in parts_of(reading)}
    return {
        word for word in words if word not in _WEAK and word not in people and not word.isdigit()
    }


def parts_of(reading: Reading) -> set[str]:
    return {
        stem(part)
        for who in reading.people
        if who != SELF and who[0] != "~"
        for part in re.split(r"[\s.]+", who)
        if len(part) > 2
    }


def ratio_of(later: Reading, earlier: Reading, shared: frozenset[str]) -> float:
    """Return how much of the smaller topic is shared; a name that only one of them has does not count against it."""
    mine = (later.topic - later.names) | shared
    theirs = (earlier.topic - earlier.names) | shared
    return len(shared) / (min(len(mine), len(theirs)) or 1)
