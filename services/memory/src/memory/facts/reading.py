"""Read a memory: names by the tagger, facts by the rules, both resolved to entities. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Protocol
from uuid import UUID, uuid5

from memory.facts.model import (
    KINDS,
    OBJECT_CHARS_MAX,
    Kind,
    NewFact,
    Reading,
    Tagged,
    Text,
    key_of,
)
from memory.facts.predicates import PREDICATES, SELF
from memory.facts.resolve import NO_SPEAKERS, OWN_SPEAKERS, Names, Resolution

FACTS_MAX = 32
# When a fact says only until when it was true: from before anything that is remembered.
SINCE_EVER = datetime(1, 1, 2, tzinfo=UTC)
_FIRST_PERSON = re.compile(
    r"\b(?:I|I'm|I've|I'd|I'll|[Mm]e|[Mm]y|[Mm]ine|[Ww]e|[Oo]ur|[Oo]urs|[Uu]s|[Mm]yself)\b"
)
_AFTER_NAME = re.compile(r",? (?:in|at|on|near|from|for|with|as|since) ")
_WORDS_OF_A_NAME_MAX = 6


class Told(Protocol):
    """A fact as an extractor gives it: names and words, nothing resolved."""

    @property
    def subject(self) -> str: ...
    @property
    def predicate(self) -> str: ...
    @property
    def object(self) -> str: ...
    @property
    def object_kind(self) -> str: ...
    @property
    def polarity(self) -> bool: ...
    @property
    def valid_from(self) -> datetime | None: ...
    @property
    def valid_to(self) -> datetime | None: ...
    @property
    def confidence(self) -> float: ...
    @property
    def span(self) -> tuple[int, int]: ...
    @property
    def qualifier(self) -> str: ...


def read(
    text: Text,
    tags: Sequence[Tagged],
    told: Sequence[tuple[Told, str]],
    names: Names,
    kin: Mapping[str, UUID],
    pinned: Mapping[str, UUID],
) -> tuple[Reading, Mapping[UUID, Kind]]:
    """Return the entities, mentions and facts of one memory, and the kinds it has made clearer.

    `told` are facts with the extractor each comes from; `kin` says who "my sister" is where one alone is known.
    What is new is added to `names`, for the next memory of the batch.
    """
    reader = _Reader(text, Resolution(names, pinned), kin)
    reader.read_names(tags)
    facts: dict[UUID, NewFact] = {}
    for fact, extractor in told[: FACTS_MAX * 2]:
        kept = reader.read_fact(fact, extractor)
        # The same words read by two extractors are one fact, with the better of the two confidences.
        if kept is not None and (
            kept.id not in facts or facts[kept.id].confidence < kept.confidence
        ):
            facts[kept.id] = kept
    found = reader.found
    best = sorted(facts.values(), key=lambda fact: -fact.confidence)[:FACTS_MAX]
    return Reading(text, tuple(found.made), found.mentions(), tuple(best)), found.sharper


def called(role: str, speaker: str | None) -> str:
    """Return what somebody without a name is called: "my sister", or "Caroline's sister" of another speaker."""
    words = role.replace("_", " ")
    return f"{speaker}'s {words}" if speaker else f"my {words}"


class _Reader:
    def __init__(self, text: Text, found: Resolution, kin: Mapping[str, UUID]) -> None:
        self.found = found
        self._text = text
        self._kin = dict(kin)
        self._tags: dict[str, Tagged] = {}
        speaker = (text.speaker or "").strip()
        low = speaker.casefold()
        self._nobody = low in NO_SPEAKERS
        self._speaker: UUID | None = None
        if speaker and not self._nobody and low not in OWN_SPEAKERS:
            self._speaker = found.speaker(speaker)

    def read_names(self, tags: Sequence[Tagged]) -> None:
        """Mention whoever the text names, and whoever speaks."""
        first = _FIRST_PERSON.search(self._text.text)
        if first is not None and not self._nobody and self._speaker is None:
            self.found.me(first.start(), first.end())
        for tag in tags:
            self._tags[tag.key] = tag
            self.found.tagged(tag)

    def read_fact(self, fact: Told, extractor: str) -> NewFact | None:
        """Return the fact with its entities; None when it is about nobody or says nothing."""
        start, end = fact.span
        value = self._name_alone(fact.object.strip()[:OBJECT_CHARS_MAX])
        if (
            fact.predicate not in PREDICATES
            or not value
            or not 0 <= start <= end <= len(self._text.text)
        ):
            return None
        entity = self._entity(fact.subject, None, start, end)
        if entity is None:
            return None
        about = self._object(fact, value, start, end)
        if fact.predicate == "name" and fact.polarity:
            self.found.also(entity, value, start, end)
        if about is not None and fact.polarity and fact.subject == SELF:
            self._kin.setdefault(f"{SELF}.{fact.predicate}", about)
        if about == entity:
            return None
        key = value.casefold()[:OBJECT_CHARS_MAX]
        qualifier = key_of(fact.qualifier)
        # One value at a time: whatever it is, it takes the place of the last. Many: each value is a matter of its own.
        one = PREDICATES[fact.predicate].one
        chain = "|".join((fact.predicate, qualifier, "" if one else key))[:800]
        valid_from = fact.valid_from or self._text.valid_from
        if valid_from is None:
            valid_from = self._text.said_at
            if fact.valid_to is not None and fact.valid_to <= valid_from:
                valid_from = SINCE_EVER
        ident = uuid5(
            self._text.memory_id, "|".join((key_of(fact.subject), chain, key, str(fact.polarity)))
        )
        return NewFact(
            ident, entity, fact.predicate, qualifier, chain, fact.polarity, value, key, fact.object_kind, about,
            valid_from, fact.valid_to, fact.confidence, extractor, start, end,
        )  # fmt: skip

    def _name_alone(self, value: str) -> str:
        """Return the name that `value` begins with, without the place or time that follows: "Siemens in Munich"."""
        after = _AFTER_NAME.search(value)
        if after is None:
            return value
        head = value[: after.start()]
        return head if key_of(head) in self._tags else value

    def _object(self, fact: Told, value: str, start: int, end: int) -> UUID | None:
        if value == SELF or value.startswith(f"{SELF}."):
            return self._entity(value, None, start, end)
        if not PREDICATES[fact.predicate].relation or fact.object_kind not in KINDS:
            return None
        if len(value.split()) > _WORDS_OF_A_NAME_MAX:
            return None
        return self._entity(value, Kind(fact.object_kind), start, end)

    def _entity(self, name: str, kind: Kind | None, start: int, end: int) -> UUID | None:
        if self._nobody and name in (SELF, self._text.speaker):
            return None
        if name == SELF:
            return self._speaker or self.found.me(start, end)
        owner, _, role = name.partition(".")
        if owner == SELF and role:
            return self._relative(role, name, start, end)
        if kind is None or kind in (Kind.THING, Kind.TOPIC):
            tag = self._tags.get(key_of(name))
            guess = Kind.PERSON if name[:1].isupper() else Kind.THING
            kind = tag.kind if tag is not None else kind or guess
        at = self._text.text.find(name, start)
        if at < 0:
            at = self._text.text.find(name)
        if at >= 0:
            start, end = at, at + len(name)
        return self.found.named(name, kind, start, end)

    def _relative(self, role: str, name: str, start: int, end: int) -> UUID | None:
        """Return who "my sister" is: the one that is known, or somebody without another name."""
        if self._nobody:
            return None
        known = self._kin.get(name)
        if known is not None:
            return known
        whose = self._text.speaker if self._speaker is not None else None
        return self.found.named(called(role, whose), Kind.PERSON, start, end)
