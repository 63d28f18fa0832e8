"""A node that is off is woken by the first request for it, also by a scheduler that has never heard it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from contracts.scheduling import Ended
from gpu_scheduler.core.events import Ordered
from kit.testing.bus import until

from .a_house import Gateway, House
from .test_routes import status

pytestmark = pytest.mark.integration


async def be_wakeable(pg: Any) -> None:
    connection = await pg.connect()
    try:
        await connection.execute("UPDATE inference.node SET wakeable = true")
    finally:
        await connection.close()


async def test_a_request_wakes_the_node_and_waits_for_it_also_after_a_restart(
    surroundings: House, start: Callable[..., Any], gateways: Callable[..., Gateway], pg: Any
) -> None:
    await be_wakeable(pg)
    asked = Path(surroundings.environment["LARES_WAKE_DIR"]) / "forge"
    async with start() as house:
        first = await gateways(house.url, "first").connect()
        await first.offered("small", available=True)
        await asyncio.sleep(1.2)  # what it said is written by then
        assert not asked.exists()
    house.proxy.cut()
    async with start() as house:
        gateway = await gateways(house.url).connect()
        offered = await gateway.offered("small", available=True)
        assert not offered.resident
        await gateway.ask("never", "huge")
        await gateway.ask("a")
        await until(asked.exists)
        queued = await gateway.hear("queued", "a")
        assert "woken" in queued.why
        house.proxy.closed = False
        await gateway.hear("granted", "a")
        assert (await gateway.hear("refused", "never")).code == "inference.never_fits"


async def test_a_node_whose_address_nobody_gave_is_never_woken(
    surroundings: House, start: Callable[..., Any], gateways: Callable[..., Gateway]
) -> None:
    async with start() as house:
        gateway = await gateways(house.url).connect()
        await gateway.offered("small", available=True)
        house.proxy.cut()
        await gateway.offered("small", available=False)
        await gateway.ask("a")
        assert (await gateway.hear("refused", "a")).code == "inference.node_away"
        assert not list(Path(surroundings.environment["LARES_WAKE_DIR"]).iterdir())


async def test_a_node_that_nobody_uses_is_asked_to_suspend_once_it_is_idle_for_long(
    surroundings: House, start: Callable[..., Any], gateways: Callable[..., Gateway], pg: Any
) -> None:
    await be_wakeable(pg)
    surroundings.node.wake_mac = "02:00:5e:10:00:07"
    async with start(LARES_GPU_NODE_IDLE_SECONDS="1.5") as house:
        gateway = await gateways(house.url).connect()
        await gateway.offered("small", available=True)
        await gateway.ask("a")
        granted = await gateway.hear("granted", "a")
        await asyncio.sleep(2.5)
        assert [verb for verb, _ in house.node.verbs()] == ["start"], "it is in use"
        await gateway.say(Ended(request_id="a", fence=granted.fence, outcome="ok"))
        await until(lambda: ("suspend", None) in house.node.verbs())


@pytest.mark.parametrize("missing", ["the setting", "its own word", "a way to wake it"])
async def test_no_node_is_suspended_that_does_not_agree_or_could_not_be_woken(
    surroundings: House, start: Callable[..., Any], pg: Any, missing: str
) -> None:
    if missing != "a way to wake it":
        await be_wakeable(pg)
    surroundings.node.wake_mac = None if missing == "its own word" else "02:00:5e:10:00:07"
    seconds = "0" if missing == "the setting" else "0.3"
    async with start(LARES_GPU_NODE_IDLE_SECONDS=seconds) as house:
        await until(lambda: house.scheduler.house.loop.state.deployments)
        await asyncio.sleep(1.5)
        assert house.node.actions == []


async def test_a_node_is_woken_again_until_it_is_heard_and_no_more_once_all_is_paused(
    surroundings: House,
    start: Callable[..., Any],
    gateways: Callable[..., Gateway],
    pg: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gpu_scheduler.fleet.WAKE_AGAIN_SECONDS", 0.3)
    await be_wakeable(pg)
    asked = Path(surroundings.environment["LARES_WAKE_DIR"]) / "forge"
    async with start() as house:
        gateway = await gateways(house.url).connect()
        await gateway.offered("small", available=True)
        state = house.scheduler.house.loop.state
        house.proxy.cut()
        await until(lambda: not state.nodes["forge"].up)
        await gateway.ask("a")
        for _ in range(3):
            await until(asked.exists)
            asked.unlink()  # as the host does when it has sent the packet
        await house.scheduler.house.loop.settle(Ordered("pause"))
        await asyncio.sleep(0.4)  # a packet that was on its way
        asked.unlink(missing_ok=True)
        await asyncio.sleep(1.0)
        assert not asked.exists()
        await house.scheduler.house.loop.settle(Ordered("resume"))
        house.proxy.closed = False
        await gateway.ask("b")
        await gateway.hear("granted", "b")
        asked.unlink(missing_ok=True)
        await asyncio.sleep(0.8)
        assert not asked.exists(), "it is up"


async def test_a_node_that_left_the_house_is_forgotten_whole_and_never_woken(
    surroundings: House, start: Callable[..., Any], gateways: Callable[..., Gateway], pg: Any
) -> None:
    await be_wakeable(pg)
    asked = Path(surroundings.environment["LARES_WAKE_DIR"]) / "forge"
    async with start() as house:
        gateway = await gateways(house.url).connect()
        await gateway.offered("small", available=True)
        await gateway.ask("a")
        await gateway.hear("granted", "a")
        connection = await pg.connect()
        await connection.execute("UPDATE inference.node SET left_at = now()")
        await connection.close()
        await house.scheduler.house.fleet.refresh()
        assert (await gateway.hear("refused", "a")).code == "inference.node_away"
        await gateway.ask("b")
        assert (await gateway.hear("refused", "b")).code == "inference.not_offered"
        state = house.scheduler.house.loop.state
        assert not state.cards
        assert not state.instances
        assert not state.deployments
        shown = await status(house)
        assert (shown.nodes, shown.cards, shown.models) == ((), (), ())
        assert not asked.exists()
