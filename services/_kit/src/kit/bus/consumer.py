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
from typing import TYPE_CHECKING, Any

from kit import logs, trace
from kit.bus.errors import BusFull, BusUnavailable, coded, stop_if_cancelled
from kit.bus.message import Message, dead_key, parse, stream_key
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

    commands: Any
    readers: Any
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
            stop_if_cancelled()
            try:
                if not started:
                    await self._create_group()
                    # What this very name was handed before a restart is its own to finish, at once.
                    await self._handle_own()
                    started = True
                await self._claim_when_due()
                await self._handle_new()
                pause_s = _PAUSE_S_MIN
            except (BusUnavailable, BusFull) as error:
                log.warning(
                    "bus.waiting",
                    topic=self.topic,
                    group=self.group,
                    code=error.code,
                    seconds=pause_s,
                )
                await self.clock.sleep(pause_s)
                pause_s = min(pause_s * 2, _PAUSE_S_MAX)
                # Valkey may have come back without its data, and so without the group.
                started = False

    async def _create_group(self) -> None:
        from redis.exceptions import ResponseError

        try:
            with coded():
                await self.commands.xgroup_create(
                    self._stream, self.group, id="0" if self.from_start else "$", mkstream=True
                )
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise

    async def _handle_own(self) -> None:
        after = "0"
        while True:
            with coded():
                answer = await self.commands.xreadgroup(
                    self.group, self.name, {self._stream: after}, count=self.batch
                )
            entries = answer[0][1] if answer else []
            if not entries:
                return
            after = entries[-1][0]
            await self._handle_again(entries)

    async def _claim_when_due(self) -> None:
        if self.clock.monotonic() < self._claim_at:
            return
        start = "0-0"
        while True:
            with coded():
                start, entries, *_ = await self.commands.xautoclaim(
                    self._stream,
                    self.group,
                    self.name,
                    int(self.claim_idle_s * 1000),
                    start,
                    count=self.batch,
                )
            await self._handle_again(entries)
            if start == "0-0":
                break
        await self._measure_lag()
        self._claim_at = self.clock.monotonic() + self.claim_idle_s / 2

    async def _handle_new(self) -> None:
        from redis.exceptions import ResponseError

        try:
            with coded():
                answer = await self.readers.xreadgroup(
                    self.group,
                    self.name,
                    {self._stream: ">"},
                    count=self.batch,
                    block=int(self.block_s * 1000),
                )
        except ResponseError as error:
            if str(error).startswith("NOGROUP"):
                raise BusUnavailable() from error
            raise
        for entry_id, entry in answer[0][1] if answer else []:
            await self._handle(entry_id, entry, 1)

    async def _handle_again(self, entries: list[tuple[str, dict[str, str] | None]]) -> None:
        if not entries:
            return
        with coded():
            pending = await self.commands.xpending_range(
                self._stream,
                self.group,
                min=entries[0][0],
                max=entries[-1][0],
                count=self.batch * 4,
            )
        deliveries = {found["message_id"]: int(found["times_delivered"]) for found in pending}
        for entry_id, entry in entries:
            if self.metrics:
                self.metrics.redelivered.labels(self.topic, self.group).inc()
            await self._handle(entry_id, entry, deliveries.get(entry_id, self.tries_max))

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
                log.warning("bus.handler_waiting", code=error.code, seconds=pause_s, **where)
            await self.clock.sleep(pause_s)
            pause_s = min(pause_s * 2, _PAUSE_S_MAX)
            with coded():
                # Still ours, just touched, and the try is taken back: an outage must not make dead letters.
                await self.commands.xclaim(
                    self._stream,
                    self.group,
                    self.name,
                    min_idle_time=0,
                    message_ids=[message.entry_id],
                    retrycount=message.deliveries,
                    justid=True,
                )

    async def _acknowledge(self, entry_id: str) -> None:
        with coded():
            await self.commands.xack(self._stream, self.group, entry_id)

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
        with coded():
            # Both or neither: a letter without its acknowledgement would come again.
            async with self.commands.pipeline(transaction=True) as pipeline:
                pipeline.xadd(self._dead, letter, maxlen=DEAD_LENGTH_MAX, approximate=True)
                pipeline.xack(self._stream, self.group, entry_id)
                await pipeline.execute()
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

    async def _measure_lag(self) -> None:
        if self.metrics is None:
            return
        with coded():
            groups = await self.commands.xinfo_groups(self._stream)
        lag = next((found["lag"] or 0 for found in groups if found["name"] == self.group), 0)
        self.metrics.lag.labels(self.topic, self.group).set(lag)
