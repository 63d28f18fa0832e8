"""Following a topic from now on: one reader per topic and process, and a bounded queue per follower."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable

from kit import logs
from kit.bus.errors import BusUnavailable
from kit.bus.message import Message, parse, stream_key
from kit.bus.streams import Streams
from kit.clock import Clock

log = logs.get(__name__)
QUEUE_MAX = 256
_BATCH = 64
_PAUSE_S_MIN, _PAUSE_S_MAX = 0.25, 10.0


class Subscription:
    """One follower's messages, in order. Iterate it; it ends when the bus is closed."""

    def __init__(self, dropped: Callable[[], None] | None) -> None:
        self._queue: deque[Message] = deque()
        self._wake = asyncio.Event()
        self._dropped = dropped
        self._ended = False
        self.missed = 0
        # Whether the last look at the stream succeeded, and how often one did not: who keeps copies by these
        # messages must not trust them while nothing can arrive.
        self.live = False
        self.losses = 0

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> Message:
        while not self._queue:
            if self._ended:
                raise StopAsyncIteration
            self._wake.clear()
            await self._wake.wait()
        return self._queue.popleft()

    def offer(self, message: Message) -> None:
        """Take a message; when the queue is full the oldest one goes, since a live page wants the newest."""
        if len(self._queue) >= QUEUE_MAX:
            self._queue.popleft()
            self.missed += 1
            if self._dropped:
                self._dropped()
        self._queue.append(message)
        self._wake.set()

    @property
    def ended(self) -> bool:
        """Whether nothing more will arrive."""
        return self._ended

    def end(self) -> None:
        """Let the iteration finish once the queue is empty."""
        self._ended = True
        self._wake.set()


class Fanout:
    """Reads one topic once and offers each message to every follower; runs while there is any."""

    def __init__(
        self,
        streams: Streams,
        topic: str,
        clock: Clock,
        block_s: float,
        dropped: Callable[[], None] | None,
    ) -> None:
        self._streams = streams
        self._topic = topic
        self._stream = stream_key(topic)
        self._clock = clock
        self._block_s = block_s
        self._dropped = dropped
        self._followers: set[Subscription] = set()
        self._task: asyncio.Task[None] | None = None
        self._last_id: str | None = None
        self._positioned = asyncio.Event()
        self.ended = False

    async def subscribe(self) -> Subscription:
        """Return a subscription that misses nothing published from here on. Waits for Valkey 3 s at most."""
        subscription = Subscription(self._dropped)
        self._followers.add(subscription)
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=f"tail {self._topic}")
        # While Valkey is away a live page still opens; it begins with whatever comes first.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._positioned.wait(), 3.0)
        return subscription

    async def unsubscribe(self, subscription: Subscription) -> None:
        """Forget a follower; with the last one the reading stops."""
        self._followers.discard(subscription)
        if not self._followers:
            await self.stop()

    async def stop(self) -> None:
        """End the reading and every subscription."""
        self.ended = True
        for follower in self._followers:
            follower.end()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        pause_s = _PAUSE_S_MIN
        while True:
            try:
                await self._read()
                pause_s = _PAUSE_S_MIN
            except BusUnavailable:
                for follower in self._followers:
                    follower.live = False
                    follower.losses += 1
                log.warning("bus.tail_waiting", topic=self._topic, seconds=pause_s)
                await self._clock.sleep(pause_s)
                pause_s = min(pause_s * 2, _PAUSE_S_MAX)
            except asyncio.CancelledError:
                raise
            except Exception as error:
                # Nobody awaits this task before the last follower leaves: say it, and let the followers end.
                log.exception("bus.tail_failed", error, topic=self._topic)
                self.ended = True
                self._positioned.set()
                for follower in self._followers:
                    follower.end()
                return

    async def _read(self) -> None:
        if self._last_id is None:
            # `$` would be resolved anew by each read, and lose what arrives between two of them.
            self._last_id = await self._streams.newest_id(self._stream)
            self._positioned.set()
        for follower in self._followers:
            follower.live = True
        entries = await self._streams.read(self._stream, self._last_id, _BATCH, self._block_s)
        for entry_id, entry in entries:
            self._last_id = entry_id
            try:
                message = parse(self._topic, entry_id, entry or {})
            except ValueError:
                log.warning("bus.tail_malformed", topic=self._topic, entry_id=entry_id)
                continue
            for follower in self._followers:
                follower.offer(message)
