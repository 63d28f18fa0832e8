"""The one desk where recordings are heard: one at a time on a thread of its own, the others wait in line, bounded."""

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass

from kit import logs
from kit.clock import Clock
from kit.errors import KitError

from transcriber.errors import TranscriberBusy, TranscriberFailed
from transcriber.model import Heard, Model, Recording, Wanted
from transcriber.sound import decode

log = logs.get(__name__)

End = KitError | None


@dataclass(frozen=True)
class Listening:
    """A recording that is being heard."""

    recording: Recording
    heard: AsyncIterator[Heard]


class Desk:
    """Takes recordings. The thread does everything that blocks: decoding, loading, listening, unloading."""

    def __init__(
        self, model: Model, clock: Clock, *, waiting_max: int, idle_seconds: int, seconds_max: float
    ) -> None:
        self._model = model
        self._clock = clock
        self._waiting_max = waiting_max
        self._idle_seconds = idle_seconds
        self._seconds_max = seconds_max
        self._turn = asyncio.Lock()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="listen")
        self._idle_since = clock.monotonic()
        self.waiting = 0

    @property
    def awake(self) -> bool:
        """Whether the model is in memory."""
        return self._model.awake

    @property
    def busy(self) -> bool:
        """Whether a recording is being heard."""
        return self._turn.locked()

    async def keep(self) -> None:
        """Put the model away whenever nothing was asked for long enough, for ever."""
        if self._idle_seconds < 0:
            return
        while True:
            left = self._idle_since + self._idle_seconds - self._clock.monotonic()
            if left > 0 or self.waiting or self.busy or not self._model.awake:
                await self._clock.sleep(max(left, 1.0))
                continue
            async with self._turn:
                await asyncio.get_running_loop().run_in_executor(self._thread, self._model.sleep)

    @asynccontextmanager
    async def listen(self, data: bytearray, wanted: Wanted) -> AsyncGenerator[Listening]:
        """Hold the desk during the block. Raises TranscriberBusy at once, and what decode and hear raise.

        Leaving the block early ends the listening after the window in hand: thirty seconds of sound at most.
        """
        if self._turn.locked() and self.waiting >= self._waiting_max:
            raise TranscriberBusy(Retry_After="5")
        self.waiting += 1
        try:
            await self._turn.acquire()
        finally:
            self.waiting -= 1
        stop = threading.Event()
        work: asyncio.Future[None] | None = None
        try:
            began: asyncio.Future[Recording] = asyncio.get_running_loop().create_future()
            heard: asyncio.Queue[Heard | End] = asyncio.Queue()
            job = _Job(self._model, data, wanted, self._seconds_max, stop, began, heard)
            work = asyncio.get_running_loop().run_in_executor(self._thread, job.run)
            yield Listening(await began, _taken(heard))
        finally:
            stop.set()
            self._idle_since = self._clock.monotonic()
            if work is None:
                self._turn.release()
            else:
                # The thread is free only when the window in hand is over; nobody has to wait for that but the next.
                work.add_done_callback(lambda _: self._turn.release())

    def close(self) -> None:
        """Let the window in hand finish, drop the rest, and free the model."""
        self._thread.shutdown(wait=True, cancel_futures=True)
        self._model.sleep()


@dataclass(frozen=True)
class _Job:
    """One recording, on the thread. Whatever it meets ends in `began` or `heard`, never in the thread."""

    model: Model
    data: bytearray
    wanted: Wanted
    seconds_max: float
    stop: threading.Event
    began: "asyncio.Future[Recording]"
    heard: "asyncio.Queue[Heard | End]"

    def run(self) -> None:
        """Listen from beginning to end, or until `stop`."""
        end: End = None
        try:
            if not self.stop.is_set():
                self._listen()
        except KitError as error:
            end = error
        except Exception as error:
            # A library's own error must reach the caller as one of ours.
            log.exception("listening.failed", error)
            end = TranscriberFailed()
        self._say(self._ended, end)

    def _listen(self) -> None:
        sound = decode(self.data, self.seconds_max)
        recording, segments = self.model.hear(sound, self.wanted)
        self._say(self._begin, recording)
        for one in segments:
            if self.stop.is_set():
                return
            self._say(self.heard.put_nowait, one)

    def _begin(self, recording: Recording) -> None:
        if not self.began.done():
            self.began.set_result(recording)

    def _ended(self, end: End) -> None:
        if not self.began.done():
            self.began.set_exception(end or TranscriberFailed())
            # Whoever asked may be gone: an exception that nobody takes is not worth a line in the log.
            self.began.exception()
        self.heard.put_nowait(end)

    def _say(self, what: object, *arguments: object) -> None:
        loop = self.began.get_loop()
        if not loop.is_closed():
            loop.call_soon_threadsafe(what, *arguments)  # type: ignore[arg-type]


async def _taken(heard: "asyncio.Queue[Heard | End]") -> AsyncIterator[Heard]:
    while True:
        one = await heard.get()
        if isinstance(one, KitError):
            raise one
        if one is None:
            return
        yield one
