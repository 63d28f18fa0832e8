"""What is on one's mind just now is searched in the process, and shows nothing that Postgres would not."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any
from uuid import UUID, uuid4

import pytest
from contracts.tiers import Level, Tier
from memory.domain import Filters
from memory.index import working as module
from memory.index.search import Search
from memory.index.working import Working

from tests.integration.memory.index.rows import Row
from tests.integration.memory.index.test_filters import near, vector

pytestmark = pytest.mark.integration
AT_HAND = Filters(tiers=(Tier.CONVENIENCE, Tier.SENSITIVE), levels=(Level.WORKING, Level.SESSION))


def working(shelves: Any, sure: Callable[[UUID], bool] = lambda _: True) -> Working:
    return Working(shelves.pool, sure)


async def nearest(
    shelves: Any, held: Working, query: Any, limit: int = 5, filters: Filters = AT_HAND, **who: Any
) -> list[UUID]:
    """Return what the vector arm finds, nearest first."""
    async with shelves.open(**who) as conn:
        look = Search(filters, limit, 1, held)
        await look.say(conn, [])
        await look.mean(conn, query, (), shelves.subject)
        found, _ = look.outcome()
    return [each.id for each in sorted(found, key=lambda each: -(each.cosine or 0))]


def some(random: Random, count: int, level: str = "working", **more: Any) -> list[Row]:
    return [Row(f"thought {n}", vector=vector(random), level=level, **more) for n in range(count)]


async def test_the_process_finds_what_postgres_would(shelves: Any) -> None:
    random = Random(1)
    rows = some(random, 80) + some(random, 20, tier=Tier.SENSITIVE) + some(random, 30, "knowledge")
    await shelves.put(rows)
    held = working(shelves)
    hits = 0
    for _ in range(20):
        query = vector(random)
        found = await nearest(shelves, held, query, 10)
        exact = await nearest(shelves, working(shelves, lambda _: False), query, 10)
        assert len(found) == 10
        hits += len(set(found) & set(exact[:10]))
    assert len(held) == 100
    assert hits >= 195


async def test_a_change_that_came_by_is_seen_and_a_missed_one_makes_postgres_answer(
    shelves: Any,
) -> None:
    random = Random(2)
    rows = some(random, 30)
    await shelves.put(rows)
    known = True
    held = working(shelves, lambda _: known)
    query = list(rows[3].vector or ())
    assert (await nearest(shelves, held, query))[0] == rows[3].id

    async with shelves.open() as conn:
        await conn.execute("DELETE FROM convenience.memory WHERE id = $1", rows[3].id)
        await conn.execute(
            "UPDATE convenience.memory SET level = 'knowledge' WHERE id = $1", rows[4].id
        )
    # Not told yet: what is gone is not shown, and no gap is left by it.
    assert rows[3].id not in (found := await nearest(shelves, held, query))
    assert len(found) >= 5
    newcomer = Row("newcomer", vector=query, level="session")
    await shelves.put([newcomer])
    for ident in (rows[3].id, rows[4].id, newcomer.id):
        held.changed(shelves.subject, ident)
    assert (await nearest(shelves, held, query))[0] == newcomer.id
    assert len(held) == 29

    later = Row("later", vector=query, level="session")
    await shelves.put([later])
    known = False
    assert set((await nearest(shelves, held, query))[:2]) == {newcomer.id, later.id}


async def test_a_caller_who_may_see_less_finds_less_and_still_k_of_k(shelves: Any) -> None:
    random = Random(3)
    query = vector(random)
    hidden = [Row("secret", Tier.SENSITIVE, query, level="working") for _ in range(40)]
    seen = some(random, 12)
    await shelves.put([*hidden, *seen])
    held = working(shelves)
    assert set(await nearest(shelves, held, query, 10)) <= {row.id for row in hidden}
    only = Filters(tiers=(Tier.CONVENIENCE,), levels=(Level.WORKING,))
    found = await nearest(shelves, held, query, 10, only, role="lares_mcp")
    assert len(found) >= 10
    assert set(found) <= {row.id for row in seen}


async def test_more_than_it_may_hold_is_left_to_postgres_and_the_longest_unasked_goes_first(
    shelves: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = Random(4)
    monkeypatch.setattr(module, "ITEMS_MAX", 50)
    held = working(shelves)
    people = [shelves.subject, uuid4(), uuid4()]
    for person, count in zip(people, (30, 30, 60), strict=True):
        await shelves.put(some(random, count), person)
    query = vector(random)
    assert await held.search(people[0], query, 1, 5) is not None
    assert await held.search(people[1], query, 1, 5) is not None
    assert len(held) == 30
    assert await held.search(people[2], query, 1, 5) is None
    assert len(held) == 30
    held.changed(people[1], None)
    assert len(held) == 0


async def test_nearness_is_what_it_says_within_a_byte_s_width(shelves: Any) -> None:
    random = Random(5)
    rows = some(random, 40)
    await shelves.put(rows)
    by_id = {row.id: row for row in rows}
    held = working(shelves)
    query = vector(random)
    ranked = await held.search(shelves.subject, query, 1, 40)
    assert ranked is not None
    shelf = held._shelves[shelves.subject]
    by_key = dict(zip(shelf.keys, shelf.ids, strict=True))
    for tier, seq, nearness in ranked:
        row = by_id[by_key[tier, seq]]
        assert nearness == pytest.approx(near(row.vector, query), abs=0.01)
