"""The levels together, over a real Valkey: the moment between a change and everybody's knowing of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import pytest
from contracts.tiers import CHANGED_TOPIC
from kit.bus import Broker, Bus
from kit.clock import Clock
from kit.metrics import Metrics
from memory.caching.answers import Answers
from memory.caching.local import Local
from memory.caching.shared import Shared
from memory.numbers import Numbers

pytestmark = pytest.mark.integration
KEY = bytes(32)


class Replica:
    """One process's copies, and a database that holds one word."""

    def __init__(self, answers: Answers, database: dict[str, bytes], caller: Any) -> None:
        self.answers, self._database, self._caller = answers, database, caller

    async def read(self) -> bytes:
        async def ask() -> tuple[bytes, bool]:
            return self._database["word"], True

        return await self.answers.get(self._caller, "memory", b"which?", ask)


class Slow(Shared):
    """Valkey takes a new generation only when it is let."""

    def __init__(self, broker: Broker, key: bytes) -> None:
        super().__init__(broker, key)
        self.free, self.asked = asyncio.Event(), asyncio.Event()
        self.refuses = False

    async def changed(self, subject: UUID) -> str | None:
        self.asked.set()
        await self.free.wait()
        return None if self.refuses else await super().changed(subject)


@asynccontextmanager
async def following(
    bus: Bus, shared: Shared, database: dict[str, bytes], caller: Any, time: Any
) -> AsyncIterator[Replica]:
    answers = Answers(Local(time), shared, Numbers(Metrics("memory", "memory")), enabled=True)
    task = asyncio.create_task(answers.follow(bus, Clock()))
    try:
        async with asyncio.timeout(10):
            while not answers.sure(caller.subject):
                await asyncio.sleep(0.01)
        yield Replica(answers, database, caller)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await answers.aclose()


@pytest.fixture
async def bus(valkey: Any) -> AsyncIterator[Bus]:
    async with Bus.open(valkey.broker("memory")) as opened:
        yield opened


async def announce(bus: Bus, subject: UUID) -> None:
    word = {"subject_id": str(subject), "memory_id": str(uuid4()), "tier": "convenience"}
    await bus.publish(CHANGED_TOPIC, {**word, "change": "changed"})


async def filled(replica: Replica, valkey: Any) -> None:
    """Read until the answer lies in Valkey."""
    async with asyncio.timeout(10):
        while not valkey.client().keys("memory:cache:a:*"):
            await replica.read()
            replica.answers._local.clear()
            await asyncio.sleep(0.01)


async def test_between_a_change_and_its_new_generation_no_old_answer_is_kept_from_valkey(
    valkey: Any, bus: Bus, caller_factory: Any, clock: Any
) -> None:
    """A reader may still be given the old answer then; that process may not keep it as one read after the change."""
    caller, database = caller_factory().caller, {"word": b"old"}
    shared = Slow(valkey.broker("memory"), KEY)
    shared.free.set()
    async with following(bus, shared, database, caller, clock.monotonic) as replica:
        await filled(replica, valkey)
        shared.free.clear()
        shared.asked.clear()
        database["word"] = b"new"
        await announce(bus, caller.subject)
        await asyncio.wait_for(shared.asked.wait(), 10)
        await replica.read()
        shared.free.set()
        # The clock stands still: what was kept would be answered for ever.
        async with asyncio.timeout(10):
            while await replica.read() != b"new":
                await asyncio.sleep(0.01)


async def test_when_valkey_does_not_take_a_change_nothing_old_is_answered(
    valkey: Any, bus: Bus, caller_factory: Any, clock: Any
) -> None:
    caller, database = caller_factory().caller, {"word": b"old"}
    shared = Slow(valkey.broker("memory"), KEY)
    shared.free.set()
    async with following(bus, shared, database, caller, clock.monotonic) as replica:
        await filled(replica, valkey)
        await replica.read()
        shared.refuses = True
        shared.asked.clear()
        database["word"] = b"new"
        await announce(bus, caller.subject)
        await asyncio.wait_for(shared.asked.wait(), 10)
        async with asyncio.timeout(10):
            while await replica.read() != b"new":
                await asyncio.sleep(0.01)
        for _ in range(20):
            assert await replica.read() == b"new"
