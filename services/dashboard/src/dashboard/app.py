"""The application: its parts, wired once."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from types import FrameType
from typing import Any

from fastapi import FastAPI
from kit.auth import CallerVerifier
from kit.bus import Broker, Bus
from kit.clock import Clock
from kit.http import create_app

from dashboard.hub import Hub
from dashboard.neighbours import connect
from dashboard.routes import routers
from dashboard.routes.exchange import BODY_BYTES_MAX_AT
from dashboard.settings import Settings
from dashboard.streams import Streams


def on_stop(act: Callable[[], None]) -> None:
    """Call `act` when the process is told to stop, before the server's own handler.

    The server waits for open requests to end, and a stream ends only when it is told to.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    loop = asyncio.get_running_loop()
    before = signal.getsignal(signal.SIGTERM)

    def stop(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(act)
        if callable(before):
            before(number, frame)

    signal.signal(signal.SIGTERM, stop)


def build(settings: Settings) -> FastAPI:
    """Return the application. Nothing is connected before it starts."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[dict[str, Any]]:
        clock = Clock()
        behind = connect(settings)
        broker = Broker(
            settings.valkey_host, "dashboard", settings.valkey_password, settings.valkey_port
        )
        bus = Bus.open(broker, clock=clock, metrics=app.state.metrics)
        hub = Hub(bus, clock)
        streams = Streams(behind.forward_auth, settings.streams_per_person_max, clock)
        # Not its neighbours: the dashboard is ready to say which of them is away.
        app.state.health.register("valkey", bus.ping)
        reading = asyncio.create_task(hub.run(), name="hub")
        try:
            async with streams.watching():
                on_stop(streams.end_all)
                yield {"neighbours": behind, "hub": hub, "streams": streams, "clock": clock}
        finally:
            reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reading
            await bus.close()
            await behind.close()

    return create_app(
        "dashboard",
        domain="edge",
        settings=settings,
        lifespan=lifespan,
        routers=routers,
        verifier=CallerVerifier(settings.caller_public_key),
        openapi_url="/api/openapi.json",
        body_bytes_max_at=BODY_BYTES_MAX_AT,
    )
