"""Finds what is due and queues it: at once when an event says so, and every few seconds in case none arrived.

The books in Postgres say what is due, not the queue. So nothing is lost when Valkey was full, down or emptied: a
claimed note whose job never ran falls due again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from contracts.tiers import CHANGED_TOPIC
from kit import logs
from kit.bus import Bus
from kit.clock import Clock
from kit.errors import KitError

from memory.library import Library
from memory.writing.embed import BATCH_MAX
from memory.writing.move import Move
from memory.writing.relate import RELATE_MAX
from memory.writing.store import PLAIN, SACRED, Due

log = logs.get(__name__)
# Enough to keep the model busy while one batch is written, and little enough that no lease ends in the queue.
LEASED_MAX = 8 * BATCH_MAX
RELATIONS_AT_ONCE = 4
PRUNE_SECONDS = 3600.0
WAKING_CHANGES = frozenset({"remembered", "edited", "moved"})

Queue = Callable[[Due], Awaitable[None]]


class Sweep:
    """Queues what is due, ends interrupted moves, drops old keys; until cancelled."""

    def __init__(
        self,
        library: Library,
        move: Move,
        embed: Queue,
        relate: Queue,
        every_s: float,
        clock: Clock,
    ) -> None:
        self._library = library
        self._move = move
        self._embed = embed
        self._relate = relate
        self._every_s = every_s
        self._clock = clock
        self._woken = asyncio.Event()
        self._sweep_at = 0.0
        self._prune_at = 0.0

    def wake(self) -> None:
        """Look again now: something was done, so there is room, or something follows."""
        self._woken.set()

    async def follow(self, bus: Bus) -> None:
        """Wake the sweep at every change that may want an embedding, over every restart of Valkey."""
        while True:
            try:
                async with bus.tail(CHANGED_TOPIC) as events:
                    async for message in events:
                        if message.payload.get("change") in WAKING_CHANGES:
                            self._woken.set()
            except KitError as error:
                log.warning("sweep.not_following", code=error.code)
            await self._clock.sleep(self._every_s)

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            self._woken.clear()
            try:
                await self.once()
            except KitError as error:
                log.warning("sweep.waiting", code=error.code)
            except Exception as error:
                # One bad row must not end the sweep for all others.
                log.exception("sweep.failed", error)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), self._every_s)

    async def once(self) -> int:
        """Queue what is due now and return how much; the rest of the housekeeping only when its time has come."""
        queued = await self._queue_embeddings() + await self._queue_relations()
        now = self._clock.monotonic()
        if now >= self._sweep_at:
            self._sweep_at = now + self._every_s
            await self._move.settle_all()
        if now >= self._prune_at:
            self._prune_at = now + PRUNE_SECONDS
            for shelf in (self._library.plain, self._library.sacred):
                async with shelf.pool.own() as conn:
                    await shelf.prune_keys(conn)
        return queued

    async def _queue_embeddings(self) -> int:
        queued = 0
        for shelf, books in ((self._library.plain, PLAIN), (self._library.sacred, SACRED)):
            async with shelf.pool.own() as conn:
                claimed = await books.claim_embeddings(conn, LEASED_MAX, BATCH_MAX)
            for due in claimed:
                await self._embed(due)
                queued += len(due.ids)
        return queued

    async def _queue_relations(self) -> int:
        queued = 0
        for _ in range(RELATIONS_AT_ONCE):
            async with self._library.plain.pool.own() as conn:
                due = await PLAIN.claim_relations(conn, RELATE_MAX)
            if due is None:
                break
            await self._relate(due)
            queued += len(due.ids)
        return queued
