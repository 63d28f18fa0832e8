"""What a stall, a crash, an old database and a row that is refused must not do: take from anybody what was theirs."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from contracts.scheduling import Ended, Status
from gpu_scheduler.keeping import Keeper
from gpu_scheduler.numbers import Numbers
from gpu_scheduler.store import Decided, Store
from kit.clock import Clock
from kit.metrics import Metrics
from kit.pool import Pool
from kit.testing.bus import until

from .a_house import Gateway, House, Process
from .test_restart import SERVICE, reached
from .test_waking import be_wakeable

pytestmark = pytest.mark.integration
Make = Callable[..., Gateway]
TTL_SECONDS = 4.0


@asynccontextmanager
async def beating(http: httpx.AsyncClient, path: str, body: dict[str, Any]) -> AsyncIterator[None]:
    """Say four times in a time to live that somebody lives."""

    async def beat() -> None:
        while True:
            reply = await http.put(path, json=body)
            assert reply.status_code == 200, reply.text
            await asyncio.sleep(TTL_SECONDS / 4)

    task = asyncio.create_task(beat())
    try:
        yield
        assert not task.done(), task.exception()
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_a_scheduler_that_was_stopped_for_long_takes_nobody_for_dead(
    surroundings: House, process: Process
) -> None:
    async with httpx.AsyncClient(
        base_url=surroundings.url, headers=SERVICE, timeout=30, trust_env=False
    ) as http:
        await reached(http)
        agent = {"ttl_seconds": TTL_SECONDS}
        assert (await http.put("/v1/agents/scribe", json=agent)).status_code == 200
        ask = {"memory_mib": 500, "ttl_seconds": TTL_SECONDS, "wait_seconds": 10, "agent": "scribe"}
        lease = (await http.post("/v1/leases", json=ask)).json()
        assert lease["state"] == "held"
        path, fence = f"/v1/leases/{lease['lease_id']}", {"fence": lease["fence"]}
        async with beating(http, "/v1/agents/scribe", agent), beating(http, path, fence):
            process.process.send_signal(signal.SIGSTOP)
            await asyncio.sleep(2 * TTL_SECONDS)
            process.process.send_signal(signal.SIGCONT)
            await asyncio.sleep(TTL_SECONDS)
        status = Status.model_validate_json((await http.get("/v1/status")).content)
        assert [(one.state, one.lease_id) for one in status.leases] == [("held", lease["lease_id"])]
        assert [one.id for one in status.agents] == ["scribe"]

        async def all_gone() -> bool:
            now = Status.model_validate_json((await http.get("/v1/status")).content)
            return not now.leases and not now.agents

        async with asyncio.timeout(20):
            while not await all_gone():
                await asyncio.sleep(0.2)


async def test_a_brake_that_was_taken_holds_though_the_scheduler_is_killed_the_moment_after(
    surroundings: House, process: Process, caller_factory: Any
) -> None:
    async with httpx.AsyncClient(
        base_url=surroundings.url, headers=caller_factory().headers, trust_env=False
    ) as http:
        assert not (await reached(http)).paused
        assert (await http.post("/v1/orders", json={"verb": "pause"})).status_code == 202
        await process.kill()
        await process.start()
        assert (await reached(http)).paused


async def test_with_a_database_that_was_restored_from_an_old_copy_nodes_still_listen(
    start: Callable[..., Any], gateways: Make, pg: Any
) -> None:
    async def lives(number: int) -> None:
        connection = await pg.connect()
        await connection.execute(f"SELECT setval('inference.scheduler_epoch', {number})")
        await connection.close()

    async def ask(house: House, name: str, model: str) -> int:
        gateway = await gateways(house.url, f"gateway-{name}").connect()
        await gateway.offered(model, available=True)
        await gateway.ask(name, model)
        granted = await gateway.hear("granted", name, seconds=20)
        await gateway.say(Ended(request_id=name, fence=granted.fence, outcome="ok"))
        await gateway.close()
        return granted.fence

    await lives(50)
    async with start() as house:
        first = await ask(house, "a", "small")
        assert house.scheduler.house.loop.state.epoch == 51
    await lives(3)
    async with start() as house:
        state = house.scheduler.house.loop.state
        await until(lambda: state.epoch > 51)
        second = await ask(house, "b", "other")
        assert second > first
        assert [verb for verb, _ in house.node.verbs()] == ["start", "start"]
    async with start() as house:
        assert await ask(house, "c", "small") > second


async def test_a_row_that_the_database_refuses_is_given_up_alone(pg: Any) -> None:
    numbers = Numbers(Metrics("gpu-scheduler", "inference"))
    async with await Pool.open(pg.database("svc_gpu_scheduler"), max_size=1) as pool:
        store = Store(pool)
        keeper = Keeper(store, Clock(), numbers, 7)
        keeper.word("bad", {"name": "a\u0000b"})  # no jsonb
        keeper.word("good", {"name": "ab"})
        at = datetime.now(UTC)
        for why in ("one", "t\u0000wo", "three"):  # no text
            keeper.decided(Decided(at, "start", "m on n", why))
        keeper.peak(("n", "m", "ab" * 16), 4000)
        await keeper.write()
        assert keeper.waiting == 0
        assert await store.words() == {"good": {"name": "ab"}}
        told = await store.decisions(at + timedelta(seconds=9), 9)
        assert sorted(one.why for one in told) == ["one", "three"]
        assert await store.peaks() == {("n", "m", "ab" * 16): 4000}
        assert numbers.dropped_rows.labels("word")._value.get() == 1
        assert numbers.dropped_rows.labels("decision")._value.get() == 1


async def test_a_node_that_was_idle_during_a_pause_is_not_suspended_the_moment_it_ends(
    surroundings: House, start: Callable[..., Any], caller_factory: Any, pg: Any
) -> None:
    await be_wakeable(pg)
    surroundings.node.wake_mac = "02:00:5e:10:00:07"
    async with start(LARES_GPU_NODE_IDLE_SECONDS="3") as house:
        state = house.scheduler.house.loop.state
        await until(lambda: state.deployments)
        async with httpx.AsyncClient(
            base_url=house.url, headers=caller_factory().headers, trust_env=False
        ) as http:
            await http.post("/v1/orders", json={"verb": "pause"})
            await asyncio.sleep(4)
            await http.post("/v1/orders", json={"verb": "resume"})
            await asyncio.sleep(1)
        assert house.node.actions == []
        await until(lambda: ("suspend", None) in house.node.verbs())


async def test_a_scheduler_that_starts_without_valkey_grants_all_the_same(
    start: Callable[..., Any], gateways: Make, valkey: Any
) -> None:
    await asyncio.to_thread(valkey.container.kill)
    try:
        async with start() as house:
            gateway = await gateways(house.url).connect()
            await gateway.offered("small", available=True)
            await gateway.ask("a")
            await gateway.hear("granted", "a")
    finally:
        await asyncio.to_thread(valkey.container.start)
        await asyncio.to_thread(valkey.wait)


async def test_two_gateways_share_a_model_and_one_that_goes_takes_its_own_places_alone(
    house: House, gateways: Make
) -> None:
    one = await gateways(house.url, "one").connect()
    two = await gateways(house.url, "two").connect()
    await one.offered("small", available=True)
    for gateway in (one, two):  # the same ids on purpose: they are each gateway's own
        for name in ("a", "b"):
            await gateway.ask(name)
    taken = {"one": [await one.hear("granted", name) for name in ("a", "b")]}
    assert len({granted.fence for granted in taken["one"]}) == 2
    assert not [told for told in two.told if told.type == "granted"], "two places, both taken"
    await one.close()
    granted = [await two.hear("granted", name) for name in ("a", "b")]
    assert {one.instance_id for one in granted} == {taken["one"][0].instance_id}
    for name, grant in zip(("a", "b"), granted, strict=True):
        await two.say(Ended(request_id=name, fence=grant.fence, outcome="ok"))
    state = house.scheduler.house.loop.state
    await until(lambda: not state.requests)
