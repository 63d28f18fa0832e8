"""Writes later what can wait: the decision goes on while Postgres is away, and what waits for it is bounded.

Peaks, orders, ended and renewed leases are kept by name, the last word of each; the journal and the cards' minutes drop
their oldest. A lease's grant is not written here: it is kept before its holder hears of it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from kit import logs
from kit.clock import Clock
from kit.errors import KitError

from gpu_scheduler.numbers import Numbers
from gpu_scheduler.store import Decided, Minute, PeakKey, Store

log = logs.get(__name__)

WRITE_SECONDS = 1.0
ORDER_SECONDS_MAX = 1.0
RETRY_SECONDS_MAX = 15.0
FORGET_SECONDS = 3600.0
NAMES_MAX = 4096
ROWS_MAX = 2000
BATCH_MAX = 500
K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")


class Keeper:
    """What waits to be written. Everything but `run` returns at once."""

    def __init__(self, store: Store, clock: Clock, numbers: Numbers, days: int) -> None:
        self._store = store
        self._clock = clock
        self._numbers = numbers
        self._days = days
        self.epoch = 0
        self._peaks: dict[PeakKey, int] = {}
        self._orders: dict[tuple[str, str], bool] = {}
        self._words: dict[str, Any] = {}
        self._renewed: dict[str, None] = {}
        self._ended: dict[str, None] = {}
        self._decided: deque[Decided] = deque(maxlen=ROWS_MAX)
        self._minutes: deque[Minute] = deque(maxlen=ROWS_MAX)
        self._forgot_at: float | None = None

    @property
    def waiting(self) -> int:
        """How many rows wait."""
        kept = (self._peaks, self._orders, self._words, self._renewed, self._ended)
        return sum(map(len, kept)) + len(self._decided) + len(self._minutes)

    def peak(self, key: PeakKey, mib: int) -> None:
        """Keep a measured peak."""
        if key in self._peaks or len(self._peaks) < NAMES_MAX:
            self._peaks[key] = max(mib, self._peaks.get(key, 0))

    def order(self, kind: str, name: str, enabled: bool) -> None:
        """Keep a standing order."""
        if (kind, name) in self._orders or len(self._orders) < NAMES_MAX:
            self._orders[kind, name] = enabled

    def word(self, node: str, said: Any) -> None:
        """Keep what a node said last."""
        self._words[node] = said

    def renewed(self, lease: str) -> None:
        """Keep that a lease's holder lives."""
        if len(self._renewed) < NAMES_MAX:
            self._renewed[lease] = None

    def ended(self, lease: str) -> None:
        """Keep that a lease is over."""
        self._renewed.pop(lease, None)
        if len(self._ended) < NAMES_MAX:
            self._ended[lease] = None

    def decided(self, decision: Decided) -> None:
        """Keep a decision."""
        if len(self._decided) == ROWS_MAX:
            self._numbers.dropped("decision")
        self._decided.append(decision)

    def minute(self, minute: Minute) -> None:
        """Keep a minute of a card."""
        if len(self._minutes) == ROWS_MAX:
            self._numbers.dropped("card_minute")
        self._minutes.append(minute)

    async def run(self) -> None:
        """Write until cancelled, over every restart of Postgres."""
        pause = WRITE_SECONDS
        away = False
        while True:
            await self._clock.sleep(pause)
            try:
                await self.write()
                pause, away = WRITE_SECONDS, False
            except KitError as error:
                if not away:
                    log.warning("keeping.put_off", code=error.code, waiting=self.waiting)
                away, pause = True, min(pause * 2, RETRY_SECONDS_MAX)
            except Exception as error:
                log.exception("keeping.broke", error)
            self._numbers.unwritten(self.waiting)

    async def orders_now(self) -> None:
        """Write standing orders at once, so that no crash in the next second forgets a brake. It may fail: it is repeated."""
        with contextlib.suppress(KitError, TimeoutError):
            async with asyncio.timeout(ORDER_SECONDS_MAX):
                await self._by_key("order", self._orders, self._store.keep_orders)

    async def write(self) -> None:
        """Write what waits now. Raises DataUnavailable; what was not written still waits."""
        store = self._store
        await self._by_key("order", self._orders, store.keep_orders)
        await self._by_key("peak", self._peaks, store.keep_peaks)
        await self._by_key("word", self._words, store.keep_words)
        await self._by_key("renewed", self._renewed, lambda names: store.renew_leases(list(names)))
        await self._by_key("ended", self._ended, lambda names: store.end_leases(list(names)))
        await self._rows(
            "decision", self._decided, lambda rows: store.keep_decisions(self.epoch, rows)
        )
        await self._rows("card_minute", self._minutes, store.keep_minutes)
        now = self._clock.monotonic()
        if self._forgot_at is None or now - self._forgot_at >= FORGET_SECONDS:
            await store.forget(self._days)
            self._forgot_at = now

    async def _by_key(
        self, kind: str, waiting: dict[K, V], write: Callable[[dict[K, V]], Awaitable[None]]
    ) -> None:
        if batch := dict(waiting):
            await self._one_by_one(
                kind, list(batch), lambda keys: write({key: batch[key] for key in keys})
            )
            _forget_written(waiting, batch)

    async def _rows(
        self, kind: str, waiting: deque[T], write: Callable[[list[T]], Awaitable[None]]
    ) -> None:
        while waiting:
            batch = [waiting[i] for i in range(min(BATCH_MAX, len(waiting)))]
            await self._one_by_one(kind, batch, write)
            _pop(waiting, batch)

    async def _one_by_one(
        self, kind: str, batch: list[T], write: Callable[[list[T]], Awaitable[None]]
    ) -> None:
        """Write a batch. What the database refuses of it is given up alone, and keeps nothing else from being written."""
        try:
            await write(batch)
        except KitError:
            raise
        except Exception as error:
            if len(batch) > 1:
                for part in (batch[: len(batch) // 2], batch[len(batch) // 2 :]):
                    await self._one_by_one(kind, part, write)
                return
            log.exception("keeping.refused", error, kind=kind)
            self._numbers.dropped(kind)


def _forget_written(waiting: dict[K, V], written: dict[K, V]) -> None:
    for key, value in written.items():
        # Whatever was said meanwhile is written the next time.
        if waiting.get(key) == value:
            del waiting[key]


def _pop(rows: deque[T], written: list[T]) -> None:
    # The oldest may have been dropped while they were written.
    for row in written:
        if rows and rows[0] is row:
            rows.popleft()
