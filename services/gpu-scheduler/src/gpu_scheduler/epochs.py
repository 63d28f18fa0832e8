"""Keeps fences growing when the database that counts the lives of the scheduler is older than what a node has heard.

A database that was restored from a copy gives out numbers that were given out before, and every node refuses what comes
under them. So when a node has heard of a higher fence than any of this life, the lives are counted on beyond it.
"""

from __future__ import annotations

import asyncio
import contextlib

from kit import logs
from kit.errors import KitError

from gpu_scheduler.core.events import EpochBegun
from gpu_scheduler.core.model import FENCES_PER_EPOCH, State
from gpu_scheduler.fleet import Fleet
from gpu_scheduler.keeping import Keeper
from gpu_scheduler.loop import Loop, Turn
from gpu_scheduler.store import Store

log = logs.get(__name__)

# The lives of years. A node that speaks of more is not believed: the numbers are used up once.
LIVES_MAX = 10_000
AGAIN_SECONDS = 1.0


class Epochs:
    """Compares what nodes have heard with what this life gives out."""

    def __init__(self, loop: Loop, fleet: Fleet, store: Store, keeper: Keeper) -> None:
        self._loop = loop
        self._fleet = fleet
        self._store = store
        self._keeper = keeper
        self._counting: asyncio.Task[None] | None = None
        self._tried_at = float("-inf")
        self._unbelieved: set[str] = set()

    def turned(self, state: State, turn: Turn) -> float | None:
        """Count on, if a node is ahead. A node that is up speaks every second, so this needs no instant of its own."""
        if not turn.events or (self._counting is not None and not self._counting.done()):
            return None
        if turn.now - self._tried_at < AGAIN_SECONDS:
            return None
        heard = max((self._heard(name, state) for name in self._fleet.names()), default=0)
        # What still runs there has lifted `fence` already, and not the epoch.
        if heard > state.fence or heard // FENCES_PER_EPOCH > state.epoch:
            self._tried_at = turn.now
            lives = max(1, heard // FENCES_PER_EPOCH - state.epoch + 1)
            self._counting = asyncio.create_task(self._count(lives), name="count-epochs")
        return None

    def _heard(self, name: str, state: State) -> int:
        """The highest fence that a node has heard, as far as it is believed."""
        said = self._fleet.said().get(name)
        if said is None or not self._fleet.is_up(name):
            return 0
        if said.fence // FENCES_PER_EPOCH - state.epoch < LIVES_MAX:
            return said.fence
        if name not in self._unbelieved:
            self._unbelieved.add(name)
            log.error("epoch.unbelieved", node=name, heard=said.fence // FENCES_PER_EPOCH)
        return 0

    async def _count(self, lives: int) -> None:
        try:
            epoch = await self._store.epochs(lives)
        except KitError as error:
            log.warning("epoch.put_off", code=error.code)
            return
        log.warning("epoch.behind", lives=lives, epoch=epoch)
        self._keeper.epoch = epoch
        await self._loop.put(EpochBegun(epoch))

    async def close(self) -> None:
        """End what is under way."""
        if self._counting is not None:
            self._counting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._counting
