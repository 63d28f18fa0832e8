"""Hears revocations from the database. While nobody is heard, nothing is remembered."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from kit import logs
from kit.pool import Database

from forward_auth.memory import Memory
from forward_auth.store import told

log = logs.get(__name__)
CHANNEL = "lares_session"
PROBE_SECONDS = 2.0
PROBE_SECONDS_MAX = 1.0
CONNECT_SECONDS_MAX = 3
STEADY_SECONDS = 10.0
RETRY_SECONDS = (0.2, 0.5, 1.0, 2.0)


class Listener:
    """One connection that LISTENs, made again whenever it is lost."""

    def __init__(self, database: Database, memory: Memory) -> None:
        self._database = database
        self._memory = memory

    @asynccontextmanager
    async def listening(self) -> AsyncGenerator[None]:
        """Listen beside a block."""
        task = asyncio.create_task(self._run(), name="revocations")
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _run(self) -> None:
        misses = 0
        while True:
            begun = time.monotonic()
            try:
                await self._listen_once()
            except (OSError, TimeoutError) as error:
                log.warning("revocations.unheard", error_type=type(error).__name__)
            except Exception as error:
                log.exception("revocations.unheard", error)
            finally:
                self._memory.deafen()
            # A line that held for a while and broke is tried again soon.
            misses = 0 if time.monotonic() - begun > STEADY_SECONDS else misses + 1
            await asyncio.sleep(RETRY_SECONDS[min(misses, len(RETRY_SECONDS) - 1)])

    async def _listen_once(self) -> None:
        """Listen until the connection is lost, which a probe notices within three seconds even when nobody says so."""
        import asyncpg

        database = self._database
        connection: Any = await asyncpg.connect(
            host=database.host,
            port=database.port,
            user=database.user,
            password=database.password,
            database=database.name,
            timeout=CONNECT_SECONDS_MAX,
            server_settings={"application_name": "forward-auth revocations"},
        )
        try:
            await connection.add_listener(CHANNEL, self._heard)
            connection.add_termination_listener(lambda _: self._memory.deafen())
            self._memory.listen()
            log.info("revocations.heard")
            while True:
                await asyncio.sleep(PROBE_SECONDS)
                await connection.execute("SELECT 1", timeout=PROBE_SECONDS_MAX)
        finally:
            connection.terminate()

    def _heard(self, connection: Any, pid: int, channel: str, payload: Any) -> None:
        change = told(str(payload))
        if change is None:
            log.warning("revocations.unreadable")
            return
        self._memory.forget(*change)
