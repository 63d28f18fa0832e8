"""Alive, ready, and the heartbeat file that the container's healthcheck reads.

A healthcheck that starts Python costs most of a core over thirty containers; the age of a file costs a tenth.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kit import logs
from kit.clock import Clock
from kit.errors import KitError

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import JSONResponse

log = logs.get(__name__)

Ping = Callable[[], Awaitable[object]]
PING_SECONDS_MAX = 2.0
BEAT_SECONDS = 10.0
REPORT_SECONDS = 1.0  # how long a report is reused: /readyz must not multiply into its dependencies
PINGS_MAX = 16


class NotReady(KitError):
    code = "kit.not_ready"
    status = 503
    reason = "A part that this service needs is not answering."
    fix = "Wait: the service tries again by itself. `docker compose ps` shows which part is down."


@dataclass(frozen=True)
class Report:
    """What the pings said: for each dependency "ok" or the code of what is wrong."""

    checks: dict[str, str]

    @property
    def ready(self) -> bool:
        """Whether every dependency answered."""
        return all(state == "ok" for state in self.checks.values())


class Health:
    """The registered pings of one service, and its heartbeat."""

    def __init__(
        self, service: str, heartbeat_path: Path | None = None, clock: Clock | None = None
    ) -> None:
        self._service = service
        self._path = heartbeat_path
        self._clock = clock or Clock()
        self._pings: dict[str, Ping] = {}
        self._report: Report | None = None
        self._reported_at = 0.0
        self._lock = asyncio.Lock()

    def register(self, name: str, ping: Ping) -> None:
        """Make readiness depend on `ping`, which returns when `name` answers and raises when it does not."""
        if len(self._pings) >= PINGS_MAX:
            raise ValueError(f"more than {PINGS_MAX} pings")
        self._pings[name] = ping

    async def report(self) -> Report:
        """Return what the pings say, at most a second old."""
        async with self._lock:
            now = self._clock.monotonic()
            if self._report is None or now - self._reported_at >= REPORT_SECONDS:
                names = list(self._pings)
                states = await asyncio.gather(*(self._state(self._pings[name]) for name in names))
                self._report = Report(dict(zip(names, states, strict=True)))
                self._reported_at = now
            return self._report

    @staticmethod
    async def _state(ping: Ping) -> str:
        try:
            async with asyncio.timeout(PING_SECONDS_MAX):
                await ping()
        except KitError as error:
            return error.code
        except TimeoutError:
            return "timeout"
        except Exception as error:
            return type(error).__name__
        return "ok"

    async def beat(self) -> bool:
        """Touch the heartbeat file if every ping passes, and say whether it did."""
        report = await self.report()
        if report.ready and self._path is not None:
            try:
                self._path.touch()
            except OSError as error:
                log.exception("health.heartbeat_unwritable", error)
                return False
        return report.ready

    async def run(self) -> None:
        """Beat until cancelled. A change between ready and not ready is logged once, not at every beat."""
        was_ready: bool | None = None
        while True:
            ready = await self.beat()
            if ready != was_ready:
                checks = self._report.checks if self._report else {}
                note = log.info if ready else log.warning
                note("health.ready" if ready else "health.not_ready", **checks)
                was_ready = ready
            # Not ready yet: look again soon, so that a start is not held up by a whole beat.
            await self._clock.sleep(BEAT_SECONDS if ready else 1.0)

    @asynccontextmanager
    async def beating(self) -> AsyncGenerator[None]:
        """Run the heartbeat beside a block; the file is removed at its end."""
        task = asyncio.create_task(self.run(), name=f"{self._service}-heartbeat")
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            if self._path is not None:
                with contextlib.suppress(OSError):
                    self._path.unlink(missing_ok=True)

    async def healthz(self, _: Request) -> JSONResponse:
        """`GET /healthz`: the process answers."""
        from starlette.responses import JSONResponse

        return JSONResponse({"status": "alive", "service": self._service})

    async def readyz(self, _: Request) -> JSONResponse:
        """`GET /readyz`: its dependencies answer too."""
        from starlette.responses import JSONResponse

        report = await self.report()
        if report.ready:
            return JSONResponse({"status": "ready", "checks": report.checks})
        failing = ", ".join(
            f"{name}: {state}" for name, state in report.checks.items() if state != "ok"
        )
        error = NotReady(f"Not answering: {failing}.")
        return JSONResponse(
            {**error.body(), "checks": report.checks},
            status_code=error.status,
            headers={"retry-after": "5"},
        )
