"""What facts are made of: entities, their mentions, facts, and how names are compared. Types only, no I/O."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from contracts.tiers import Tier

NAME_CHARS_MAX = 200
OBJECT_CHARS_MAX = 500
# The person whose memory it is: the key of that entity whatever they are called, and its name until they give one.
SELF_KEY = ":self"
SELF_NAME = "me"
_EDGES = re.compile(r"^[\W_]+|[\W_]+$")
_SPACE = re.compile(r"\s+")


class Kind(StrEnum):
    """What an entity is."""

    PERSON = "person"
    PLACE = "place"
    ORGANISATION = "organisation"
    THING = "thing"
    EVENT = "event"
    TOPIC = "topic"


KINDS = frozenset(kind.value for kind in Kind)
# A topic or a thing is what is said when nothing better is known: it never stands against a better guess.
VAGUE = frozenset({Kind.TOPIC, Kind.THING})


def key_of(name: str) -> str:
    """Return the form by which names are compared: folded, one space between words, bare of marks at its edges."""
    folded = unicodedata.normalize("NFKC", name).casefold().replace("’", "'")
    folded = folded.removesuffix("'s")
    return _SPACE.sub(" ", _EDGES.sub("", folded))[:NAME_CHARS_MAX]


@dataclass(frozen=True, slots=True)
class Tagged:
    """A name that stands in a text. Unless `sure`, it counts only where it is known already."""

    surface: str = field(repr=False)
    key: str = field(repr=False)
    kind: Kind
    start: int
    end: int
    sure: bool = True


@dataclass(frozen=True, slots=True)
class Known:
    """An entity that bears a name already: its own row, and the root that it is shown as."""

    entity_id: UUID
    root: UUID
    kind: Kind
    key: str = field(repr=False)
    me: bool
    mentions: int
    # The person themselves chose the name that the root is shown by.
    given: bool = False


@dataclass(frozen=True, slots=True)
class Text:
    """One memory as extraction reads it."""

    memory_id: UUID
    subject_id: UUID
    tier: Tier
    namespace: str
    text: str = field(repr=False)
    speaker: str | None = field(repr=False)
    revision: int
    said_at: datetime
    valid_from: datetime | None
    learned_at: datetime


@dataclass(frozen=True, slots=True)
class Mention:
    """That a memory speaks of an entity: under which name, how often, and where first."""

    entity_id: UUID
    key: str = field(repr=False)
    alias: str = field(repr=False)
    role: str
    uses: int
    start: int | None
    end: int | None


@dataclass(frozen=True, slots=True)
class NewEntity:
    """An entity to be made."""

    id: UUID
    kind: Kind
    name: str = field(repr=False)
    key: str = field(repr=False)
    me: bool = False


@dataclass(frozen=True, slots=True)
class NewFact:
    """A fact to be kept, its entities resolved."""

    id: UUID
    entity_id: UUID
    predicate: str
    qualifier: str = field(repr=False)
    chain: str = field(repr=False)
    polarity: bool
    object_text: str = field(repr=False)
    object_key: str = field(repr=False)
    object_kind: str
    object_entity_id: UUID | None
    valid_from: datetime
    valid_to: datetime | None
    confidence: float
    extractor: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Reading:
    """All that was read from one memory."""

    text: Text
    entities: tuple[NewEntity, ...]
    mentions: tuple[Mention, ...]
    facts: tuple[NewFact, ...]
