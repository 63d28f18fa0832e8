"""From a memory to its entities and facts in the tables, and back to nothing."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from contracts.tiers import Tier
from memory.facts.sqltext import PLAIN_TIERS, over, statements
from memory.facts.store import rebase

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("name", sorted(statements()))
async def test_every_statement_of_facts_is_valid_under_its_own_role(facts: Any, name: str) -> None:
    query = statements()[name]
    async with facts.pool.own() as conn:
        if query.role != "svc_memory":
            await conn.execute(f"SET LOCAL ROLE {query.role}")
            await conn.execute(f"SET LOCAL lares.subject = '{uuid4()}'")
        for tiers in (PLAIN_TIERS, (Tier.CONVENIENCE,)):
            await conn.prepare(over(name, tiers))


async def test_a_memory_names_people_and_places_and_says_what_holds_between_them(
    facts: Any,
) -> None:
    await facts.remember("I live in Porto. My sister Joana works at Critical Software in Lisbon.")

    assert await facts.names() == {
        "me": "person",
        "Porto": "place",
        "Joana": "person",
        "Critical Software": "organisation",
        "Lisbon": "place",
    }
    found = await facts.fetch(
        "SELECT s.name, f.predicate, f.object_text, o.name AS object FROM convenience.fact f"
        " JOIN convenience.entity s ON s.id = f.entity_id"
        " LEFT JOIN convenience.entity o ON o.id = f.object_entity_id"
    )
    said = {(row[0], row[1], row[2], row[3]) for row in found}
    assert ("me", "lives_in", "Porto", "Porto") in said
    assert ("me", "sister", "Joana", "Joana") in said
    assert ("Joana", "works_at", "Critical Software", "Critical Software") in said


async def test_reading_a_memory_twice_changes_nothing(facts: Any) -> None:
    kept = await facts.remember("My sister Joana lives in Lisbon.")
    before = [
        await facts.fetch(f"SELECT * FROM convenience.{table} ORDER BY 1, 2, 3")
        for table in ("fact", "mention", "entity")
    ]

    await facts.note(kept)
    await facts.extraction()(facts.subject, Tier.CONVENIENCE, [kept, kept])

    after = [
        await facts.fetch(f"SELECT * FROM convenience.{table} ORDER BY 1, 2, 3")
        for table in ("fact", "mention", "entity")
    ]
    assert after == before


@pytest.mark.parametrize("tier", PLAIN_TIERS)
async def test_forgetting_leaves_no_row_that_nothing_else_mentions(facts: Any, tier: Tier) -> None:
    gone = await facts.remember("My sister Joana lives in Lisbon.", tier)
    stays = await facts.remember("Joana has a new car.", tier)

    await facts.forget(gone, tier)

    assert set(await facts.names(tier)) == {"Joana"}
    await facts.forget(stays, tier)
    assert await facts.rows(tier) == dict.fromkeys(await facts.rows(tier), 0)
    assert await facts.fetch("SELECT * FROM memory.pending_extraction") == []


async def test_an_edit_takes_what_the_old_text_said_with_it_at_once(facts: Any) -> None:
    kept = await facts.remember("My sister Joana lives in Lisbon.")
    joana = await facts.fetch("SELECT id FROM convenience.entity WHERE name = 'Joana'")

    async with facts.as_person() as conn:
        await conn.execute(
            "UPDATE convenience.memory SET text = 'My sister Joana lives in Braga.',"
            " revision = revision + 1 WHERE id = $1",
            kept,
        )
    assert (await facts.rows())["fact"] == 0
    assert len(await facts.fetch("SELECT * FROM memory.pending_extraction")) == 1
    await facts.extraction()(facts.subject, Tier.CONVENIENCE, [kept])

    assert set(await facts.names()) == {"me", "Joana", "Braga"}
    assert await facts.fetch("SELECT id FROM convenience.entity WHERE name = 'Joana'") == joana


async def test_in_another_namespace_nothing_stays_behind(facts: Any) -> None:
    kept = await facts.remember("My sister Joana lives in Lisbon.")

    async with facts.as_person() as conn:
        await conn.execute("UPDATE convenience.memory SET namespace = 'work' WHERE id = $1", kept)

    assert (await facts.rows())["entity"] == 0
    await facts.extraction()(facts.subject, Tier.CONVENIENCE, [kept])
    spaces = await facts.fetch("SELECT DISTINCT namespace FROM convenience.entity")
    assert [row[0] for row in spaces] == ["work"]


async def test_a_merged_memory_gives_what_it_said_to_its_survivor(facts: Any) -> None:
    survivor = await facts.remember("My sister Joana lives in Lisbon.")
    gone = await facts.remember("My sister Joana lives in Lisbon. She likes Porto.")
    entities = await facts.fetch("SELECT id, name FROM convenience.entity ORDER BY name")

    async with facts.as_person() as conn:
        await rebase(conn, Tier.CONVENIENCE, gone, survivor)
    await facts.forget(gone)

    assert await facts.fetch("SELECT id, name FROM convenience.entity ORDER BY name") == entities
    said = await facts.fetch("SELECT chain, count(*) FROM convenience.fact GROUP BY 1")
    assert dict(said)["lives_in||"] == 1


async def test_what_was_read_since_it_was_written_is_not_read_again(facts: Any) -> None:
    kept = await facts.remember("My sister Joana lives in Lisbon.")
    await facts.fetch("DELETE FROM convenience.fact")

    await facts.extraction()(facts.subject, Tier.CONVENIENCE, [kept])

    assert (await facts.rows())["fact"] == 0


TOLD = [
    "My sister is a nurse.", "My sister Joana lives in Lisbon.", "I met Bruno at work.", "My sister plays the viola.",
    "Bruno Sousa works at Siemens.", "My brother Rui moved to Porto.", "Bruno moved to Faro.", "My brother has a dog.",
    "My brother Paulo lives in Leeds.", "My brother likes fado.", "Ask Bruno Sousa Mendes about it.", "My mom lives in Faro.",
    "My mom plays the piano.", "Lisbon is lovely.", "Thanks, Siemens said Bruno.", "Bruno Sousa called.",
]  # fmt: skip
SAID = """
SELECT memory.text, person.name, person.kind, person.key, fact.predicate, fact.object_key, object.name AS about
FROM convenience.fact JOIN convenience.memory ON memory.id = fact.memory_id
JOIN convenience.entity AS person ON person.id = fact.entity_id
LEFT JOIN convenience.entity AS object ON object.id = fact.object_entity_id
UNION ALL
SELECT memory.text, entity.name, entity.kind, entity.key, mention.role, mention.alias_key, mention.uses::text
FROM convenience.mention JOIN convenience.memory ON memory.id = mention.memory_id
JOIN convenience.entity ON entity.id = mention.entity_id
ORDER BY 1, 2, 3, 4, 5, 6, 7
"""


async def test_a_batch_is_read_as_its_memories_one_by_one(facts: Any) -> None:
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    kept = [
        await facts.write(text, created_at=begin + timedelta(minutes=number))
        for number, text in enumerate(TOLD)
    ]
    for each in kept:
        await facts.extraction()(facts.subject, Tier.CONVENIENCE, [each])
    singly = await facts.fetch(SAID)
    people = await facts.names()
    for each in kept:
        await facts.forget(each)
    assert await facts.names() == {}
    kept = [
        await facts.write(text, created_at=begin + timedelta(minutes=number))
        for number, text in enumerate(TOLD)
    ]

    await facts.extraction()(facts.subject, Tier.CONVENIENCE, kept)

    assert await facts.names() == people
    assert await facts.fetch(SAID) == singly
    assert len(singly) > 30


async def test_two_workers_at_once_make_nobody_twice(facts: Any) -> None:
    kept = [await facts.write(f"My sister Joana met Bruno {number} times.") for number in range(8)]

    await asyncio.gather(
        *(
            facts.extraction()(facts.subject, Tier.CONVENIENCE, part)
            for part in (kept[:4], kept[4:], kept)
        )
    )

    names = await facts.fetch("SELECT name FROM convenience.entity ORDER BY name")
    assert [row[0] for row in names] == ["Bruno", "Joana", "me"]
    assert (await facts.rows())["fact"] == len(kept)
    assert await facts.fetch("SELECT * FROM memory.pending_extraction") == []


async def test_a_new_version_of_the_extractors_reads_everything_anew(
    facts: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        await facts.remember(f"I met Bruno {number} times.")
    async with facts.pool.own() as conn:
        await conn.execute(
            "INSERT INTO memory.subject (subject_id) VALUES ($1) ON CONFLICT DO NOTHING",
            facts.subject,
        )
    await facts.extraction().once()
    await facts.fetch("DELETE FROM convenience.mention")
    assert await facts.extraction().once() == 0

    monkeypatch.setattr("memory.facts.job.VERSION", "rules/next")
    assert await facts.extraction().once() == 5
    assert set(await facts.names()) == {"me", "Bruno"}
    assert await facts.extraction().once() == 0
