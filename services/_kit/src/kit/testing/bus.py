"""Helpers for tests of what publishes and consumes: a handler that remembers, and the house's two ends of a stream."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

from kit import trace
from kit.bus import Bus, Message
from kit.metrics import Metrics
from kit.testing.data import Valkey

TOPIC = "memory.changed.v1"
KEY = f"lares:stream:{TOPIC}"
DEAD = f"orchestrator:dead:{TOPIC}"


class Heard:
    """A handler that remembers, and fails as long as `failing` says."""

    def __init__(self, failing: Callable[[Message], Exception | None] = lambda _: None) -> None:
        self.messages: list[Message] = []
        self.traces: list[str] = []
        self.failing = failing

    async def __call__(self, message: Message) -> None:
        self.messages.append(message)
        current = trace.current()
        self.traces.append(current.trace_id if current else "")
        if error := self.failing(message):
            raise error

    async def count(self, number: int, seconds: float = 10.0) -> None:
        """Return when `number` messages were heard."""
        async with asyncio.timeout(seconds):
            while len(self.messages) < number:  # noqa: ASYNC110 - what is waited for has no event
                await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def both(valkey: Valkey, metrics: Metrics | None = None) -> AsyncGenerator[tuple[Bus, Bus]]:
    """Who publishes memory.changed.v1 in the house, and who consumes it in a group."""
    async with Bus.open(valkey.broker("memory")) as source:
        async with Bus.open(valkey.broker("orchestrator"), metrics=metrics) as bus:
            yield source, bus


@contextlib.asynccontextmanager
async def consuming(
    bus: Bus, handler: Callable[[Message], Awaitable[None]], **options: Any
) -> AsyncGenerator[asyncio.Task[None]]:
    """Consume while the block runs, with times short enough for a test."""
    options = {"handler_s_max": 0.3, "claim_idle_s": 0.4, "tries_max": 3, **options}
    task = asyncio.create_task(bus.consume(TOPIC, "orchestrator", "one", handler, **options))
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Return when `condition` holds."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.02)
