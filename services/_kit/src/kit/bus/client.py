"""The bus: streams in Valkey, bounded, ids only. Publish, consume in groups, follow for live pages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from kit import trace
from kit.bus.consumer import Consumer
from kit.bus.message import Message, fields, stream_key
from kit.bus.streams import Streams
from kit.bus.tail import Fanout, Subscription
from kit.clock import Clock

if TYPE_CHECKING:
    from kit.metrics import Metrics

Handler = Callable[[Message], Awaitable[None]]
LENGTH_MAX = 10_000
_BLOCK_S = 10.0


@dataclass(frozen=True)
class Broker:
    """Where Valkey is and as whom a service logs in."""

    host: str
    user: str
    password: str = field(repr=False)
    port: int = 6379


class BusMetrics:
    """What the bus counts; topics and groups are words of the program."""

    def __init__(self, metrics: Metrics) -> None:
        by = ("topic", "group")
        self.handled = metrics.counter(
            "bus_handled_total", "Messages handled and acknowledged.", by
        )
        self.redelivered = metrics.counter(
            "bus_redelivered_total", "Messages delivered again after a crash.", by
        )
        self.dead = metrics.counter("bus_dead_total", "Messages given up and put aside.", by)
        self.lag = metrics.gauge("bus_lag_messages", "Messages not yet delivered to the group.", by)
        self.missed = metrics.counter(
            "bus_tail_missed_total", "Messages dropped for a slow follower.", ("topic",)
        )


class Bus:
    """One service's way to Valkey. Make it with `open`, which connects to nothing yet; end it with `close`."""

    def __init__(
        self, broker: Broker, *, clock: Clock, metrics: BusMetrics | None, length_max: int
    ) -> None:
        self._streams = Streams(broker)
        self._clock = clock
        self._metrics = metrics
        self._length_max = length_max
        self._fanouts: dict[str, Fanout] = {}

    @classmethod
    def open(
        cls,
        broker: Broker,
        *,
        clock: Clock | None = None,
        metrics: Metrics | None = None,
        length_max: int = LENGTH_MAX,
    ) -> Bus:
        """Return a bus at once, also while Valkey is away: each call says so itself."""
        counted = BusMetrics(metrics) if metrics is not None else None
        return cls(broker, clock=clock or Clock(), metrics=counted, length_max=length_max)

    async def close(self) -> None:
        """Return when followers have ended and connections are closed."""
        for fanout in list(self._fanouts.values()):
            await fanout.stop()
        await self._streams.aclose()

    async def __aenter__(self) -> Bus:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def ping(self) -> None:
        """Return if Valkey answers. Raises BusUnavailable, BusDenied."""
        await self._streams.ping()

    async def publish(
        self,
        topic: str,
        payload: Any,
        *,
        event_id: UUID | None = None,
        traceparent: str | None = None,
    ) -> UUID:
        """Add one event and return its id. It is in the stream once this returns.

        Raises ContentRefused unless it is ids and short words, BusFull, BusUnavailable, BusDenied. After
        BusUnavailable it may or may not be there: publish again under the same `event_id`, consumers see it once.
        """
        event_id = event_id or uuid4()
        entry = fields(payload, event_id, traceparent or trace.outgoing())
        await self._streams.add(stream_key(topic), entry, self._length_max)
        return event_id

    async def consume(
        self,
        topic: str,
        group: str,
        consumer: str,
        handler: Handler,
        *,
        tries_max: int = 5,
        batch: int = 16,
        handler_s_max: float = 30.0,
        claim_idle_s: float = 60.0,
        from_start: bool = True,
    ) -> None:
        """Hand every message of `topic` to `handler`, one at a time, until cancelled.

        A message is acknowledged after `handler` returns, so a crash delivers it again: guard with `once`.
        A handler that raises is tried `tries_max` times, `claim_idle_s` apart, and then the message goes to the
        stream `<group>:dead:<topic>` with the reason. A handler that raises a 503 KitError waits for what it
        needs and loses no try. `from_start` says where a new group begins.
        """
        if claim_idle_s <= handler_s_max:
            raise ValueError(
                "claim_idle_s must exceed handler_s_max: a message still being handled would be claimed"
            )
        await Consumer(
            streams=self._streams,
            clock=self._clock,
            metrics=self._metrics,
            topic=topic,
            group=group,
            name=consumer,
            handler=handler,
            tries_max=tries_max,
            batch=batch,
            handler_s_max=handler_s_max,
            claim_idle_s=claim_idle_s,
            block_s=min(_BLOCK_S, claim_idle_s),
            from_start=from_start,
        ).run()

    @asynccontextmanager
    async def tail(self, topic: str) -> AsyncGenerator[Subscription]:
        """Follow `topic` from now on: `async with bus.tail("x.v1") as events: async for message in events: ...`

        However many follow, Valkey is read once. A follower that does not keep up loses the oldest messages,
        and `events.missed` says how many.
        """
        fanout = self._fanouts.get(topic)
        if fanout is None or fanout.ended:
            missed = self._metrics.missed.labels(topic).inc if self._metrics else None
            fanout = self._fanouts[topic] = Fanout(
                self._streams, topic, self._clock, _BLOCK_S, missed
            )
        subscription = await fanout.subscribe()
        try:
            yield subscription
        finally:
            await asyncio.shield(fanout.unsubscribe(subscription))

    async def lag(self, topic: str, group: str) -> int:
        """Return how many messages `group` has not been handed yet. Raises BusUnavailable, BusDenied."""
        return await self._streams.lag(stream_key(topic), group)
