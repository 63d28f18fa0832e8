"""The fake clock stands in for time in every service's tests: it must wake sleepers exactly as time would."""

import asyncio
import time
from datetime import UTC

from kit.clock import Clock, FakeClock


async def test_time_stands_still_until_it_is_moved(clock: FakeClock) -> None:
    before = clock.now()
    assert clock.now() == before
    await clock.advance(90)
    assert (clock.now() - before).total_seconds() == 90
    assert clock.monotonic() == 90
    assert before.tzinfo is UTC


async def test_sleepers_wake_in_order_each_at_its_own_instant(clock: FakeClock) -> None:
    woken: list[tuple[str, float]] = []

    async def sleeper(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((name, clock.monotonic()))

    tasks = [asyncio.create_task(sleeper("late", 5)), asyncio.create_task(sleeper("early", 2))]
    await clock.advance(4.9)
    assert woken == [("early", 2.0)]
    await clock.advance(1)
    assert woken == [("early", 2.0), ("late", 5.0)]
    await asyncio.gather(*tasks)


async def test_a_loop_that_sleeps_again_is_woken_as_often_as_time_allows(clock: FakeClock) -> None:
    beats = 0

    async def beat() -> None:
        nonlocal beats
        while True:
            await clock.sleep(10)
            beats += 1

    task = asyncio.create_task(beat())
    await clock.advance(35)
    assert beats == 3
    task.cancel()


async def test_a_cancelled_sleeper_is_forgotten(clock: FakeClock) -> None:
    task = asyncio.create_task(clock.sleep(5))
    await asyncio.sleep(0)
    task.cancel()
    await clock.advance(10)
    assert task.cancelled()


async def test_the_real_clock_sleeps_and_is_aware() -> None:
    clock = Clock()
    begun = time.monotonic()
    await clock.sleep(0.02)
    assert time.monotonic() - begun >= 0.015
    assert clock.now().tzinfo is UTC
