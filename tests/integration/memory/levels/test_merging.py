"""Two memories that say the same meet on a level, and become one with both sources."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from memory.levels.act import Actor
from memory.levels.decide import Kind, plan
from memory.levels.observe import Observer
from memory.levels.plan import LIMITS
from memory.plain import PlainShelf
from memory.writing.duplicates import claim_id

pytestmark = pytest.mark.integration
SAID = "The spare key lies under the third flowerpot"


async def put(house: Any, level: str, tier: str, text: str = SAID, **changed: Any) -> UUID:
    """Put a memory as the worker leaves it: with its claim noted."""
    memory_id = await house.put(level, tier, text=text, source_ref=f"turn-{level}", **changed)
    await house.fetch(
        f"INSERT INTO {tier}.memory_claim (memory_id, subject_id, namespace, revision, claim)"
        " SELECT id, subject_id, namespace, revision, $2 FROM"
        f" {tier}.memory WHERE id = $1",
        memory_id,
        claim_id(text),
    )
    return memory_id


async def meet(house: Any, tier: str = "convenience", **changed: Any) -> tuple[UUID, UUID]:
    """Put one memory into working and a younger one that will follow it there."""
    older = await put(house, "working", tier, accesses=1, strength=1.5)
    young = house.now - timedelta(days=30) + timedelta(minutes=5)
    younger = await put(house, "session", tier, **({"accesses": 2, "created_at": young} | changed))
    return older, younger


@pytest.mark.parametrize("tier", ["convenience", "sensitive"])
async def test_one_that_rises_joins_its_like_and_leaves_its_source(house: Any, tier: str) -> None:
    older, younger = await meet(house, tier, text=f"{SAID}!")
    assert (await house.round()).moved == 1
    await house.clock.advance(60)

    assert (await house.round()).moved == 1

    rows = await house.rows(tier)
    assert set(rows) == {older}
    assert rows[older]["accesses"] == 3
    assert rows[older]["strength"] == 1.5
    sources = await house.fetch(f"SELECT merged_id, source_ref, text FROM {tier}.memory_source")
    assert [tuple(row) for row in sources] == [(younger, "turn-session", f"{SAID}!")]
    entry = (await house.journal())[-1]
    assert (entry["kind"], entry["memory_id"], entry["into_id"]) == ("merged", younger, older)
    told = await house.told()
    assert {str(older), str(younger)} <= {said["memory_id"] for said in told}
    assert (await house.round()).planned == 0


@pytest.mark.parametrize(
    "changed",
    [{"text": "The spare key lies under the second flowerpot"}, {"namespace": "work"}],
)
async def test_what_says_something_else_or_is_elsewhere_stays_apart(
    house: Any, changed: dict[str, Any]
) -> None:
    older, younger = await meet(house, **changed)
    for _ in range(3):
        await house.round()
        await house.clock.advance(60)
    assert set(await house.rows()) == {older, younger}


async def test_tiers_never_meet(house: Any) -> None:
    older = await put(house, "working", "sensitive")
    younger = await put(house, "session", "convenience", accesses=2)
    for _ in range(3):
        await house.round()
        await house.clock.advance(60)
    assert set(await house.rows("sensitive")) == {older}
    assert set(await house.rows("convenience")) == {younger}


@pytest.mark.parametrize(
    "mended",
    [
        "UPDATE convenience.memory SET text = 'It was moved' WHERE id = $1",
        "DELETE FROM convenience.memory WHERE id = $1",
        "UPDATE convenience.memory SET superseded_at = now() WHERE id = $1",
    ],
)
async def test_a_pair_that_is_none_any_more_is_left_as_it_is(house: Any, mended: str) -> None:
    _, younger = await meet(house)
    await house.round()
    shelf = PlainShelf(house.store.plain)
    seen = await Observer(house.store, LIMITS, shelf).look(house.subject, house.now)
    moves = plan(seen.snapshot, house.now)
    assert [move.kind for move in moves] == [Kind.MERGED]
    await house.fetch(mended, younger)
    before = await house.rows()

    assert await Actor(house.store, LIMITS, shelf)(house.subject, moves[0], house.now) is None

    assert await house.rows() == before
    assert await house.fetch("SELECT FROM convenience.memory_source") == []


async def test_nothing_is_merged_where_merging_is_off(house: Any) -> None:
    await meet(house)
    await house.round()
    seen = await Observer(house.store, LIMITS).look(house.subject, house.now)
    assert seen.snapshot.pairs == ()
