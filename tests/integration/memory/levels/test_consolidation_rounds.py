"""A round over real rows: what moves, what stays, and what happens when the row is not what the plan saw."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from contracts.tiers import Tier
from memory.levels.act import Actor
from memory.levels.decide import plan
from memory.levels.loop import Round
from memory.levels.plan import LEVELS, LIMITS
from memory.levels.store import ROLE, statements, text

pytestmark = pytest.mark.integration
DAY, HOUR = timedelta(days=1), timedelta(hours=1)


IN_SACRED = {
    "observe_passing",
    "observe_episodic",
    "observe_used_again",
    "observe_weakest",
    "occupancy",
    "occupancy_passing",
    "take_item",
    "take_items",
    "put_item",
    "put_uses",
    "put_move",
    "count_move",
    "list_counts",
    "list_moves",
    "prune_moves",
    "all_subjects",
}
STATEMENTS = [
    (name, tier)
    for name in sorted(statements())
    for tier in Tier
    if tier is not Tier.SACRED or name in IN_SACRED
]


@pytest.mark.parametrize(("name", "tier"), STATEMENTS)
async def test_every_statement_is_valid_under_its_own_role(
    house: Any, name: str, tier: Tier
) -> None:
    query = statements()[name]
    async with house.store.pool(tier).own() as conn:
        if query.role != "svc_memory":
            await conn.execute(f"SET LOCAL ROLE {query.role}")
            await conn.execute(f"SET LOCAL lares.subject = '{uuid4()}'")
        await conn.prepare(text(name, tier))


@pytest.mark.parametrize("tier", ["convenience", "sensitive", "sacred"])
async def test_a_round_takes_each_memory_where_it_belongs(house: Any, tier: str) -> None:
    twice = await house.put("session", tier, accesses=2)
    five = await house.put("working", tier, accesses=5)
    unused = await house.put("session", tier, expires_at=house.now - HOUR)
    done = await house.put("working", tier, accesses=1, expires_at=house.now - HOUR)
    faded = await house.put("episodic", tier, accessed_at=house.now - 40 * DAY)
    lasting = await house.put("episodic", tier, accesses=12, strength=5.0)
    again = await house.put(
        "knowledge", tier, strength=2.5, archived_at=house.now - DAY, accessed_at=house.now - HOUR
    )
    resting = await house.put("knowledge", tier)

    done_round = await house.round()

    assert done_round.moved == 7
    after = await house.rows(tier)
    assert after[twice]["level"] == "working"
    assert after[twice]["expires_at"] == house.now + HOUR
    assert (after[five]["level"], after[five]["expires_at"]) == ("episodic", None)
    for ended in (unused, done, faded):
        assert after[ended]["level"] == "knowledge"
        assert after[ended]["archived_at"] == house.now
        assert after[ended]["expires_at"] is None
    assert (after[lasting]["level"], after[lasting]["archived_at"]) == ("knowledge", None)
    assert after[again]["archived_at"] is None
    assert after[resting]["level"] == "knowledge"
    journal = await house.journal(tier)
    assert {(entry["memory_id"], entry["kind"], entry["reason"]) for entry in journal} == {
        (twice, "promoted", "used"),
        (five, "promoted", "used"),
        (unused, "expired", "time_up"),
        (done, "expired", "time_up"),
        (faded, "archived", "faded"),
        (lasting, "promoted", "lasting"),
        (again, "restored", "used_again"),
    }


async def test_a_second_round_finds_nothing_to_do(house: Any) -> None:
    for tier in ("convenience", "sensitive", "sacred"):
        await house.put("session", tier, accesses=9)
        await house.put("working", tier, expires_at=house.now - HOUR)
    assert (await house.round()).moved == 9
    before = {tier: await house.rows(tier) for tier in ("convenience", "sensitive", "sacred")}

    assert (await house.round()).planned == 0

    assert before == {tier: await house.rows(tier) for tier in before}


async def test_every_move_is_announced_with_the_row(house: Any) -> None:
    moved = await house.put("session", accesses=2)
    sealed = await house.put("session", "sacred", expires_at=house.now - HOUR)
    await house.round()
    told, told_sacred = await house.told(), await house.told(sacred=True)
    assert [(said["memory_id"], said["change"]) for said in told] == [(str(moved), "promoted")]
    assert [said["memory_id"] for said in told_sacred] == [str(sealed)]


async def test_the_sacred_journal_never_leaves_the_sacred_database(house: Any) -> None:
    await house.put("session", "sacred", accesses=2)
    await house.round()
    assert await house.journal("convenience") == []
    assert len(await house.journal("sacred")) == 1


@pytest.mark.parametrize(
    "mended",
    [
        "UPDATE convenience.memory SET accesses = 1",
        "UPDATE convenience.memory SET level = 'knowledge', expires_at = NULL",
        "DELETE FROM convenience.memory",
    ],
)
async def test_a_row_that_changed_since_the_plan_decides_for_itself(
    house: Any, mended: str
) -> None:
    moved = await house.put("session", accesses=2)
    moves = plan((await observer(house).look(house.subject, house.now)).snapshot, house.now)
    assert [move.id for move in moves] == [moved]
    await house.fetch(mended)
    before = await house.rows()

    assert await Actor(house.store, LIMITS)(house.subject, moves[0], house.now) is None

    assert await house.rows() == before
    assert await house.journal() == []


async def test_a_memory_that_is_being_changed_is_left_for_the_next_round(house: Any) -> None:
    moved = await house.put("session", accesses=2)
    async with house.store.plain.own() as other:
        await other.execute("SELECT pg_advisory_xact_lock(20, hashtext($1))", str(moved))
        assert (await house.round()).moved == 0
    assert (await house.round()).moved == 1


async def test_a_move_to_another_tier_leaves_the_plan_behind(house: Any) -> None:
    moved = await house.put("session", accesses=2)
    moves = plan((await observer(house).look(house.subject, house.now)).snapshot, house.now)
    await house.fetch("DELETE FROM convenience.memory")
    await house.put("session", "sensitive", id=moved, accesses=2)
    assert await Actor(house.store, LIMITS)(house.subject, moves[0], house.now) is None
    assert (await house.row(moved, "sensitive"))["level"] == "session"


async def test_one_persons_round_never_touches_anothers(house: Any) -> None:
    other = uuid4()
    mine = await house.put("session", accesses=2)
    theirs = await house.put("session", accesses=2, subject=other)
    moves = plan((await observer(house).look(house.subject, house.now)).snapshot, house.now)
    assert [move.id for move in moves] == [mine]
    foreign = replace(moves[0], id=theirs)
    assert await Actor(house.store, LIMITS)(house.subject, foreign, house.now) is None
    await house.round()
    journal = {entry["memory_id"]: entry["subject_id"] for entry in await house.journal()}
    assert journal == {mine: house.subject, theirs: other}


async def test_a_full_level_gives_up_its_weakest_across_all_tiers(house: Any) -> None:
    tight = replace(LIMITS, levels={**LEVELS, "episodic": replace(LEVELS["episodic"], capacity=3)})
    weak = await house.put("episodic", "sacred", strength=0.5)
    weaker = await house.put("episodic", "sensitive", strength=0.4)
    kept = [
        await house.put("episodic", tier, strength=4.0)
        for tier in ("convenience", "sensitive", "sacred")
    ]
    assert (await house.round(limits=tight)).moved == 2
    assert (await house.row(weak, "sacred"))["archived_at"] == house.now
    assert (await house.row(weaker, "sensitive"))["archived_at"] == house.now
    for ident, tier in zip(kept, ("convenience", "sensitive", "sacred"), strict=True):
        assert (await house.row(ident, tier))["archived_at"] is None


async def test_a_dry_round_moves_nothing_and_keeps_no_journal(house: Any) -> None:
    for tier in ("convenience", "sensitive", "sacred"):
        await house.put("session", tier, accesses=9)
    before = {tier: await house.rows(tier) for tier in ("convenience", "sensitive", "sacred")}
    done = await house.round(mode="dry_run")
    assert (done.planned, done.moved) == (6, 0)
    assert before == {tier: await house.rows(tier) for tier in before}
    assert await house.journal() == []
    assert await house.journal("sacred") == []
    assert await house.told() == []


async def test_nothing_moves_while_the_switch_is_off(house: Any) -> None:
    moved = await house.put("session", accesses=2)
    async with house.store.plain.own() as conn:
        await house.store.switch(conn, False)
    assert await house.round() == Round()
    async with house.store.plain.own() as conn:
        await house.store.switch(conn, True)
    assert (await house.round()).moved == 1
    assert (await house.row(moved))["level"] == "working"


async def test_a_round_has_an_end_and_the_next_goes_on_from_there(house: Any) -> None:
    for _ in range(7):
        await house.put("session", accesses=2)
    assert [(await house.round(moves_max=3)).moved for _ in range(4)] == [3, 3, 1, 0]


async def test_more_than_one_look_can_show_is_moved_in_one_round(house: Any) -> None:
    await house.fetch(
        "INSERT INTO convenience.memory (id, subject_id, text, source_kind, created_at, updated_at, level,"
        " accessed_at, expires_at) SELECT gen_random_uuid(), $1, 'one of many', 'test', $2, $2, 'session', $2, $2"
        " FROM generate_series(1, 620)",
        house.subject,
        house.now - HOUR,
    )
    await house.fetch("INSERT INTO memory.subject (subject_id) VALUES ($1)", house.subject)
    assert (await house.round()).moved == 620


@pytest.mark.parametrize("steps", range(1, 6))
async def test_a_round_that_dies_between_two_moves_is_finished_by_the_next(
    house: Any, steps: int
) -> None:
    class Dying(Actor):
        made = 0

        async def __call__(self, *told: Any) -> Any:
            if Dying.made == steps:
                raise asyncio.CancelledError
            Dying.made += 1
            return await super().__call__(*told)

    Dying.made = 0
    chain = await house.put("session", accesses=7)
    others = [await house.put("working", expires_at=house.now - HOUR) for _ in range(4)]
    with pytest.raises(asyncio.CancelledError):
        await house.round(actor=Dying(house.store, LIMITS))
    assert len(await house.journal()) == steps

    await house.round()

    after = await house.rows()
    assert after[chain]["level"] == "episodic"
    assert all(after[other]["archived_at"] == house.now for other in others)
    made = [
        (entry["memory_id"], entry["kind"], entry["to_level"]) for entry in await house.journal()
    ]
    assert len(made) == len(set(made)) == 6


async def test_a_clock_that_was_set_back_ends_nothing(house: Any) -> None:
    passing = await house.put("session")
    fading = await house.put("episodic")
    house.clock._start -= 90 * DAY
    assert (await house.round()).planned == 0
    assert (await house.row(passing))["archived_at"] is None
    assert (await house.row(fading))["archived_at"] is None


def observer(house: Any) -> Any:
    from memory.levels.observe import Observer

    return Observer(house.store, LIMITS)


async def test_looking_writes_nothing_at_all(house: Any) -> None:
    for tier in ("convenience", "sensitive", "sacred"):
        await house.put("session", tier, accesses=9)
        await house.put("episodic", tier, accessed_at=house.now - 90 * DAY)
    before = await house.everything()
    seen = await observer(house).look(house.subject, house.now)
    assert len(plan(seen.snapshot, house.now)) == 9
    assert await house.everything() == before
    assert seen.occupancy == {"session": 3, "episodic": 3}


async def test_the_role_of_a_round_is_one_the_service_may_take(house: Any) -> None:
    async with house.store.plain.as_role(ROLE, house.subject) as conn:
        assert await conn.fetchval("SELECT current_user") == "lares_app"
