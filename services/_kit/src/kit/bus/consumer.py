"""One member of a consumer group: reads, hands over, acknowledges, claims what a dead member left, gives up.

What is done with one message, in this order:
  1. not one of ours                      -> dead letter, at once
  2. delivered more often than allowed    -> dead letter: it ends the process that touches it
  3. handled                              -> acknowledge
  4. what the handler needs is away (503) -> wait, take the try back, from 3
  5. the handler failed                   -> leave it pending; it is claimed again after `claim_idle_s`
  6. failed for the last time             -> dead letter
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kit import logs, trace
from kit.bus.errors import BusFull, BusUnavailable
from kit.bus.message import Message, dead_key, parse, stream_key
from kit.bus.streams import Entry, NoGroup, Streams
from kit.clock import Clock
from kit.errors import KitError

if TYPE_CHECKING:
    from kit.bus.client import BusMetrics

log = logs.get(__name__)
DEAD_LENGTH_MAX = 1000
_PAUSE_S_MIN, _PAUSE_S_MAX = 0.25, 10.0


@dataclass(kw_only=True)
class Consumer:
    """See `Bus.consume`, which makes it."""

    streams: Streams
    clock: Clock
    metrics: BusMetrics | None
    topic: str
    group: str
    name: str
    handler: Callable[[Message], Awaitable[None]]
    tries_max: int
    batch: int
    handler_s_max: float
    claim_idle_s: float
    block_s: float
    from_start: bool

    def __post_init__(self) -> None:
        self._stream = stream_key(self.topic)
        self._dead = dead_key(self.topic, self.group)
        self._claim_at = 0.0

    async def run(self) -> None:
        """Consume until cancelled, over every restart of Valkey."""
        pause_s = _PAUSE_S_MIN
        started = False
        while True:
            try:
                if not started:
                    await self._create_group()
                    # What this very name was handed before a restart is its own to finish, at once.
                    await self._handle_own()
                    started = True
                await self._claim_when_due()
                await self._handle_new()
                pause_s = _PAUSE_S_MIN
            except (BusUnavailable, BusFull, NoGroup) as error:
                log.warning(
                    "bus.waiting",
                    topic=self.topic,
                    group=self.group,
                    code=getattr(error, "code", "no group"),
                    seconds=pause_s,
                )
                await self.clock.sleep(pause_s)
                pause_s = min(pause_s * 2, _PAUSE_S_MAX)
                # Valkey may have come back without its data, and so without the group.
                started = False

    async def _create_group(self) -> None:
        await self.streams.create_group(self._stream, self.group, "0" if self.from_start else "$")

    async def _handle_own(self) -> None:
        after = "0"
        while True:
            entries = await self.streams.read_group(
                self._stream, self.group, self.name, after, self.batch
            )
            if not entries:
                return
            after = entries[-1][0]
            await self._handle_again(entries)

    async def _claim_when_due(self) -> None:
        if self.clock.monotonic() < self._claim_at:
            return
        start = "0-0"
        while True:
            start, entries = await self.streams.claim_idle(
                self._stream, self.group, self.name, self.claim_idle_s, start, self.batch
            )
            await self._handle_again(entries)
            if start == "0-0":
                break
        if self.metrics:
            lag = await self.streams.lag(self._stream, self.group)
            self.metrics.lag.labels(self.topic, self.group).set(lag)
        self._claim_at = self.clock.monotonic() + self.claim_idle_s / 2

    async def _handle_new(self) -> None:
        entries = await self.streams.read_group(
            self._stream, self.group, self.name, ">", self.batch, self.block_s
        )
        for entry_id, entry in entries:
            await self._handle(entry_id, entry, 1)

    async def _handle_again(self, entries: list[Entry]) -> None:
        if not entries:
            return
        deliveries = await self.streams.deliveries(
            self._stream, self.group, self.name, entries[0][0], entries[-1][0]
        )
        for entry_id, entry in entries:
            if self.metrics:
                self.metrics.redelivered.labels(self.topic, self.group).inc()
            await self._handle(entry_id, entry, deliveries.get(entry_id, 1))

    async def _handle(self, entry_id: str, entry: dict[str, str] | None, deliveries: int) -> None:
        if not entry:
            # Trimmed from the stream while it was pending: there is nothing left to deliver.
            await self._acknowledge(entry_id)
            return
        try:
            message = parse(self.topic, entry_id, entry, deliveries)
        except ValueError:
            await self._give_up(entry_id, entry, deliveries, "malformed")
            return
        if deliveries > self.tries_max:
            await self._give_up(entry_id, entry, deliveries, "tries exhausted")
            return
        with trace.use(trace.parse(message.traceparent)):
            failure = await self._try(message)
            if failure is None:
                await self._acknowledge(entry_id)
                if self.metrics:
                    self.metrics.handled.labels(self.topic, self.group).inc()
            elif deliveries >= self.tries_max:
                await self._give_up(entry_id, entry, deliveries, failure)

    async def _try(self, message: Message) -> str | None:
        """Hand `message` over until it is handled (None) or its handler failed (why)."""
        pause_s = _PAUSE_S_MIN
        where = {"topic": self.topic, "group": self.group, "event_id": str(message.event_id)}
        while True:
            try:
                async with asyncio.timeout(self.handler_s_max):
                    await self.handler(message)
                return None
            except Exception as error:
                if not (isinstance(error, KitError) and error.status == 503):
                    log.exception(
                        "bus.handler_failed", error, deliveries=message.deliveries, **where
                    )
                    return str(getattr(error, "code", type(error).__name__))
                log.warning(
                    "bus.handler_waiting",
                    code=getattr(error, "code", "no group"),
                    seconds=pause_s,
                    **where,
                )
            await self.clock.sleep(pause_s)
            pause_s = min(pause_s * 2, _PAUSE_S_MAX)
            # Still ours, just touched, and the try is taken back: an outage must not make dead letters.
            await self.streams.keep(
                self._stream, self.group, self.name, message.entry_id, message.deliveries
            )

    async def _acknowledge(self, entry_id: str) -> None:
        await self.streams.acknowledge(self._stream, self.group, entry_id)

    async def _give_up(
        self, entry_id: str, entry: dict[str, str], deliveries: int, reason: str
    ) -> None:
        letter = {
            "entry_id": entry_id,
            "deliveries": str(deliveries),
            "reason": reason[:128],
            **{
                key: entry[key][:8192]
                for key in ("event_id", "traceparent", "data")
                if key in entry
            },
        }
        # With its acknowledgement, both or neither: a letter alone would come again.
        await self.streams.bury(
            self._stream, self.group, entry_id, self._dead, letter, DEAD_LENGTH_MAX
        )
        if self.metrics:
            self.metrics.dead.labels(self.topic, self.group).inc()
        log.error(
            "bus.dead_letter",
            topic=self.topic,
            group=self.group,
            entry_id=entry_id,
            reason=reason,
            tries=deliveries,
        )
