"""One person's memories among another's: the index of vectors is everybody's, the answer is not."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest
from contracts.tiers import Tier
from memory.domain import Filters
from memory.index import search as searching
from memory.index.search import search

pytestmark = pytest.mark.integration
HERE = Filters(tiers=(Tier.CONVENIENCE,))
FILL = """
WITH made AS (
    INSERT INTO convenience.memory (id, subject_id, text, source_kind, created_at, updated_at, accessed_at)
    SELECT gen_random_uuid(), $1, 'row ' || n, 'api', now(), now(), now() FROM generate_series(1, $2::int) AS n
    RETURNING id, subject_id, seq)
INSERT INTO convenience.memory_vector (memory_id, subject_id, namespace, model, revision, embedding)
SELECT id, subject_id, 'home', 1, 1,
       (SELECT array_agg(random() - $3::float8) FROM generate_series(1, 384) AS g WHERE g + seq > 0)::halfvec
FROM made
"""


async def fill(shelves: Any, person: UUID, count: int, away: float) -> None:
    """Write memories whose vectors point towards where `away` is 0.5 from."""
    async with shelves.open(subject=person) as conn:
        await conn.execute(FILL, person, count, away, timeout=60)


async def nearest(shelves: Any, query: list[float], limit: int) -> set[UUID]:
    async with shelves.open() as conn:
        found, _ = await search(conn, HERE, query, [], limit)
    return {each.id for each in found}


async def test_a_search_returns_k_of_k_among_other_peoples_memories(
    shelves: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(shelves, uuid4(), 400, 0.9)
    # One's few lie far from the query, the crowd's close: a filter after the index would find none of one's own.
    await fill(shelves, shelves.subject, 60, 0.1)
    for exact_most in (searching.EXACT_ROWS_MAX, 0):
        monkeypatch.setattr(searching, "EXACT_ROWS_MAX", exact_most)
        assert len(await nearest(shelves, [-0.4] * 384, 50)) == 50


async def test_a_long_list_is_searched_by_index_and_still_whole(
    shelves: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(shelves, uuid4(), 300, 0.5)
    await fill(shelves, shelves.subject, 300, 0.5)
    query = [((number * 7919) % 100) / 100 - 0.5 for number in range(384)]
    exact = await nearest(shelves, query, 50)
    monkeypatch.setattr(searching, "EXACT_ROWS_MAX", 100)
    by_index = await nearest(shelves, query, 50)
    assert len(by_index) == 50
    assert len(by_index & exact) >= 45
