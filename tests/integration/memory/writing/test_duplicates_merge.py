"""Repeats become one memory that keeps every source, at once or behind the write, and never what only looks alike."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from kit.pool import Pool
from memory.writing.store import statements, text_of

pytestmark = pytest.mark.integration
SOURCES = "SELECT * FROM convenience.memory_source WHERE memory_id = $1 ORDER BY learned_at"


def code(answer: Any) -> str:
    return answer.json()["error"]["code"]


@pytest.mark.parametrize("name", sorted(statements()))
async def test_every_statement_is_valid_under_its_own_role(pg: Any, name: str) -> None:
    from contracts.tiers import Tier

    query = statements()[name]
    tiers = (Tier.CONVENIENCE, Tier.SENSITIVE) if query.database == "lares" else (Tier.SACRED,)
    async with await Pool.open(pg.database("svc_memory", query.database or "lares")) as pool:
        for tier in tiers:
            async with pool.own() as conn:
                if query.role != "svc_memory":
                    await conn.execute(f"SET LOCAL ROLE {query.role}")
                    await conn.execute(f"SET LOCAL lares.subject = '{uuid4()}'")
                await conn.prepare(text_of(name, tier))  # type: ignore[attr-defined]


async def test_what_is_said_again_joins_at_once_and_keeps_both_sources(ada: Any, eye: Any) -> None:
    first = await ada.says(
        "The spare key hangs behind the boiler", source={"kind": "a", "ref": "1"}
    )
    answer = await ada.post(
        "/memories",
        {"text": "the spare key hangs  behind the boiler.", "source": {"kind": "b", "ref": "2"}},
    )
    assert answer.status_code == 200
    assert answer.json()["merged"] is True
    assert answer.json()["id"] == first["id"]
    assert answer.json()["text"] == first["text"]
    [source] = await eye.fetch(SOURCES, first["id"])
    assert (source["source_kind"], source["source_ref"]) == ("b", "2")
    assert source["text"] == "the spare key hangs  behind the boiler."


async def test_the_same_source_sent_again_changes_nothing(ada: Any, eye: Any) -> None:
    say = {"text": "The boiler is from 2019", "source": {"kind": "mail", "ref": "m-1"}}
    first = await ada.post("/memories", say)
    for _ in range(3):
        assert (await ada.post("/memories", say)).json()["id"] == first.json()["id"]
    other = {**say, "source": {"kind": "mail", "ref": "m-2"}}
    for _ in range(3):
        await ada.post("/memories", other)
    assert len(await eye.fetch(SOURCES, first.json()["id"])) == 1
    assert await ada.texts() == ["The boiler is from 2019"]


async def test_two_who_say_the_same_at_once_make_one_memory(ada: Any) -> None:
    answers = await asyncio.gather(
        *(
            ada.post(
                "/memories", {"text": "Rex had his jab", "source": {"kind": "x", "ref": str(n)}}
            )
            for n in range(8)
        )
    )
    assert sorted(answer.status_code for answer in answers) == [200] * 7 + [201]
    assert len({answer.json()["id"] for answer in answers}) == 1


async def test_another_tier_namespace_person_or_day_is_another_memory(
    ada: Any, api: Any, caller_factory: Any, person: Any
) -> None:
    said = "Went running along the river"
    await api.put("/v1/namespaces/work", json={"shared": True}, headers=ada.who.headers)
    kept = [
        await ada.says(said, occurred_at="2026-03-01T10:00:00Z"),
        await ada.says(said, occurred_at="2026-03-05T10:00:00Z"),
        await ada.says(said, tier="sensitive"),
        await ada.says(said, tier="sacred"),
        await ada.says(said, tier="sacred"),
        await ada.says(said, namespace="work"),
        await person(api, caller_factory(username="bob")).says(said),
    ]
    assert len({memory["id"] for memory in kept}) == len(kept)


async def test_turns_are_never_merged_but_the_same_turn_sent_again_is_one(ada: Any) -> None:
    turn = {"text": "Yes!", "thread": "talk", "speaker": "Ben"}
    first = await ada.says(**turn, position=1, source={"kind": "turn", "ref": "t-1"})
    second = await ada.says(**turn, position=2, source={"kind": "turn", "ref": "t-2"})
    again = await ada.says(**turn, position=2, source={"kind": "turn", "ref": "t-2"})
    assert first["id"] != second["id"] == again["id"]
    assert len(await ada.texts()) == 2


async def test_a_repeated_key_names_the_memory_that_was_joined(ada: Any) -> None:
    first = await ada.says("Rex weighs twelve kilos")
    say = {"text": "Rex weighs twelve kilos", "source": {"kind": "b"}}
    joined = await ada.post("/memories", say, **{"Idempotency-Key": "k-1"})
    again = await ada.post("/memories", say, **{"Idempotency-Key": "k-1"})
    assert joined.json()["id"] == again.json()["id"] == first["id"]


async def test_what_may_have_changed_in_between_is_not_joined_blindly(ada: Any) -> None:
    """Nothing has read the second yet: the third may be news and not a repeat."""
    await ada.says("I live in Lisbon")
    await ada.says("I live in Porto")
    answer = await ada.post("/memories", {"text": "I live in Lisbon"})
    assert answer.status_code == 201


async def test_near_duplicates_become_one_behind_the_write_and_the_old_id_still_answers(
    ada: Any, worker: Any, model: Any, eye: Any, until: Any, valkey: Any
) -> None:
    model.odd["allergic"] = [0.5] * 384
    first = await ada.says("I'm allergic to peanuts", source={"kind": "a"})
    await until(eye.quiet, why=worker.log())
    second = await ada.says("I am allergic to peanuts", source={"kind": "b"})
    assert second["id"] != first["id"]
    await until(eye.quiet, why=worker.log())

    assert await ada.texts() == ["I'm allergic to peanuts"], worker.log()
    found = (await ada.get(f"/memories/{second['id']}")).json()
    assert found["id"] == first["id"]
    [source] = await eye.fetch(SOURCES, first["id"])
    assert source["text"] == "I am allergic to peanuts"
    assert str(source["merged_id"]) == second["id"]

    def announced() -> bool:
        with valkey.client() as client:
            return str(client.xrange("lares:stream:memory.changed.v1")).count("merged") == 2

    await until(announced)
    assert await eye.value("SELECT n FROM memory.tally WHERE name = 'merged'") == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("The meeting is at 18:00", "The meeting is at 19:00"),
        ("I live in Lisbon", "I live in Porto"),
        ("Mia is allergic to nuts", "Mia is not allergic to nuts"),
        ("Anna owes Ben 50 euros", "Ben owes Anna 50 euros"),
    ],
)
async def test_what_only_looks_alike_stays_two(
    ada: Any, worker: Any, model: Any, eye: Any, until: Any, one: str, other: str
) -> None:
    # The model sees no difference at all.
    model.odd.update({one: [0.5] * 384, other: [0.5] * 384})
    await ada.says(one)
    await ada.says(other)
    await until(eye.quiet, why=worker.log())
    assert sorted(await ada.texts()) == sorted([one, other])


async def test_a_person_merges_two_and_everything_hangs_on_the_older(
    ada: Any, worker: Any, eye: Any, until: Any
) -> None:
    older = await ada.says("The plumber is Mr Costa", source={"kind": "a"})
    newer = await ada.says("For pipes call Costa, 21 555 1234", source={"kind": "b"})
    await until(eye.quiet, why=worker.log())

    merged = await ada.post(f"/memories/{newer['id']}/merge", {"other": older["id"]})

    assert merged.status_code == 200
    assert merged.json()["id"] == older["id"]
    again = await ada.post(f"/memories/{older['id']}/merge", {"other": newer["id"]})
    assert again.status_code == 200
    assert again.json()["id"] == older["id"]
    [source] = await eye.fetch(SOURCES, older["id"])
    assert source["text"] == "For pipes call Costa, 21 555 1234"
    assert (await ada.get(f"/memories/{newer['id']}")).json()["id"] == older["id"]


async def test_a_chain_of_merges_loses_no_source(ada: Any, eye: Any) -> None:
    memories = [
        await ada.says(f"Note {number} on the garden", source={"kind": f"k{number}"})
        for number in range(4)
    ]
    ids = [memory["id"] for memory in memories]
    # The last two, then those into one that is older than both, then all into the first.
    for one, other in ((3, 2), (2, 1), (1, 0)):
        answer = await ada.post(f"/memories/{ids[one]}/merge", {"other": ids[other]})
        assert answer.status_code == 200, answer.text
    sources = await eye.fetch(SOURCES, ids[0])
    assert {source["text"] for source in sources} == {f"Note {n} on the garden" for n in (1, 2, 3)}
    assert {source["source_kind"] for source in sources} == {"k1", "k2", "k3"}
    for each in ids:
        assert (await ada.get(f"/memories/{each}")).json()["id"] == ids[0]


async def test_what_cannot_be_one_is_refused_with_a_code(
    ada: Any, api: Any, caller_factory: Any, person: Any
) -> None:
    plain = await ada.says("Plain words")
    sensitive = await ada.says("Sensitive words", tier="sensitive")
    sacred = [await ada.says(f"Sacred words {n}", tier="sacred") for n in range(2)]
    bob = person(api, caller_factory(username="bob"))
    his = await bob.says("Bob's words")
    for one, other, why in (
        (plain, plain, "memory.merge_refused"),
        (plain, sensitive, "memory.merge_refused"),
        (sacred[0], sacred[1], "memory.merge_refused"),
        (plain, sacred[0], "memory.merge_refused"),
        (plain, his, "memory.not_found"),
        (his, plain, "memory.not_found"),
    ):
        assert code(await ada.post(f"/memories/{one['id']}/merge", {"other": other["id"]})) == why


async def test_with_merging_switched_off_every_write_is_a_memory(
    memory_house: Any, memory_service: Any, caller_factory: Any, person: Any
) -> None:
    import httpx

    service = memory_house.service(LARES_MEMORY_MERGE="false")
    service.start()
    try:
        async with httpx.AsyncClient(base_url=service.url, trust_env=False) as api:
            ada = person(api, caller_factory())
            first, second = await ada.says("Said twice over"), await ada.says("Said twice over")
            assert first["id"] != second["id"]
    finally:
        service.stop()
