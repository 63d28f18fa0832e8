"""What every instance works with, and work that ends when something happens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from kit.clock import Clock

from node_agent.engine import Engine
from node_agent.errors import EngineRefused, EngineUnavailable
from node_agent.troubles import Trouble, memory_line, why_ended

T = TypeVar("T")
DIAGNOSIS_TRIES = 3


@dataclass(frozen=True)
class Means:
    """The engine, the clock, who is to be told of a change, and where models live."""

    engine: Engine
    clock: Clock
    changed: Callable[[], None]
    finished: Callable[[str, str, float], None]  # verb, outcome, seconds: for the numbers
    own_container: str
    models_net: str
    weights_host: str
    card_groups: tuple[int, ...] = ()  # the host's, that may open an AMD card


class Halted(Exception):
    """A stop is wanted, or the process has died: what was under way ends."""


async def unless(halt: asyncio.Event, work: Coroutine[Any, Any, T]) -> T:
    """Return what `work` returns. Cancels it and raises Halted when `halt` is set first, or meanwhile."""
    working = asyncio.ensure_future(work)
    halting = asyncio.ensure_future(halt.wait())
    try:
        await asyncio.wait({working, halting}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (working, halting):
            task.cancel()
        await asyncio.gather(working, halting, return_exceptions=True)
    # Last, with no turn of the loop after it: whoever is told "done" must not find itself stopped.
    if halt.is_set():
        raise Halted
    return working.result()


async def diagnosis(engine: Engine, container_id: str | None, why: str) -> Trouble:
    """Return what is wrong with a container, by the engine's account and its log's; `why` where they say nothing."""
    if container_id is None:
        return Trouble(why)
    for tries in range(DIAGNOSIS_TRIES):
        try:
            ended = await engine.inspect(container_id)
            tail = await engine.log_tail(container_id)
            break
        except (EngineRefused, EngineUnavailable):
            # A busy engine answers late; whether memory ran out is worth the wait.
            await asyncio.sleep(tries)
    else:
        return Trouble(f"{why} The engine does not say more.")
    if ended is None or ended.running:
        line = memory_line(tail)
        return Trouble(f"{why} It ran out of memory: {line}", True) if line else Trouble(why)
    return why_ended(ended.exit_code, ended.oom_killed, tail)
