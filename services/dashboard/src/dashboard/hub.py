"""From the house's streams to the browsers: one reader of the bus, many bounded queues."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import UUID

from contracts.memory import CHANGED_TOPIC
from contracts.scheduling import STATE_TOPIC as CARDS_TOPIC
from contracts.system import STATE_TOPIC
from kit import logs
from kit.bus import Bus
from kit.clock import Clock

log = logs.get(__name__)

# A browser that reads this slowly is told to ask again instead of being fed from memory.
QUEUE_MAX = 64
BACKOFF_SECONDS_MAX = 15.0
CARDS_KEYS = ("nodes_up", "queued", "running", "leases", "paused")

EventName = Literal["memory.changed", "system.state", "inference.changed"]
NAMES: dict[str, EventName] = {
    CHANGED_TOPIC: "memory.changed",
    STATE_TOPIC: "system.state",
    CARDS_TOPIC: "inference.changed",
}


@dataclass(frozen=True)
class Event:
    """What one browser is told: ids and short words, never content."""

    name: EventName
    data: dict[str, Any]


def translate(topic: str, payload: dict[str, Any]) -> tuple[UUID | None, Event]:
    """Return for whom a bus message is (None: everybody who is signed in) and what they are told of it."""
    if topic == CHANGED_TOPIC:
        data = {key: payload[key] for key in ("memory_id", "change", "tier")}
        return UUID(str(payload["subject_id"])), Event("memory.changed", data)
    if topic == CARDS_TOPIC:
        # How much waits and runs; what it is, the page asks for.
        return None, Event("inference.changed", {key: payload.get(key) for key in CARDS_KEYS})
    return None, Event(
        "system.state", {key: payload.get(key) for key in ("name", "state", "health")}
    )


@dataclass(eq=False)
class Listener:
    """One open event stream."""

    subject: UUID
    queue: asyncio.Queue[Event] = field(default_factory=lambda: asyncio.Queue(QUEUE_MAX))

    def offer(self, event: Event) -> None:
        """Queue an event; when the queue is full, all of it becomes "ask again"."""
        try:
            self.queue.put_nowait(event)
        except asyncio.QueueFull:
            while not self.queue.empty():
                self.queue.get_nowait()
            for name in NAMES.values():
                self.queue.put_nowait(Event(name, {"missed": True}))


class Hub:
    """Fans the bus out to listeners, each of whom sees only what concerns them."""

    def __init__(self, bus: Bus, clock: Clock | None = None) -> None:
        self._bus = bus
        self._clock = clock or Clock()
        self._listeners: set[Listener] = set()

    @contextmanager
    def listening(self, subject: UUID) -> Iterator[Listener]:
        """Receive events for `subject` during a block."""
        listener = Listener(subject)
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    def deliver(self, topic: str, payload: dict[str, Any]) -> None:
        """Give one bus message to every listener whom it concerns."""
        try:
            subject, event = translate(topic, payload)
        except (KeyError, ValueError):
            log.warning("hub.unreadable", topic=topic)
            return
        for listener in self._listeners:
            if subject is None or listener.subject == subject:
                listener.offer(event)

    def missed(self, topic: str) -> None:
        """Tell every listener that events of `topic` may have been lost."""
        for listener in self._listeners:
            listener.offer(Event(NAMES[topic], {"missed": True}))

    async def run(self) -> None:
        """Read every topic until cancelled."""
        async with asyncio.TaskGroup() as group:
            for topic in NAMES:
                group.create_task(self._read(topic), name=f"hub-{topic}")

    async def _read(self, topic: str) -> None:
        # kit's tail mends a lost connection by itself and resumes where it was. It ends only on what no waiting
        # mends (a refused stream), and then what came meanwhile is unknown.
        pause = 1.0
        while True:
            async with self._bus.tail(topic) as events:
                async for message in events:
                    pause = 1.0
                    self.deliver(topic, message.payload)
            log.warning("hub.tail_ended", topic=topic, seconds=pause)
            await self._clock.sleep(pause)
            pause = min(pause * 2, BACKOFF_SECONDS_MAX)
            self.missed(topic)
