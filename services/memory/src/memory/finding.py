"""What a search hands to recall: candidates as they lie in the index, and the corpus they come from. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from contracts.tiers import Tier


# Not frozen: a search makes hundreds of them, and freezing each costs ten times as much as making it.
@dataclass(slots=True)
class Candidate:
    """One memory that an arm of the search found, or that stands next to one.

    `cosine` is None only where there is no embedding: a candidate of one arm carries what the other would have said.

    `terms` holds the query's lexemes that the memory itself has, each with how often; a neighbour's words are combined
    with them while a query is answered and are kept nowhere. `before` and `after` are its neighbours in the thread, as
    far as the search looked.
    """

    id: UUID
    tier: Tier
    text: str = field(repr=False)
    cosine: float | None
    terms: Mapping[str, float] = field(repr=False)
    words: int
    thread: str | None
    position: int | None
    speaker: str | None
    occurred_at: datetime | None
    created_at: datetime
    level: str
    strength: float
    accesses: int
    accessed_at: datetime
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    superseded_by: UUID | None = None
    superseded_at: datetime | None = None
    namespace: str = "home"
    before: UUID | None = None
    after: UUID | None = None


@dataclass(frozen=True, slots=True)
class Corpus:
    """What BM25 needs to know of all rows that the filters let through."""

    rows: int
    average_words: float
    document_frequency: Mapping[str, int]
