"""Writes the accounts behind the answers: in batches, from a bounded spool that outlives Postgres's absence.

A call's line and what it changes in budgets are one transaction, keyed by the call's id: repeated after an unclear
commit, it changes nothing.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from kit import logs
from kit.clock import Clock
from kit.pool import DataUnavailable, Pool
from kit.sql import load

from model_gateway.accounts.entry import Entry

log = logs.get(__name__)

QUERIES = load(Path(__file__).parent / "queries.sql")
SPOOL_MAX = 8192
BATCH_MAX = 200
PAUSE_SECONDS = 1.0
RETRY_SECONDS_MAX = 30.0
STOP_SECONDS = 3.0
KEPT_DAYS = 90
SUM_SECONDS = 3600.0
SUM_ROWS = 5000


class Accounts:
    """Takes entries at once and writes them soon. Run `keep` as a task, and `drain` at the end."""

    def __init__(self, pool: Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock
        self._spool: deque[Entry] = deque()
        self._there = asyncio.Event()
        self._summed_at = float("-inf")
        self.dropped = 0

    @property
    def waiting(self) -> int:
        """Entries that are not in Postgres yet."""
        return len(self._spool)

    def put(self, entry: Entry) -> None:
        """Take an entry. The oldest goes when the spool is full, and is counted."""
        if len(self._spool) >= SPOOL_MAX:
            self._spool.popleft()
            self._drop(1, "full")
        self._spool.append(entry)
        self._there.set()

    async def keep(self) -> None:
        """Write what is there, once a second at most, for ever; wait longer while Postgres is away."""
        failures = 0
        while True:
            if not self._spool:
                self._there.clear()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._there.wait(), SUM_SECONDS)
            try:
                await self.write()
                await self._sum()
                failures = 0
            except DataUnavailable:
                failures += 1
                log.warning("accounts.waiting", entries=len(self._spool))
            pause = PAUSE_SECONDS * 2 ** min(failures, 5)
            await self._clock.sleep(min(pause, RETRY_SECONDS_MAX))

    async def drain(self) -> None:
        """Write what is left, if Postgres is there."""
        with suppress(DataUnavailable, TimeoutError):
            async with asyncio.timeout(STOP_SECONDS):
                await self.write()
        if self._spool:
            self._drop(len(self._spool), "stopped")

    async def write(self) -> None:
        """Write what is in the spool now. Raises DataUnavailable; what is not written stays."""
        left = len(self._spool)
        # What comes meanwhile waits for the next round: batches stay batches in load.
        while left > 0 and self._spool:
            batch = [self._spool[index] for index in range(min(BATCH_MAX, left, len(self._spool)))]
            left -= len(batch)
            try:
                await self._write(batch)
            except DataUnavailable:
                raise
            except Exception as error:
                # A batch that Postgres refuses today it refuses tomorrow: it must not dam up all that follow.
                log.exception("accounts.refused", error, entries=len(batch))
                self._drop(len(batch), "refused")
            for entry in batch:
                # What was put meanwhile may have pushed the oldest out.
                if self._spool and self._spool[0] is entry:
                    self._spool.popleft()

    async def _write(self, batch: Sequence[Entry]) -> None:
        async with self._pool.own() as connection:
            changes = []
            for entry in batch:
                if await connection.fetchval(QUERIES.add_call, *entry.line) is not None:
                    changes += entry.corrections
            # In one order for everybody, so that two writers never wait for one another.
            changes.sort(key=lambda change: (change.day, change.budget, change.caller))
            for change in changes:
                await connection.execute(
                    QUERIES.settle,
                    change.day,
                    change.budget,
                    change.caller,
                    change.tokens,
                    change.cost_micros,
                )

    async def _sum(self) -> None:
        """Turn calls older than 90 days into daily sums, once an hour."""
        if self._clock.monotonic() - self._summed_at < SUM_SECONDS:
            return
        before = self._clock.now() - timedelta(days=KEPT_DAYS)
        summed = SUM_ROWS
        while summed == SUM_ROWS:
            async with self._pool.own() as connection:
                summed = await connection.fetchval(QUERIES.sum_old_calls, before, SUM_ROWS)
        async with self._pool.own() as connection:
            await connection.execute(QUERIES.forget_old_budgets, before.date())
        self._summed_at = self._clock.monotonic()

    def _drop(self, entries: int, why: str) -> None:
        self.dropped += entries
        log.error("accounts.dropped", entries=entries, why=why)
