"""Whatever is asked of a memory, k come back when k exist, in both arms, and none that was not asked for."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import Any
from uuid import uuid4

import pytest
from contracts.tiers import Level, Tier
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from memory.domain import Filters
from memory.index import search as searching
from memory.index.search import Search, search

from tests.integration.memory.index.rows import BEGIN, Row

pytestmark = pytest.mark.integration
PLAIN = (Tier.CONVENIENCE, Tier.SENSITIVE)
KINDS, SPACES, THREADS = ("note", "mail", "web"), ("home", "work"), (None, "a", "b", "c")
LEVELS = ("knowledge", "episodic", "working")
WORDS = ["boiler", "garden", "violin", "harbour", "lantern", "pepper", "winter", "copper"]


def vector(random: Random) -> list[float]:
    """Return a direction in few of the many dimensions, so that there is something to be near to."""
    numbers = [random.gauss(0, 1) if place < 24 else 0.0 for place in range(384)]
    length = math.sqrt(sum(number * number for number in numbers))
    return [number / length for number in numbers]


def near(left: Any, right: Any) -> float:
    return sum(one * other for one, other in zip(left[:24], right[:24], strict=True))


def memories(random: Random, count: int) -> list[Row]:
    """Return memories of every kind; some have no vector yet, some are put away or replaced."""
    rows: list[Row] = []
    for number in range(count):
        thread = random.choice(THREADS)
        rows.append(
            Row(
                " ".join(random.choices(WORDS, k=random.randint(1, 6))),
                random.choice(PLAIN),
                vector(random) if random.random() < 0.9 else None,
                kind=random.choice(KINDS),
                namespace=random.choices(SPACES, (8, 1))[0],
                level=random.choices(LEVELS, (8, 2, 1))[0],
                thread=thread,
                position=number if thread else None,
                day=random.randint(0, 60),
                archived=random.random() < 0.15,
                superseded=random.random() < 0.1,
            )
        )
    return rows


def some(values: Any) -> Any:
    return st.none() | st.lists(st.sampled_from(values), min_size=1, unique=True).map(tuple)


filters = st.builds(
    Filters,
    tiers=st.sampled_from([PLAIN, PLAIN[:1], PLAIN[1:]]),
    namespaces=some(SPACES),
    levels=some([Level(level) for level in LEVELS]),
    sources=some(KINDS),
    threads=some(["a", "b", "nowhere"]),
    since=st.none() | st.integers(0, 60).map(lambda day: BEGIN + timedelta(days=day)),
    until=st.none() | st.integers(0, 60).map(lambda day: BEGIN + timedelta(days=day)),
    archived=st.booleans(),
    superseded=st.booleans(),
)


@pytest.fixture(params=["whole", "indexed", "indexed, and soon given up"])
def way(request: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    """Compare everything, or go along the index, or along an index that ends too early."""
    if request.param != "whole":
        monkeypatch.setattr(searching, "EXACT_ROWS_MAX", 0)
        monkeypatch.setattr(searching, "FILTERED_ROWS_MAX", 0)
    if request.param.endswith("up"):
        soon = {"hnsw.max_scan_tuples": "1", "hnsw.ef_search": "5"}
        assert soon.keys() <= searching._SETTINGS.keys()
        monkeypatch.setattr(searching, "_SETTINGS", searching._SETTINGS | soon)
    return request.param


@dataclass(repr=False)
class House:
    """A person's memories, and how good the answers were so far."""

    shelves: Any
    rows: list[Row]
    random: Random
    shares: list[float] = field(default_factory=list)


@pytest.fixture
async def house(shelves: Any, way: str) -> AsyncIterator[House]:
    """Hundreds of memories; another person's lie in the same index."""
    random = Random(7)
    rows = memories(random, 420)
    await shelves.put(rows)
    await shelves.fold(most=100)
    await shelves.put([Row("boiler", Tier.CONVENIENCE, vector(random)) for _ in range(60)], uuid4())
    found = House(shelves, rows, random)
    yield found
    # A walk that is cut off after five is complete, and need not be good.
    assert way.endswith("up") or sum(found.shares) / len(found.shares) > 0.95


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(filters, st.sets(st.sampled_from(WORDS), min_size=1, max_size=3), st.integers(1, 40))
async def test_any_filter_leaves_k_of_k_in_both_arms(
    house: House, way: str, asked: Filters, words: set[str], limit: int
) -> None:
    query = vector(house.random)
    known = {row.id: row for row in house.rows}
    passing = [row for row in house.rows if row.passes(asked)]
    async with house.shelves.open() as conn:
        look = Search(asked, limit)
        terms = await searching.lexemes(conn, " ".join(words))
        assert set(terms) == words
        await look.say(conn, terms)
        said, _ = look.outcome()
        candidates, _ = await search(conn, asked, query, terms, limit)
        meant, _ = await search(conn, asked, query, [], limit)
    assert all(known[each.id].passes(asked) for each in (*said, *candidates, *meant))

    sharing = [row for row in passing if words & set(row.text.split())]
    assert sum(bool(each.terms) for each in said) >= min(limit, len(sharing))
    best = [row for row in passing if row.vector is not None]
    best = sorted(best, key=lambda row: -near(row.vector, query))[:limit]
    held = {each.id for each in meant}
    assert len(held) >= len(best)
    if best:
        share = len(held & {row.id for row in best}) / len(best)
        # Halves round: who is as near as the last may stand in for it.
        clear = [
            row.id for row in best if near(row.vector, query) > near(best[-1].vector, query) + 2e-3
        ]
        assert way != "whole" or held >= set(clear)
        house.shares.append(share)
    for each in candidates:
        row = known[each.id]
        expected = near(row.vector, query) if row.vector is not None else None
        assert each.cosine == (pytest.approx(expected, abs=2e-3) if expected else expected)
        said_words = row.text.split()
        assert dict(each.terms) == {
            word: said_words.count(word) for word in words if word in said_words
        }


async def test_what_stands_beside_a_finding_comes_with_it_and_says_so(shelves: Any) -> None:
    talk = [
        Row(text, thread="talk", position=place * 10)
        for place, text in enumerate(["Any plans?", "The violin concert", "On Friday at eight"])
    ]
    elsewhere = Row("Nothing to see", thread="other", position=11)
    await shelves.put([*talk, elsewhere])
    async with shelves.open() as conn:
        found, _ = await search(conn, Filters(tiers=PLAIN), None, ["violin"], 10)
        narrow = Filters(tiers=PLAIN, until=BEGIN)
        assert (await search(conn, narrow, None, ["violin"], 10))[0] == []
    by_id = {each.id: each for each in found}
    assert set(by_id) == {row.id for row in talk}
    middle = by_id[talk[1].id]
    assert (middle.before, middle.after) == (talk[0].id, talk[2].id)
    assert by_id[talk[0].id].after == talk[1].id
    assert by_id[talk[2].id].terms == {}


async def test_an_entity_asked_for_leaves_the_memories_that_name_it(shelves: Any) -> None:
    random = Random(3)
    rows = [Row("garden party", Tier.CONVENIENCE, vector(random)) for _ in range(12)]
    await shelves.put(rows)
    anna = uuid4()
    async with shelves.open() as conn:
        await conn.execute(
            "INSERT INTO convenience.entity (id, subject_id, namespace, kind, name, key, root)"
            " VALUES ($1, $2, 'home', 'person', 'Anna', 'anna', $1)",
            anna,
            shelves.subject,
        )
        await conn.execute(
            "INSERT INTO convenience.entity_alias (entity_id, key, subject_id, namespace, alias)"
            " VALUES ($1, 'anna', $2, 'home', 'Anna')",
            anna,
            shelves.subject,
        )
        await conn.executemany(
            "INSERT INTO convenience.mention"
            " (memory_id, entity_id, alias_key, subject_id, namespace, role, uses, revision)"
            " VALUES ($1, $2, 'anna', $3, 'home', 'named', 1, 1)",
            [(row.id, anna, shelves.subject) for row in rows[:5]],
        )
    for asked, expected in (((anna,), rows[:5]), ((uuid4(),), [])):
        filters = Filters(tiers=PLAIN, entities=asked)
        async with shelves.open() as conn:
            found, _ = await search(conn, filters, vector(random), ["garden"], 10)
        assert {each.id for each in found} == {row.id for row in expected}


async def test_what_has_expired_or_was_put_away_is_found_only_when_it_is_asked_for(
    shelves: Any,
) -> None:
    past, away, kept = (
        Row("lantern", level="session"),
        Row("lantern", archived=True),
        Row("lantern"),
    )
    await shelves.put([past, away, kept])
    async with shelves.open() as conn:
        await conn.execute(
            "UPDATE convenience.memory SET expires_at = now() - interval '1 minute' WHERE id = $1",
            past.id,
        )
        usual, _ = await search(conn, Filters(tiers=PLAIN), None, ["lantern"], 10)
        every, _ = await search(conn, Filters(tiers=PLAIN, archived=True), None, ["lantern"], 10)
    assert {each.id for each in usual} == {kept.id}
    assert {each.id for each in every} == {past.id, away.id, kept.id}
