"""From tier to tier: nowhere twice, nowhere lost, whoever is killed on the way."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import httpx
import pytest
from contracts.memory import EditRequest, RememberRequest, Tier
from kit.pool import Pool
from memory.domain import surviving_tier
from memory.errors import MemoryNotFound
from memory.exchange.forget import Forget
from memory.library import Library
from memory.recall.words import unit
from memory.writing.move import Move

pytestmark = pytest.mark.integration


class Killed(BaseException):
    """The process ends here: nothing after it runs, open transactions roll back."""


@pytest.mark.parametrize("from_tier", list(Tier))
@pytest.mark.parametrize("to_tier", list(Tier))
async def test_a_move_carries_everything_and_leaves_nothing(
    bench: Any, caller_factory: Any, from_tier: Tier, to_tier: Tier
) -> None:
    ada = caller_factory().caller
    memory = await bench.remember()(
        ada, RememberRequest(text="Wandering", tier=from_tier.value, source={"kind": "turn"})
    )
    shelf = bench.library.shelf(from_tier)
    async with shelf.pool.as_caller(ada) as conn:
        entry = await shelf.get(conn, from_tier, memory.id)
        assert entry is not None
        assert await shelf.set_embedding(conn, entry, [0.25] * 384, 1)

    moved = await bench.edit()(ada, memory.id, EditRequest(tier=to_tier.value))

    assert await bench.places(memory.id) == {to_tier}
    assert moved.model_copy(update={"tier": from_tier, "embedded": False}) == memory
    assert moved.embedded is True
    target = bench.library.shelf(to_tier)
    async with target.pool.as_caller(ada) as conn:
        kept = await target.take(conn, to_tier, memory.id)
    assert kept is not None
    assert kept.embedding is not None
    # The sacred shelf keeps the direction, at length one.
    assert unit(kept.embedding) == pytest.approx(unit([0.25] * 384), abs=1e-3)
    assert await bench.fetch("SELECT * FROM memory.tier_move") == []


@pytest.mark.parametrize("killed_at", [1, 2, 3, 4, 5, "notes"])
@pytest.mark.parametrize(
    ("from_tier", "to_tier"), [(Tier.CONVENIENCE, Tier.SACRED), (Tier.SACRED, Tier.SENSITIVE)]
)
async def test_a_move_killed_at_any_step_leaves_one_copy_in_the_more_private_place(
    bench: Any,
    caller_factory: Any,
    monkeypatch: pytest.MonkeyPatch,
    from_tier: Tier,
    to_tier: Tier,
    killed_at: int | str,
) -> None:
    ada = caller_factory().caller
    memory = await bench.remember()(
        ada, RememberRequest(text="Do not lose me", tier=from_tier.value)
    )
    entry = await bench.library.find(ada, memory.id)
    with monkeypatch.context() as patch:
        kill(patch, bench, killed_at)
        with pytest.raises(Killed):
            await Move(bench.library)(ada, entry, to_tier)
    present = await bench.places(memory.id)
    assert present, "the memory was nowhere"

    await Move(bench.library).settle_all()

    expected = surviving_tier(from_tier, to_tier, present, forgotten=False)
    assert await bench.places(memory.id) == {expected}
    assert (await bench.library.find(ada, memory.id)).text == "Do not lose me"
    assert await bench.fetch("SELECT * FROM memory.tier_move") == []
    due = [
        *(await bench.fetch("SELECT tier FROM memory.pending_embedding")),
        *(await bench.fetch("SELECT tier FROM sacred.pending_embedding", database="lares_sacred")),
    ]
    assert [row["tier"] for row in due] == [expected.value if expected else None]


def kill(patch: pytest.MonkeyPatch, bench: Any, at: int | str) -> None:
    """End the process at the `at`-th transaction, or after the source is gone and before the note is struck."""
    begun = 0
    begin = Pool._begin

    async def counted(self: Pool, *arguments: Any) -> Any:
        nonlocal begun
        begun += 1
        if begun == at:
            raise Killed
        return await begin(self, *arguments)

    patch.setattr(Pool, "_begin", counted)
    if at != "notes":
        return
    own = bench.library.plain.pool.own

    @asynccontextmanager
    async def cut(**options: Any) -> AsyncIterator[Any]:
        async with own(**options) as conn:
            yield conn
            if begun >= 5:
                raise Killed

    patch.setattr(bench.library.plain.pool, "own", cut)


async def test_forgetting_wins_over_an_interrupted_move(
    bench: Any, caller_factory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = caller_factory().caller
    memory = await bench.remember()(ada, RememberRequest(text="Gone for good"))
    entry = await bench.library.find(ada, memory.id)
    with monkeypatch.context() as patch:
        kill(patch, bench, 4)
        with pytest.raises(Killed):
            await Move(bench.library)(ada, entry, Tier.SACRED)
    assert len(await bench.places(memory.id)) == 2
    # A token that cannot even see the sacred copy forgets: the sacred copy must go, too.
    token = caller_factory(
        subject=ada.subject,
        kind="token",
        db_role="lares_mcp",
        scopes=("memory:read", "memory:write"),
    ).caller

    await Forget(bench.library, lambda _: None)(token, memory.id)
    await Move(bench.library).settle_all()

    assert await bench.places(memory.id) == set()
    assert await bench.fetch("SELECT * FROM memory.tier_move") == []


async def test_forgetting_after_a_move_reaches_the_books_it_came_from(
    bench: Any, caller_factory: Any
) -> None:
    ada = caller_factory().caller
    for first, then in (("convenience", "sacred"), ("sacred", "sensitive")):
        request = RememberRequest(text=f"Once {first}", tier=first)
        memory = await bench.remember()(ada, request, f"key-{first}")
        await bench.edit()(ada, memory.id, EditRequest(tier=then))
        erased = (await Forget(bench.library, lambda _: None)(ada, memory.id)).erased
        assert (erased["rows"], erased["request_hashes"]) == (1, 1)
    for database, schema in (("lares", "memory"), ("lares_sacred", "sacred")):
        rows = await bench.fetch(
            f"SELECT request_hash FROM {schema}.remember_key", database=database
        )
        assert [row["request_hash"] for row in rows] == [None]


async def test_asking_to_forget_anothers_memory_touches_nothing_of_it(
    bench: Any, caller_factory: Any
) -> None:
    ada, bob = caller_factory().caller, caller_factory().caller
    for tier in Tier:
        memory = await bench.remember()(
            ada, RememberRequest(text="Ada's", tier=tier.value), f"k-{tier}"
        )
        with pytest.raises(MemoryNotFound):
            await Forget(bench.library, lambda _: None)(bob, memory.id)
    for database, schema, count in (("lares", "memory", 2), ("lares_sacred", "sacred", 1)):
        for table, where in (
            ("pending_embedding", ""),
            ("remember_key", "WHERE request_hash IS NOT NULL"),
        ):
            rows = await bench.fetch(f"SELECT 1 FROM {schema}.{table} {where}", database=database)
            assert len(rows) == count, table
        # A relay of another test's process may have taken what waited there.
        rows = await bench.fetch(
            f"SELECT payload ->> 'change' AS change FROM {schema}.outbox", database=database
        )
        assert {row["change"] for row in rows} <= {"remembered"}


async def test_a_raised_memory_is_never_written_below_its_new_tier(
    bench: Any, caller_factory: Any
) -> None:
    ada = caller_factory().caller
    memory = await bench.remember()(ada, RememberRequest(text="harmless"))
    seen: list[str] = []
    plain_revise = bench.library.plain.revise

    async def watched(conn: Any, entry: Any, text: str, *rest: Any) -> Any:
        seen.append(text)
        return await plain_revise(conn, entry, text, *rest)

    bench.library.plain.revise = watched  # type: ignore[method-assign]
    edited = await bench.edit()(ada, memory.id, EditRequest(text="my diagnosis", tier="sacred"))
    assert (edited.text, edited.tier, seen) == ("my diagnosis", Tier.SACRED, [])
    lowered = await bench.edit()(
        ada, memory.id, EditRequest(text="harmless again", tier="convenience")
    )
    assert (lowered.text, lowered.tier, seen) == ("harmless again", Tier.CONVENIENCE, [])


async def test_a_service_killed_amid_moves_loses_and_doubles_nothing(
    memory_house: Any, memory_service: Any, bench: Any, caller_factory: Any, until: Any
) -> None:
    ada = caller_factory()
    victim = memory_house.service()
    ids: list[UUID] = []
    async with httpx.AsyncClient(
        base_url=memory_service.url, headers=ada.headers, trust_env=False
    ) as client:
        for number in range(6):
            answer = await client.post("/v1/memories", json={"text": f"Number {number}"})
            ids.append(UUID(answer.json()["id"]))

    async def flip(memory_id: UUID) -> None:
        async with httpx.AsyncClient(
            base_url=victim.url, headers=ada.headers, trust_env=False, timeout=5
        ) as client:
            for turn in range(1000):
                try:
                    tier = ("sacred", "convenience")[turn % 2]
                    await client.patch(f"/v1/memories/{memory_id}", json={"tier": tier})
                except httpx.HTTPError:
                    return

    for pause in (0.15, 0.25, 0.4, 0.55):
        victim.start()
        flips = [asyncio.create_task(flip(memory_id)) for memory_id in ids]
        await asyncio.sleep(pause)
        victim.stop(signal.SIGKILL)
        await asyncio.gather(*flips)
    move = Move(Library(bench.library.plain, bench.library.sacred))

    async def settled() -> bool:
        # What a session of the killed process still holds is left until Postgres has noticed that nobody is there.
        await move.settle_all()
        return await bench.fetch("SELECT * FROM memory.tier_move") == []

    await until(settled)
    for memory_id in ids:
        assert len(await bench.places(memory_id)) == 1
