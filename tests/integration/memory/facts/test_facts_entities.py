"""Two that are one, one that is two, and names: what a person says about entities, over HTTP and in the tables."""

from __future__ import annotations

import asyncio
import random
from typing import Any
from uuid import UUID, uuid4

import pytest
from contracts.facts import EntityEdit, EntitySplit
from contracts.tiers import Tier
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kit.errors import KitError
from memory.facts.changing import Changing
from memory.facts.entities import Entities
from memory.facts.errors import (
    EntitiesApart,
    EntitiesSame,
    EntityNameTaken,
    EntityNotFound,
    EntityNotMerged,
    SplitInvalid,
)
from memory.plain import PlainShelf

pytestmark = pytest.mark.integration


class Person:
    """Who asks: the bench's person, in a role."""

    def __init__(self, subject: UUID, db_role: str = "lares_app") -> None:
        self.subject = subject
        self.db_role = db_role
        self.read_only = False
        self.kind = "person" if db_role == "lares_app" else "token"
        self.session_id = "a" * 16


class Shelves:
    """What the use cases need of a library."""

    def __init__(self, pool: Any) -> None:
        self.plain = PlainShelf(pool)


@pytest.fixture
def changing(facts: Any) -> Changing:
    return Changing(Shelves(facts.pool))  # type: ignore[arg-type]


@pytest.fixture
def entities(facts: Any) -> Entities:
    return Entities(Shelves(facts.pool))  # type: ignore[arg-type]


@pytest.fixture
def me(facts: Any) -> Any:
    return Person(facts.subject)


async def id_of(facts: Any, name: str, tier: Tier = Tier.CONVENIENCE) -> UUID:
    rows = await facts.fetch(f"SELECT id FROM {tier.value}.entity WHERE name = $1", name)
    assert len(rows) == 1, (name, await facts.names(tier))
    return rows[0][0]


async def state(facts: Any) -> list[Any]:
    """Return all that is kept of entities but the journal of changes."""
    tables = ("entity", "entity_alias", "mention", "fact")
    return [
        await facts.fetch(f"SELECT * FROM {tier}.{table} ORDER BY 1, 2, 3")
        for tier in ("convenience", "sensitive")
        for table in tables
    ]


async def test_a_merge_shows_two_as_one_and_taking_it_back_restores_exactly_what_was(
    facts: Any, changing: Changing, me: Any
) -> None:
    await facts.remember("My dentist is Doctor Mendes. I met Rita Mendes in Porto.")
    await facts.remember("Rita Mendes lives in Braga.")
    one, other = await id_of(facts, "Rita Mendes"), await id_of(facts, "Porto")
    before = await state(facts)

    seen = await changing.merge(me, one, other)
    assert seen.id == one
    assert [part.id for part in seen.merged] == [other]
    assert {alias.name for alias in seen.aliases} >= {"Rita Mendes", "Porto"}
    apart = await changing.split(me, one, EntitySplit(entity=other))

    assert apart.id == other
    assert await state(facts) == before
    with pytest.raises(EntityNotMerged):
        await changing.split(me, one, EntitySplit(entity=other))


async def test_merges_taken_back_in_any_order_leave_what_was(
    facts: Any, changing: Changing, me: Any
) -> None:
    names = ["Ana", "Bruno", "Carla", "Duarte", "Elena", "Fritz"]
    for name in names:
        await facts.remember(f"I met {name} Sousa{name} yesterday.")
    ids = [await id_of(facts, f"{name} Sousa{name}") for name in names]
    before = await state(facts)

    async def check(pairs: list[tuple[int, int]], seed: int) -> None:
        merged: list[UUID] = []
        for one, other in pairs:
            try:
                await changing.merge(me, ids[one], ids[other])
            except EntitiesSame:
                continue
            merged.append(ids[other])
        rows = await facts.fetch("SELECT id, root, merged_into FROM convenience.entity")
        parents = {row["id"]: row["merged_into"] for row in rows}
        for row in rows:
            at = row["id"]
            while parents[at] is not None:
                at = parents[at]
            assert row["root"] == at
        parts = [row["id"] for row in rows if row["merged_into"] is not None]
        random.Random(seed).shuffle(parts)
        for part in parts:
            await changing.split(me, part, EntitySplit(entity=part))
        assert await state(facts) == before

    loop = asyncio.get_running_loop()
    places = st.integers(0, len(names) - 1)

    @settings(
        max_examples=15, deadline=None, suppress_health_check=list(HealthCheck), database=None
    )
    @given(st.lists(st.tuples(places, places), max_size=6), st.integers(0, 9))
    def property_(pairs: list[tuple[int, int]], seed: int) -> None:
        asyncio.run_coroutine_threadsafe(check(pairs, seed), loop).result()

    await asyncio.to_thread(property_)


async def test_what_is_read_after_a_merge_goes_where_its_name_is(
    facts: Any, changing: Changing, me: Any, entities: Entities
) -> None:
    await facts.remember("I met Rita Mendes in Porto.")
    await facts.remember("My boss is Carla Dias.")
    rita, carla = await id_of(facts, "Rita Mendes"), await id_of(facts, "Carla Dias")
    await changing.merge(me, rita, carla)

    await facts.remember("Carla Dias lives in Faro.")
    assert (await entities.one(me, rita)).mentions == 3
    await changing.split(me, rita, EntitySplit(entity=carla))

    assert (await entities.one(me, rita)).mentions == 1
    assert (await entities.one(me, carla)).mentions == 2


async def test_two_namesakes_are_told_apart_by_their_memories_for_good(
    facts: Any, changing: Changing, me: Any, entities: Entities
) -> None:
    work = await facts.remember("Carla works at Siemens.")
    home = await facts.remember("Carla lives in Faro.")
    carla = await id_of(facts, "Carla")

    other = await changing.split(me, carla, EntitySplit(memories=[work], name="Carla from work"))
    for memory in (work, home):
        await facts.note(memory)
        await facts.extraction()(facts.subject, Tier.CONVENIENCE, [memory])

    assert other.memories == [work]
    assert (await entities.one(me, carla)).memories == [home]
    assert (await entities.one(me, other.id)).memories == [work]
    said = await facts.fetch(
        "SELECT predicate FROM convenience.fact WHERE entity_id = $1", other.id
    )
    assert [row[0] for row in said] == ["works_at"]
    assert work not in (await entities.one(me, carla)).memories


async def test_names_are_given_to_an_entity_of_their_own(
    facts: Any, changing: Changing, me: Any, entities: Entities
) -> None:
    await facts.remember("I met Carla Dias.")
    await facts.remember("Carla called from Faro.")
    carla = await id_of(facts, "Carla Dias")

    other = await changing.split(me, carla, EntitySplit(aliases=["Carla"]))

    assert other.name == "Carla"
    assert [alias.name for alias in (await entities.one(me, carla)).aliases] == ["Carla Dias"]
    with pytest.raises(SplitInvalid):
        await changing.split(me, carla, EntitySplit(aliases=["Carla Dias"]))
    with pytest.raises(SplitInvalid):
        await changing.split(me, carla, EntitySplit(aliases=["Nobody"]))


async def test_a_name_is_changed_and_still_found_by_the_old_one(
    facts: Any, changing: Changing, me: Any, entities: Entities
) -> None:
    kept = await facts.remember("Carla lives in Faro.")
    await facts.remember("Bruno lives in Faro.")
    carla = await id_of(facts, "Carla")

    seen = await changing.edit(me, carla, EntityEdit(name="Carla Dias", kind="person"))

    assert seen.name == "Carla Dias"
    assert [change.change for change in seen.changes] == ["renamed"]
    found = await entities.page(me, "carla", None, 10, None)
    assert [item.id for item in found.items] == [carla]
    with pytest.raises(EntityNameTaken):
        await changing.edit(me, carla, EntityEdit(name="bruno"))
    await facts.remember("I called Carla yesterday.")
    assert (await entities.one(me, carla)).mentions == 2
    await facts.forget(kept)
    assert (await entities.one(me, carla)).name == "Carla Dias"


async def test_forgetting_the_root_of_a_merge_leaves_its_heir(
    facts: Any, changing: Changing, me: Any, entities: Entities
) -> None:
    gone = await facts.remember("I met Rita Mendes.")
    await facts.remember("I met Carla Dias.")
    await facts.remember("I met Bruno Lopes.")
    rita, carla = await id_of(facts, "Rita Mendes"), await id_of(facts, "Carla Dias")
    bruno = await id_of(facts, "Bruno Lopes")
    await changing.merge(me, carla, bruno)
    await changing.merge(me, rita, carla)

    await facts.forget(gone)

    with pytest.raises(EntityNotFound):
        await entities.one(me, rita)
    seen = await entities.one(me, bruno)
    assert (seen.id, [part.id for part in seen.merged]) == (carla, [bruno])
    words = await facts.fetch("SELECT alias FROM convenience.entity_alias")
    assert not any("Rita" in row[0] for row in words)


async def test_a_merge_between_tiers_is_seen_by_nobody_who_reads_only_the_open_one(
    facts: Any, changing: Changing, me: Any, entities: Entities
) -> None:
    await facts.remember("I met Rita Mendes.")
    await facts.remember("Doctor Rita treats my anxiety.", Tier.SENSITIVE)
    agent: Any = Person(facts.subject, "lares_mcp")
    tables = ("entity", "entity_alias", "mention", "fact", "entity_change")
    before = [
        await facts.fetch(f"SELECT * FROM convenience.{table} ORDER BY 1") for table in tables
    ]
    rita = await id_of(facts, "Rita Mendes")
    private = (await facts.fetch("SELECT id FROM sensitive.entity WHERE name ILIKE '%rita%'"))[0][0]
    with pytest.raises(EntityNotFound):
        await changing.merge(agent, rita, private)

    seen = await changing.merge(me, private, rita)

    assert seen.id == rita
    assert seen.tiers == [Tier.CONVENIENCE, Tier.SENSITIVE]
    assert [
        await facts.fetch(f"SELECT * FROM convenience.{table} ORDER BY 1") for table in tables
    ] == before
    apart = await changing.split(me, rita, EntitySplit(entity=private))
    assert apart.id == private
    assert apart.tiers == [Tier.SENSITIVE]


@pytest.mark.parametrize("taken", [0, -1], ids=["the least private part", "the most private part"])
@pytest.mark.parametrize("of_gone", [[0], [1], [0, 1]], ids=str)
@pytest.mark.parametrize("of_kept", [[0], [1], [0, 1]], ids=str)
async def test_a_merge_is_one_act_in_both_tiers_and_so_is_taking_it_back(
    facts: Any,
    changing: Changing,
    me: Any,
    entities: Entities,
    of_kept: list[int],
    of_gone: list[int],
    taken: int,
) -> None:
    tiers = (Tier.CONVENIENCE, Tier.SENSITIVE)
    for name, places in (("Rita Mendes", of_kept), ("Carla Dias", of_gone)):
        for place in places:
            await facts.remember(f"I met {name} in {'Porto' if place else 'Braga'}.", tiers[place])
    before = await state(facts)
    ids = {
        name: [await id_of(facts, name, tiers[place]) for place in places]
        for name, places in (("Rita Mendes", of_kept), ("Carla Dias", of_gone))
    }

    seen = await changing.merge(me, ids["Rita Mendes"][0], ids["Carla Dias"][0])
    everybody = [ident for idents in ids.values() for ident in idents]
    shown = {(await entities.one(me, ident)).id for ident in everybody}
    assert shown == {seen.id}
    assert seen.mentions == len(everybody)
    # Whichever of the two was shown as the other is taken out again.
    gone = next(idents for idents in ids.values() if seen.id not in idents)
    await changing.split(me, seen.id, EntitySplit(entity=gone[taken]))
    assert await state(facts) == before


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (EntitySplit(), SplitInvalid),
        (EntitySplit(memories=[uuid4()]), SplitInvalid),
        (EntitySplit(memories=[uuid4()], name="Somebody"), SplitInvalid),
        (EntitySplit(entity=uuid4()), EntityNotMerged),
    ],
)
async def test_a_split_that_says_nothing_is_refused(
    facts: Any, changing: Changing, me: Any, request_: EntitySplit, error: type[KitError]
) -> None:
    await facts.remember("I met Rita Mendes in Porto.")
    with pytest.raises(error):
        await changing.split(me, await id_of(facts, "Rita Mendes"), request_)


async def test_entities_of_two_namespaces_and_of_another_person_stay_apart(
    facts: Any, changing: Changing, me: Any
) -> None:
    await facts.remember("I met Rita Mendes.")
    await facts.remember("I met Carla Dias.", namespace="work")
    rita, carla = await id_of(facts, "Rita Mendes"), await id_of(facts, "Carla Dias")

    with pytest.raises(EntitiesApart):
        await changing.merge(me, rita, carla)
    stranger: Any = Person(uuid4())
    with pytest.raises(EntityNotFound):
        await changing.merge(stranger, rita, carla)
