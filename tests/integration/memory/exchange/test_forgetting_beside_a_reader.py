"""Forgetting many while a worker reads what else was written of the same people: both come to their end."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

import pytest
from contracts.tiers import Tier
from kit.clock import Clock
from memory.exchange.eraser import Eraser
from memory.facts.job import Extraction

pytestmark = pytest.mark.integration
ROUNDS = 8
NAMES = [
    f"{first} {last}"
    for first in ("Anna", "Bruno", "Clara", "Dario", "Elif", "Fabio")
    for last in ("Berg", "Costa", "Dahl", "Egger", "Fuchs")
]


async def write(bench: Any, subject: UUID, names: Sequence[str]) -> list[UUID]:
    """Write a memory of each of these people, in this order."""
    ids = [uuid4() for _ in names]
    async with bench.library.plain.pool.as_role("lares_app", subject) as conn:
        await conn.executemany(
            "INSERT INTO convenience.memory (id, subject_id, text, source_kind, created_at, updated_at)"
            " VALUES ($1, $2, $3, 'api', clock_timestamp(), clock_timestamp())",
            [
                (ident, subject, f"{name} came to dinner with us.")
                for ident, name in zip(ids, names, strict=True)
            ],
        )
    return ids


async def test_a_forgetting_of_many_meets_the_reading_of_what_names_the_same(bench: Any) -> None:
    subject = uuid4()
    pool = bench.library.plain.pool
    eraser = Eraser(bench.library)
    reading = Extraction(pool, Clock(), enabled=True, every_s=1.0)
    old = await write(bench, subject, NAMES)
    await reading(subject, Tier.CONVENIENCE, old)
    for turn in range(ROUNDS):
        order = NAMES if turn % 2 else list(reversed(NAMES))
        new = await write(bench, subject, order)
        erasure, _ = await asyncio.gather(
            eraser(subject, old), reading(subject, Tier.CONVENIENCE, new)
        )
        assert set(erasure.tiers) == set(old)
        old = new
    rows = await bench.fetch(
        "SELECT name FROM convenience.entity WHERE subject_id = $1 AND NOT self", subject
    )
    assert sorted(row["name"] for row in rows) == sorted(NAMES)
