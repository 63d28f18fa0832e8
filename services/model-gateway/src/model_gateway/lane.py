"""The queue in front of a backend: so many at once, so many waiting, so long."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from model_gateway.errors import QueueFull, QueueTimeout


class Lane:
    """First come, first served."""

    def __init__(self, running_max: int, queue_max: int, queue_seconds: float) -> None:
        self._places = asyncio.Semaphore(running_max)
        self._queue_max = queue_max
        self._queue_seconds = queue_seconds
        self._waiting = 0
        self._running = 0

    @property
    def waiting(self) -> int:
        """Requests that wait for a place."""
        return self._waiting

    @property
    def running(self) -> int:
        """Requests that hold a place."""
        return self._running

    @asynccontextmanager
    async def turn(self) -> AsyncGenerator[None]:
        """Hold a place during the block. Raises QueueFull at once, or QueueTimeout after the queue's time."""
        if self._places.locked() and self._waiting >= self._queue_max:
            raise QueueFull(
                f"{self._waiting} requests wait for this model already.", Retry_After="5"
            )
        await self._wait()
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1
            self._places.release()

    async def _wait(self) -> None:
        self._waiting += 1
        try:
            async with asyncio.timeout(self._queue_seconds):
                await self._places.acquire()
        except TimeoutError:
            raise QueueTimeout(
                f"No place became free within {self._queue_seconds:g} s.", Retry_After="10"
            ) from None
        finally:
            self._waiting -= 1
