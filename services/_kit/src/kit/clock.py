"""Time as an argument, so that a test can hold it still."""

import asyncio
import time
from datetime import UTC, datetime, timedelta


class Clock:
    """The real time."""

    def now(self) -> datetime:
        """Return the wall clock, aware, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds that never go back; only differences mean anything."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait at least `seconds`."""
        await asyncio.sleep(seconds)


class FakeClock(Clock):
    """A clock that moves only when told: `await clock.advance(5)` wakes whoever slept up to then, in order."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._start = start
        self._elapsed = 0.0
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._elapsed)

    def monotonic(self) -> float:
        return self._elapsed

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        wake: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (self._elapsed + seconds, wake)
        self._sleepers.append(entry)
        try:
            await wake
        finally:
            if entry in self._sleepers:
                self._sleepers.remove(entry)

    async def advance(self, seconds: float) -> None:
        """Move time on. Sleepers wake at their own instant, and what they start to wait for meanwhile counts too."""
        target = self._elapsed + seconds
        await self._settle()
        while due := [entry for entry in self._sleepers if entry[0] <= target]:
            at, wake = min(due, key=lambda entry: entry[0])
            self._sleepers.remove((at, wake))
            self._elapsed = max(self._elapsed, at)
            if not wake.done():
                wake.set_result(None)
            await self._settle()
        self._elapsed = target

    async def _settle(self) -> None:
        # A woken task needs a few turns of the loop before it sleeps again; eight covers the depth used in tests.
        for _ in range(8):
            await asyncio.sleep(0)
