"""Where a memory comes from and what hangs on it."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from contracts.base import Contract, Instant
from contracts.facts import Entity, Fact
from contracts.memory import Memory, Source


class FurtherSource(Contract):
    """Another place that said the same. `text` is how it was put there, null when the words are the memory's own.

    `merged_id` is the id that it had as a memory of its own.
    """

    source: Source
    text: str | None = None
    thread: str | None = None
    position: int | None = None
    speaker: str | None = None
    occurred_at: datetime | None = None
    learned_at: Instant
    merged_id: UUID | None = None


class Provenance(Contract):
    """`GET /v1/memories/{id}/provenance`, each list bounded, of what the caller may see.

    `supersedes` is what it replaced, `superseded_by` what replaced it; `summarises` what it is a summary of,
    `summarised_by` the summaries made of it.
    """

    memory: Memory
    sources: list[FurtherSource]
    supersedes: list[Memory]
    superseded_by: Memory | None = None
    summarises: list[Memory]
    summarised_by: list[Memory]
    facts: list[Fact]
    entities: list[Entity]
