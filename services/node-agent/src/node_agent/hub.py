"""The events: each line is all of the node. At most five a second, at least one, and nobody waits for a slow reader."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable

from kit import logs
from kit.clock import Clock

from node_agent.errors import NodeBusy

log = logs.get(__name__)

READERS_MAX = 8
SECONDS_MAX = 1.0
SECONDS_MIN = 0.2


class Hub:
    """Makes a line when something has changed, and hands the newest one to each reader."""

    def __init__(self, make: Callable[[], Awaitable[bytes]], clock: Clock) -> None:
        self._make = make
        self._clock = clock
        self._changed = asyncio.Event()
        self._readers: set[asyncio.Queue[bytes]] = set()
        self.latest: bytes | None = None

    @property
    def readers(self) -> int:
        """How many read."""
        return len(self._readers)

    def changed(self) -> None:
        """Something is different: a line is due."""
        self._changed.set()

    async def lines(self) -> AsyncGenerator[bytes]:
        """Yield a fresh line at once and then each new one. A reader that is slow misses lines, never the newest.

        Raises NodeBusy when there are readers enough.
        """
        if len(self._readers) >= READERS_MAX:
            raise NodeBusy(f"{READERS_MAX} read the events already.")
        queue: asyncio.Queue[bytes] = asyncio.Queue(1)
        self._readers.add(queue)
        self.changed()
        try:
            while True:
                yield await queue.get()
        finally:
            self._readers.discard(queue)

    async def publish(self) -> None:
        """Make a line now and hand it on."""
        self._changed.clear()
        line = await self._make()
        self.latest = line
        for queue in self._readers:
            if queue.full():
                # Each line is whole: the newer one makes the older worthless.
                queue.get_nowait()
            queue.put_nowait(line)

    async def run(self) -> None:
        """Publish until cancelled."""
        while True:
            begun = self._clock.monotonic()
            try:
                await self.publish()
            except Exception as error:
                # One reading that fails must not end all of them; silence says it to the scheduler.
                log.exception("hub.failed", error)
            left = SECONDS_MIN - (self._clock.monotonic() - begun)
            if left > 0:
                await asyncio.sleep(left)
            try:
                async with asyncio.timeout(SECONDS_MAX - SECONDS_MIN):
                    await self._changed.wait()
            except TimeoutError:
                pass
