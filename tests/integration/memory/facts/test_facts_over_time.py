"""What was true when, and what was known when: the database's answer against a plain model of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from contracts.tiers import Tier
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from memory.facts.asking import Asked, rows_of_facts
from memory.facts.nodes import roots_of
from memory.facts.sqltext import PLAIN_TIERS

pytestmark = pytest.mark.integration
DAY0 = datetime(2024, 1, 1, tzinfo=UTC)
TIERS = (Tier.CONVENIENCE,)


def day(number: int) -> datetime:
    return DAY0 + timedelta(days=number)


async def lives(facts: Any, as_of: int, known_at: int = 10_000, tiers: Any = TIERS) -> list[str]:
    """Return where the person lived, asked in February 2024 and later."""
    async with facts.as_person() as conn:
        rows = await rows_of_facts(
            conn, tiers, Asked(None, "lives_in", day(as_of), day(known_at), False)
        )
    return [row.object_text for row in rows]


async def test_where_i_live_is_answered_for_now_and_for_then(facts: Any) -> None:
    await facts.remember("I live in Lisbon.", created_at=day(0))
    newer = await facts.remember("I live in Porto.", created_at=day(60))

    assert await lives(facts, 100) == ["Porto"]
    assert await lives(facts, 30) == ["Lisbon"]
    assert await lives(facts, 100, known_at=30) == ["Lisbon"]
    assert await lives(facts, -5) == []
    await facts.forget(newer)
    assert await lives(facts, 100) == ["Lisbon"]


async def test_late_news_of_the_past_does_not_replace_the_present(facts: Any) -> None:
    await facts.remember("I live in Porto.", created_at=day(60), occurred_at=day(60))
    await facts.remember("I live in Lisbon.", created_at=day(90), occurred_at=day(0))

    assert await lives(facts, 100) == ["Porto"]
    assert await lives(facts, 30) == ["Lisbon"]
    assert await lives(facts, 30, known_at=80) == []


async def test_a_superseded_fact_is_kept_and_says_by_what(facts: Any) -> None:
    await facts.remember("I live in Lisbon.", created_at=day(0))
    await facts.remember("I live in Porto.", created_at=day(60))

    async with facts.as_person() as conn:
        newer, older = await rows_of_facts(conn, TIERS, Asked(None, "lives_in"))

    assert (older.object_text, older.holds) == ("Lisbon", False)
    assert older.superseded_by == newer.id
    assert older.superseded_from == newer.valid_from
    assert newer.superseded_by is None


async def test_a_memory_that_a_person_superseded_takes_its_facts_with_it(facts: Any) -> None:
    old = await facts.remember("I live in Lisbon.", created_at=day(0))
    new = await facts.remember("That was never so.", created_at=day(10))
    async with facts.as_person() as conn:
        await conn.execute(
            "UPDATE convenience.memory SET superseded_by = $2, superseded_at = $3, valid_to = $3 WHERE id = $1",
            old, new, day(10),
        )  # fmt: skip

    assert await lives(facts, 100) == []
    assert await lives(facts, 5) == ["Lisbon"]
    assert await lives(facts, 100, known_at=5) == ["Lisbon"]


async def test_a_private_fact_replaces_a_shared_one_only_for_who_may_read_it(facts: Any) -> None:
    await facts.remember("I live in Lisbon.", created_at=day(0))
    await facts.remember("I live in Porto.", Tier.SENSITIVE, created_at=day(60))

    assert await lives(facts, 100, tiers=PLAIN_TIERS) == ["Porto"]
    assert await lives(facts, 100, tiers=TIERS) == ["Lisbon"]


@dataclass(frozen=True)
class Told:
    """A fact as the plain model has it."""

    id: UUID
    object: str
    polarity: bool
    begins: int
    ends: int | None
    learned: int
    retired: int | None


def holds(facts: list[Told], fact: Told, as_of: int, known_at: int) -> bool:
    """The definition, read off line by line."""
    known = [
        each
        for each in facts
        if each.learned <= known_at and (each.retired is None or each.retired > known_at)
    ]

    def covers(each: Told) -> bool:
        return each.begins <= as_of and (each.ends is None or as_of < each.ends)

    def differs(one: Told, other: Told) -> bool:
        if one.object == other.object:
            return one.polarity != other.polarity
        return one.polarity and other.polarity

    def place(each: Told) -> Any:
        return (each.begins, each.learned, each.id)

    return (
        fact in known
        and covers(fact)
        and not any(
            place(each) > place(fact) and covers(each) and differs(each, fact) for each in known
        )
    )


FACTS = st.lists(
    st.builds(
        Told,
        id=st.uuids(version=4),
        object=st.sampled_from(["porto", "lisbon", "braga"]),
        polarity=st.booleans(),
        begins=st.integers(0, 8),
        ends=st.none() | st.integers(1, 12),
        learned=st.integers(0, 8),
        retired=st.none() | st.integers(1, 12),
    ),
    max_size=6,
    unique_by=lambda fact: fact.id,
)


async def test_the_database_agrees_with_the_definition(facts: Any) -> None:
    memory = await facts.write("About a home", created_at=DAY0 - timedelta(days=400))
    entity = uuid4()
    async with facts.as_person() as conn:
        await conn.execute(
            "INSERT INTO convenience.entity (id, subject_id, namespace, kind, name, key, root)"
            " VALUES ($1, $2, 'home', 'person', 'Ana', 'ana', $1)",
            entity, facts.subject,
        )  # fmt: skip

    async def check(told: list[Told]) -> None:
        async with facts.as_person() as conn:
            await conn.execute("DELETE FROM convenience.fact")
            for each in told:
                await conn.execute(
                    "INSERT INTO convenience.fact (id, subject_id, namespace, memory_id, revision, entity_id, predicate,"
                    " chain, polarity, object_text, object_key, object_kind, valid_from, valid_to, learned_at, retired_at,"
                    " confidence, extractor, span_from, span_to) VALUES ($1, $2, 'home', $3, 1, $4, 'lives_in',"
                    " 'lives_in||', $5, $6, $6, 'place', $7, $8, $9, $10, 1, 'rules/1', 0, 1)",
                    each.id, facts.subject, memory, entity, each.polarity, each.object, day(each.begins),
                    day(each.ends) if each.ends is not None else None, day(each.learned),
                    day(each.retired) if each.retired is not None else None,
                )  # fmt: skip
            for as_of in range(0, 13, 3):
                for known_at in (0, 4, 8, 12):
                    rows = await rows_of_facts(
                        conn, TIERS, Asked(None, None, day(as_of), day(known_at), False)
                    )
                    expected = {each.id for each in told if holds(told, each, as_of, known_at)}
                    assert {row.id for row in rows} == expected, (as_of, known_at)

    import asyncio

    loop = asyncio.get_running_loop()

    @settings(
        max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), database=None
    )
    @given(FACTS)
    def property_(told: list[Told]) -> None:
        asyncio.run_coroutine_threadsafe(check(told), loop).result()

    await asyncio.to_thread(property_)


async def test_an_entity_of_two_tiers_is_one_for_who_reads_both(facts: Any) -> None:
    await facts.remember("My sister Joana lives in Lisbon.")
    await facts.remember("My sister Joana takes insulin.", Tier.SENSITIVE)

    async with facts.as_person() as conn:
        open_rows = await conn.fetch("SELECT id FROM convenience.entity WHERE name = 'Joana'")
        shut_rows = await conn.fetch("SELECT id FROM sensitive.entity WHERE name = 'Joana'")
        both = await roots_of(conn, PLAIN_TIERS, [shut_rows[0][0]])
        alone = await roots_of(conn, TIERS, [open_rows[0][0]])

    assert {key: set(roots) for key, roots in both.items()} == {
        open_rows[0][0]: {open_rows[0][0], shut_rows[0][0]}
    }
    assert alone == {open_rows[0][0]: [open_rows[0][0]]}
