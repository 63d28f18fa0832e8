"""Memories put straight into a real Postgres, and what a search should find of them, compared one by one."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from contracts.tiers import Tier
from kit.pool import Pool
from memory.domain import Filters
from memory.index.postings import K1, B

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
TIERS = (Tier.CONVENIENCE, Tier.SENSITIVE)
INSERT = """
INSERT INTO {tier}.memory (id, subject_id, text, source_kind, occurred_at, created_at, updated_at, accessed_at, namespace,
    level, thread, position, archived_at, superseded_by)
VALUES ($1, $2, $3, $4, $5, $6, $6, $6, $7, $8, $9, $10, $11, $12)
"""
VECTOR = """
INSERT INTO {tier}.memory_vector (memory_id, subject_id, namespace, model, revision, embedding)
VALUES ($1, $2, $3, 1, 1, $4::real[]::halfvec)
"""


@dataclass
class Row:
    """One memory of a test."""

    text: str
    tier: Tier = Tier.CONVENIENCE
    vector: Sequence[float] | None = None
    kind: str = "note"
    namespace: str = "home"
    level: str = "knowledge"
    thread: str | None = None
    position: int | None = None
    day: int = 0
    archived: bool = False
    superseded: bool = False
    id: UUID = field(default_factory=uuid4)

    @property
    def occurred_at(self) -> datetime:
        return BEGIN + timedelta(days=self.day)

    def passes(self, filters: Filters) -> bool:
        """Say in Python what the statements say in SQL."""

        def among(asked: Any, value: Any) -> bool:
            return asked is None or value in asked

        return (
            self.tier in filters.tiers
            and among(filters.namespaces, self.namespace)
            and among(filters.levels, self.level)
            and among(filters.sources, self.kind)
            and among(filters.threads, self.thread)
            and (filters.since is None or self.occurred_at >= filters.since)
            and (filters.until is None or self.occurred_at < filters.until)
            and (filters.archived or not self.archived)
            and (filters.superseded or not self.superseded)
        )


@dataclass
class Shelves:
    """A person's memories in a real Postgres, reached as the application reaches them."""

    pool: Pool
    subject: UUID

    def open(self, role: str = "lares_app", subject: UUID | None = None) -> Any:
        return self.pool.as_role(role, subject or self.subject)

    async def put(self, rows: Sequence[Row], subject: UUID | None = None) -> None:
        """Write the memories and their vectors in one transaction per tier."""
        person = subject or self.subject
        for tier in TIERS:
            mine = [row for row in rows if row.tier is tier]
            async with self.open(subject=person) as conn:
                await conn.executemany(
                    INSERT.format(tier=tier.value),
                    [
                        (
                            *(row.id, person, row.text, row.kind, row.occurred_at),
                            *(BEGIN, row.namespace, row.level, row.thread, row.position),
                            BEGIN if row.archived else None,
                            uuid4() if row.superseded else None,
                        )
                        for row in mine
                    ],
                )
                await conn.executemany(
                    VECTOR.format(tier=tier.value),
                    [
                        (row.id, person, row.namespace, list(row.vector))
                        for row in mine
                        if row.vector is not None
                    ],
                )

    async def fold(self, tier: Tier = Tier.CONVENIENCE, most: int = 16384) -> int:
        """Fold whatever is fresh into blocks."""
        async with self.open() as conn:
            return await conn.fetchval(
                f"SELECT {tier.value}.fold_postings($1, 1, $2)", self.subject, most
            )


def ranked(
    texts: Mapping[UUID, Counter[str]], sizes: Mapping[UUID, int], terms: Sequence[str]
) -> dict[UUID, float]:
    """Return BM25 of every text that has a term, by the textbook."""
    average = sum(sizes.values()) / len(sizes)
    scores: dict[UUID, float] = {}
    for term in terms:
        seen = sum(term in counts for counts in texts.values())
        idf = math.log(1 + (len(texts) - seen + 0.5) / (seen + 0.5))
        for ident, counts in texts.items():
            if uses := counts[term]:
                norm = uses + K1 * (1 - B + B * sizes[ident] / average)
                scores[ident] = scores.get(ident, 0.0) + idf * uses * (K1 + 1) / norm
    return scores
