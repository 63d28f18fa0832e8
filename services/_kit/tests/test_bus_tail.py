"""Following a stream for live pages: one read for all, bounded queues, over restarts."""

from __future__ import annotations

import asyncio

import pytest
from kit.bus import Bus
from kit.testing.bus import TOPIC, until
from kit.testing.data import Valkey

pytestmark = pytest.mark.integration


async def test_every_follower_hears_what_is_published_after_it_came(valkey: Valkey) -> None:
    async with (
        Bus.open(valkey.broker("memory")) as source,
        Bus.open(valkey.broker("dashboard")) as bus,
    ):
        await source.publish(TOPIC, {"n": 0})
        async with bus.tail(TOPIC) as first, bus.tail(TOPIC) as second:
            for number in (1, 2, 3):
                await source.publish(TOPIC, {"n": number})
            for follower in (first, second):
                heard = [
                    (await asyncio.wait_for(anext(follower), 5)).payload["n"] for _ in range(3)
                ]
                assert heard == [1, 2, 3]
            # One blocked read serves both.
            listed = valkey.client().client_list()
            assert [c["cmd"] for c in listed if c["user"] == "dashboard"].count("xread") == 1
        async with bus.tail(TOPIC) as third:
            await source.publish(TOPIC, {"n": 4})
            assert (await asyncio.wait_for(anext(third), 5)).payload["n"] == 4


async def test_a_slow_follower_keeps_the_newest_and_knows_how_many_it_missed(
    valkey: Valkey,
) -> None:
    async with (
        Bus.open(valkey.broker("memory")) as source,
        Bus.open(valkey.broker("dashboard")) as bus,
    ):
        async with bus.tail(TOPIC) as events:
            for number in range(300):
                await source.publish(TOPIC, {"n": number})
            await until(lambda: events.missed == 44)
            assert (await anext(events)).payload["n"] == 44


async def test_a_follower_hears_on_after_a_restart_of_valkey(valkey: Valkey) -> None:
    async with (
        Bus.open(valkey.broker("memory")) as source,
        Bus.open(valkey.broker("dashboard")) as bus,
    ):
        async with bus.tail(TOPIC) as events:
            await asyncio.to_thread(valkey.container.restart)
            await asyncio.to_thread(valkey.wait)
            await source.publish(TOPIC, {"n": 1})
            assert (await asyncio.wait_for(anext(events), 15)).payload["n"] == 1


async def test_closing_the_bus_ends_its_followers(valkey: Valkey) -> None:
    bus = Bus.open(valkey.broker("dashboard"))

    async def follow() -> int:
        async with bus.tail(TOPIC) as events:
            return len([message async for message in events])

    task = asyncio.create_task(follow())
    await asyncio.sleep(0.3)
    await bus.close()
    assert await asyncio.wait_for(task, 5) == 0
