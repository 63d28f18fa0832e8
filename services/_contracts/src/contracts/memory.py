"""What the memory service takes and gives over HTTP and on the bus.

Texts, tiers and limits come in loosely typed: the service itself judges them, so that a wrong one is answered
with a `memory.*` code that says what to do instead of a general one.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import Field

from contracts.base import Contract, Instant
from contracts.tiers import (
    CHANGED_TOPIC,
    IDENTITY_TOKENS_MAX,
    LIST_LIMIT_MAX,
    QUERY_CHARS_MAX,
    RECALL_LIMIT_MAX,
    TEXT_CHARS_MAX,
    Level,
    Tier,
)

__all__ = [
    "CHANGED_TOPIC",
    "IDENTITY_TOKENS_MAX",
    "LIST_LIMIT_MAX",
    "QUERY_CHARS_MAX",
    "RECALL_LIMIT_MAX",
    "TEXT_CHARS_MAX",
    "EditRequest",
    "Erased",
    "Identity",
    "Level",
    "Memory",
    "MemoryChanged",
    "MemoryPage",
    "Namespace",
    "NamespaceList",
    "NamespaceRequest",
    "Reason",
    "RecallRequest",
    "RecallResult",
    "Recalled",
    "RememberRequest",
    "Source",
    "Tier",
    "Timeline",
    "TimelineBucket",
    "Understood",
    "When",
]


# No control characters: Postgres takes no NUL, and a line of a list is one line.
_LABEL = r"^[^\x00-\x1f\x7f]+$"


class Source(Contract):
    """Where a memory came from: a kind such as `dashboard` or `turn`, and what identifies it there."""

    kind: str = Field(default="api", pattern=r"^[a-z][a-z0-9_.-]{0,39}$")
    ref: str | None = Field(default=None, min_length=1, max_length=200, pattern=_LABEL)


class Memory(Contract):
    """One memory as its owner sees it. `embedded` is false until it can be found by meaning.

    `strength` is what is left of it now. It was true from `valid_from` up to `valid_to`, as far as that is known.
    `merged` says that the text just sent joined this memory, which was there before.
    """

    id: UUID
    text: str
    tier: Tier
    source: Source
    created_at: Instant
    updated_at: Instant
    occurred_at: datetime | None = None
    embedded: bool
    namespace: str = "home"
    level: Level = Level.KNOWLEDGE
    thread: str | None = None
    position: int | None = None
    speaker: str | None = None
    strength: float = 1.0
    accesses: int = 0
    accessed_at: datetime | None = None
    expires_at: datetime | None = None
    archived_at: datetime | None = None
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    superseded_by: UUID | None = None
    superseded_at: datetime | None = None
    merged: bool = False


class RememberRequest(Contract):
    """`POST /v1/memories`. A turn of a conversation or a part of a document says its `thread` and place there."""

    text: str
    tier: str = Tier.CONVENIENCE.value
    namespace: str = "home"
    level: str = Level.KNOWLEDGE.value
    source: Source = Source()
    thread: str | None = Field(default=None, min_length=1, max_length=200, pattern=_LABEL)
    position: int | None = Field(default=None, ge=-(2**62), le=2**62)
    speaker: str | None = Field(default=None, min_length=1, max_length=100, pattern=_LABEL)
    occurred_at: datetime | None = None
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    force: bool = False


class EditRequest(Contract):
    """`PATCH /v1/memories/{id}`: only the fields that were sent change; a time sent as null is cleared."""

    text: str | None = None
    tier: str | None = None
    namespace: str | None = None
    level: str | None = None
    occurred_at: datetime | None = None
    valid_from: datetime | None = None
    valid_to: datetime | None = None


class MemoryPage(Contract):
    """`GET /v1/memories`, newest first. `next_cursor` is null on the last page."""

    items: list[Memory]
    next_cursor: str | None = None


class RecallRequest(Contract):
    """`POST /v1/recall`. Without `tiers`: all the caller may read but sacred, which must be named.

    `since` and `until` bound when it happened, [since, until). `as_of` is the moment the question is asked from,
    now if it is not sent. Archived memories must be asked for; superseded ones are in, below what replaced them.
    """

    query: str
    limit: int = 10
    tiers: list[str] | None = Field(default=None, max_length=3)
    namespaces: list[str] | None = Field(default=None, max_length=32)
    levels: list[str] | None = Field(default=None, max_length=5)
    sources: list[str] | None = Field(default=None, max_length=32)
    threads: list[str] | None = Field(default=None, max_length=32)
    entities: list[UUID] | None = Field(default=None, max_length=32)
    since: datetime | None = None
    until: datetime | None = None
    as_of: datetime | None = None
    archived: bool = False
    superseded: bool = True


class Reason(Contract):
    """Why a memory was recalled: what found or moved it, how much that counted (0..1), and a word on it."""

    arm: Literal["vector", "lexical", "entity", "time", "decay", "fact", "rerank"]
    score: float
    detail: str


class Recalled(Contract):
    """One memory found. `score` is in 0..1 and comparable between queries."""

    memory: Memory
    score: float
    reasons: list[Reason]
    age_seconds: int


class When(Contract):
    """The time a question speaks of, [since, until), and the words that said so."""

    since: datetime | None = None
    until: datetime | None = None
    phrase: str


class Understood(Contract):
    """What was read out of the question."""

    when: When | None = None
    names: list[str] = Field(default_factory=list)


class RecallResult(Contract):
    """Best first. `degraded` is `lexical_only` when the query could not be embedded in time."""

    results: list[Recalled]
    degraded: Literal["lexical_only"] | None = None
    understood: Understood = Understood()


class Erased(Contract):
    """`DELETE /v1/memories/{id}`: how many of each were erased; all zero when it was already forgotten."""

    erased: dict[str, int]


class Namespace(Contract):
    """Memories kept apart. One that is not shared is seen by the person and by `clients` alone."""

    name: str
    shared: bool = True
    clients: list[str] = Field(default_factory=list)
    count: int = 0
    created_at: datetime | None = None


class NamespaceRequest(Contract):
    """`PUT /v1/namespaces/{name}`: `clients` are the tokens that may use a namespace that is not shared."""

    shared: bool = True
    clients: list[str] = Field(default_factory=list, max_length=32)


class NamespaceList(Contract):
    """`GET /v1/namespaces`: those the caller may see, `home` first."""

    items: list[Namespace]


class Identity(Contract):
    """`GET /v1/identity`: what is always in context, as one text, with its size and its limit in tokens."""

    text: str
    tokens: int
    tokens_max: int = IDENTITY_TOKENS_MAX
    memories: list[Memory]


class TimelineBucket(Contract):
    """How many memories happened in one day, week or month, in all and by level."""

    start: datetime
    count: int
    by_level: dict[str, int]


class Timeline(Contract):
    """`GET /v1/timeline`: newest first, empty buckets left out."""

    bucket: Literal["day", "week", "month"]
    items: list[TimelineBucket]


class MemoryChanged(Contract):
    """`memory.changed.v1` on the bus: ids only, never a word of the memory.

    `related`: whom it speaks of was merged, split or renamed.
    """

    event_id: UUID
    memory_id: UUID
    subject_id: UUID
    tier: Tier
    change: Literal[
        "remembered",
        "edited",
        "moved",
        "embedded",
        "forgotten",
        "superseded",
        "restored",
        "archived",
        "promoted",
        "merged",
        "related",
    ]
