"""The account of refusals: a bounded queue and one writer, so that a flood costs a counter and never an answer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from kit import logs
from kit.metrics import Metrics
from kit.pool import DataUnavailable

from forward_auth.store import Refusal, Store

log = logs.get(__name__)
QUEUE_MAX = 200
BATCH_MAX = 50
# At most fifty rows a second reach the disk, however many requests are refused.
PAUSE_SECONDS = 1.0


class Account:
    """Takes refusals and writes them down."""

    def __init__(self, store: Store, metrics: Metrics) -> None:
        self._store = store
        self._queue: asyncio.Queue[Refusal] = asyncio.Queue(QUEUE_MAX)
        self._dropped = metrics.counter(
            "door_audit_dropped_total", "Refusals that were counted and not written."
        )

    def add(self, refusal: Refusal) -> None:
        """Take one refusal; beyond the queue it is only counted."""
        try:
            self._queue.put_nowait(refusal)
        except asyncio.QueueFull:
            self._dropped.inc()

    @asynccontextmanager
    async def writing(self) -> AsyncGenerator[None]:
        """Write beside a block; what is queued at its end is written too."""
        task = asyncio.create_task(self._run(), name="audit")
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            await self._write(self._waiting())

    def _waiting(self) -> list[Refusal]:
        batch: list[Refusal] = []
        while not self._queue.empty() and len(batch) < BATCH_MAX:
            batch.append(self._queue.get_nowait())
        return batch

    async def _run(self) -> None:
        while True:
            first = await self._queue.get()
            await self._write([first, *self._waiting()])
            await asyncio.sleep(PAUSE_SECONDS)

    async def _write(self, batch: list[Refusal]) -> None:
        if not batch:
            return
        try:
            await self._store.record(batch)
        except DataUnavailable:
            self._dropped.inc(len(batch))
        except Exception as error:
            self._dropped.inc(len(batch))
            log.exception("audit.failed", error)
