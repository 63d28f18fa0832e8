"""Follows the snapshot file, and announces what changed in it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from contracts.system import STATE_TOPIC, ContainerChanged, ContainerList
from kit import logs
from kit.bus import Bus
from kit.clock import Clock
from kit.errors import KitError

from state_registry.domain import GONE, Reading, changes, listed, reading
from state_registry.errors import NothingRead
from state_registry.house import Place

log = logs.get(__name__)

LOOK_SECONDS = 2.0
SNAPSHOT_BYTES_MAX = 1024 * 1024


class Watcher:
    """The last reading, and what of it has been announced."""

    def __init__(
        self, snapshot: Path, places: dict[str, Place], stale_seconds: float, bus: Bus, clock: Clock
    ) -> None:
        self._snapshot = snapshot
        self._places = places
        self._stale_seconds = stale_seconds
        self._bus = bus
        self._clock = clock
        self._seen: tuple[int, int] | None = None
        self._last: Reading | None = None
        self._announced: dict[str, ContainerChanged] = {}

    def containers(self) -> ContainerList:
        """Return the last reading and how old it is."""
        return listed(self._last, self._clock.now(), self._stale_seconds)

    async def ping(self) -> None:
        """Return if there is any reading. An old one is served as stale and does not make the registry unwell."""
        if self._last is None:
            raise NothingRead()

    async def look(self) -> None:
        """Take in a new snapshot if there is one, and announce what is not announced yet."""
        self._take_in()
        if self._last is None:
            return
        for change in changes(self._announced, self._last.containers):
            try:
                await self._bus.publish(STATE_TOPIC, change)
            except KitError as error:
                # Not announced is not forgotten: the next look finds the same difference.
                log.warning("state.unannounced", code=error.code)
                return
            if change.state == GONE:
                self._announced.pop(change.name, None)
            else:
                self._announced[change.name] = change

    def _take_in(self) -> None:
        try:
            stat = self._snapshot.stat()
            # A replaced file is another file, also within the same tick of the clock.
            mark = (stat.st_ino, stat.st_mtime_ns)
            if mark == self._seen:
                return
            with self._snapshot.open("rb") as file:
                content = file.read(SNAPSHOT_BYTES_MAX)
            self._last = reading(json.loads(content), self._places)
            self._seen = mark
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:
            log.warning("snapshot.unreadable", error_type=type(error).__name__)

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self.look()
            await self._clock.sleep(LOOK_SECONDS)

    @asynccontextmanager
    async def watching(self) -> AsyncGenerator[None]:
        """Run beside a block."""
        task = asyncio.create_task(self.run(), name="watcher")
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
