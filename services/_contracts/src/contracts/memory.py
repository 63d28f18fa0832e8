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
    LIST_LIMIT_MAX,
    QUERY_CHARS_MAX,
    RECALL_LIMIT_MAX,
    TEXT_CHARS_MAX,
    Tier,
)

__all__ = [
    "CHANGED_TOPIC",
    "LIST_LIMIT_MAX",
    "QUERY_CHARS_MAX",
    "RECALL_LIMIT_MAX",
    "TEXT_CHARS_MAX",
    "EditRequest",
    "Erased",
    "Memory",
    "MemoryChanged",
    "MemoryPage",
    "Reason",
    "RecallRequest",
    "RecallResult",
    "Recalled",
    "RememberRequest",
    "Source",
    "Tier",
]


class Source(Contract):
    """Where a memory came from: a kind such as `dashboard` or `turn`, and what identifies it there."""

    kind: str = Field(default="api", pattern=r"^[a-z][a-z0-9_.-]{0,39}$")
    ref: str | None = Field(default=None, min_length=1, max_length=200)


class Memory(Contract):
    """One memory as its owner sees it. `embedded` is false until it can be found by meaning."""

    id: UUID
    text: str
    tier: Tier
    source: Source
    created_at: Instant
    updated_at: Instant
    occurred_at: datetime | None = None
    embedded: bool


class RememberRequest(Contract):
    """`POST /v1/memories`."""

    text: str
    tier: str = Tier.CONVENIENCE.value
    source: Source = Source()
    occurred_at: datetime | None = None


class EditRequest(Contract):
    """`PATCH /v1/memories/{id}`: only the fields that were sent change; `occurred_at: null` clears it."""

    text: str | None = None
    tier: str | None = None
    occurred_at: datetime | None = None


class MemoryPage(Contract):
    """`GET /v1/memories`, newest first. `next_cursor` is null on the last page."""

    items: list[Memory]
    next_cursor: str | None = None


class RecallRequest(Contract):
    """`POST /v1/recall`. Without `tiers`: all the caller may read but sacred, which must be named."""

    query: str
    limit: int = 10
    tiers: list[str] | None = Field(default=None, max_length=3)


class Reason(Contract):
    """Why a memory was recalled: the arm that found it, that arm's score in 0..1, and a word on it."""

    arm: Literal["vector", "lexical"]
    score: float
    detail: str


class Recalled(Contract):
    """One memory found. `score` is in 0..1 and comparable between queries."""

    memory: Memory
    score: float
    reasons: list[Reason]
    age_seconds: int


class RecallResult(Contract):
    """Best first. `degraded` is `lexical_only` when the query could not be embedded in time."""

    results: list[Recalled]
    degraded: Literal["lexical_only"] | None = None


class Erased(Contract):
    """`DELETE /v1/memories/{id}`: how many of each were erased; all zero when it was already forgotten."""

    erased: dict[str, int]


class MemoryChanged(Contract):
    """`memory.changed.v1` on the bus: ids only, never a word of the memory."""

    event_id: UUID
    memory_id: UUID
    subject_id: UUID
    tier: Tier
    change: Literal["remembered", "edited", "moved", "embedded", "forgotten"]
