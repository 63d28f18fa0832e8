"""Writes later what can wait: the decision goes on while Postgres is away, and what waits for it is bounded.

Peaks, orders, ended and renewed leases are kept by name, the last word of each; the journal and the cards' minutes drop
their oldest. A lease's grant is not written here: it is kept before its holder hears of it.
"""

from __future__ import annotations

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
                # A row that the database refuses must not keep all others from being written.
                log.exception("keeping.broke", error)
                self._drop_first()
            self._numbers.unwritten(self.waiting)

    async def write(self) -> None:
        """Write what waits now. Raises DataUnavailable; what was not written still waits."""
        if orders := dict(self._orders):
            await self._store.keep_orders(orders)
            _forget_written(self._orders, orders)
        if peaks := dict(self._peaks):
            await self._store.keep_peaks(peaks)
            _forget_written(self._peaks, peaks)
        if words := dict(self._words):
            await self._store.keep_words(words)
            _forget_written(self._words, words)
        await self._by_name(self._renewed, self._store.renew_leases)
        await self._by_name(self._ended, self._store.end_leases)
        while self._decided:
            rows = [self._decided[i] for i in range(min(BATCH_MAX, len(self._decided)))]
            await self._store.keep_decisions(self.epoch, rows)
            _pop(self._decided, rows)
        while self._minutes:
            batch = [self._minutes[i] for i in range(min(BATCH_MAX, len(self._minutes)))]
            await self._store.keep_minutes(batch)
            _pop(self._minutes, batch)
        now = self._clock.monotonic()
        if self._forgot_at is None or now - self._forgot_at >= FORGET_SECONDS:
            await self._store.forget(self._days)
            self._forgot_at = now

    async def _by_name(
        self, waiting: dict[str, None], write: Callable[[list[str]], Awaitable[None]]
    ) -> None:
        if names := list(waiting):
            await write(names)
            for name in names:
                waiting.pop(name, None)

    def _drop_first(self) -> None:
        for rows in (self._decided, self._minutes):
            if rows:
                rows.popleft()
                self._numbers.dropped("refused_row")


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
