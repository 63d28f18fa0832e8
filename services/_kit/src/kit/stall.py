"""Notices a worker that takes no jobs although there are some, and ends it: what starts it again connects anew.

Celery's client loses its place when Valkey is killed while a job's thread acknowledges: the thread meets the broken
connection first, the main loop is never told that it broke, and waits on it for ever. Its loop turns and its heart beats.
"""

from __future__ import annotations

import asyncio
import os
import threading
from typing import TYPE_CHECKING, NoReturn

from kit import logs
from kit.bus.resp import Client, Lost, ReplyError

if TYPE_CHECKING:
    from kit.bus import Broker

log = logs.get(__name__)
EXIT_STALLED = 75  # EX_TEMPFAIL of sysexits.h
LOOK_SECONDS = 5.0
STALLED_SECONDS = 30.0
_COMMAND_SECONDS = 3.0


class Tally:
    """How many jobs a worker has begun, and how many are running. Counted from the threads that run them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.begun = 0
        self.running = 0

    def __enter__(self) -> Tally:
        with self._lock:
            self.begun += 1
            self.running += 1
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self.running -= 1


class Stall:
    """Decides when a worker has stalled. No I/O."""

    def __init__(self, seconds_max: float = STALLED_SECONDS) -> None:
        self._seconds_max = seconds_max
        self._begun = -1
        self._since: float | None = None

    def seen(self, waiting: int | None, begun: int, running: int, now: float) -> bool:
        """Return True once jobs have waited for `seconds_max` while none ran and none was begun.

        `waiting` is None when the broker did not say: then nobody could take a job, and the clock starts anew.
        """
        if not waiting or running or begun != self._begun:
            self._begun, self._since = begun, None
            return False
        if self._since is None:
            self._since = now
        return now - self._since >= self._seconds_max


async def watch(
    broker: Broker,
    queue: str,
    tally: Tally,
    seconds_max: float = STALLED_SECONDS,
) -> None:
    """Look at the queue every few seconds until cancelled; end the process when the worker has stalled."""
    client = Client(broker.host, broker.port, broker.user, broker.password, connections_max=1)
    stall = Stall(seconds_max)
    loop = asyncio.get_running_loop()
    try:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                waiting = int(await client.call("LLEN", queue, seconds_max=_COMMAND_SECONDS))
            except (Lost, ReplyError):
                waiting = None
            if stall.seen(waiting, tally.begun, tally.running, loop.time()):
                log.error("worker.stalled", waiting=waiting, begun=tally.begun)
                _end()
    finally:
        await client.aclose()


def _end() -> NoReturn:
    # Not by SIGTERM: the loop that would have to hear of it is the one that hangs. No job runs, none is lost.
    os._exit(EXIT_STALLED)
