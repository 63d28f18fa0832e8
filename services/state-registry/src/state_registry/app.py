"""The application. Bare Starlette: one route does not pay for a framework."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from kit.auth import CallerVerifier, caller
from kit.bus import Broker, Bus
from kit.clock import Clock
from kit.http import equip, with_heartbeat
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from state_registry import house
from state_registry.settings import Settings
from state_registry.watcher import Watcher


async def containers(request: Request) -> Response:
    """`GET /v1/containers`: every container, and how old the reading is. For anybody who is signed in."""
    await caller(request)
    watcher: Watcher = request.state.watcher
    return Response(watcher.containers().model_dump_json(), media_type="application/json")


def build(settings: Settings) -> Starlette:
    """Return the application. Nothing is connected before it starts."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncGenerator[dict[str, Any]]:
        clock = Clock()
        broker = Broker(
            settings.valkey_host, "state_registry", settings.valkey_password, settings.valkey_port
        )
        bus = Bus.open(broker, clock=clock, metrics=app.state.metrics)
        places = house.read(settings.services_path)
        watcher = Watcher(settings.snapshot_path, places, settings.stale_seconds, bus, clock)
        app.state.health.register("snapshot", watcher.ping)
        app.state.health.register("valkey", bus.ping)
        try:
            async with watcher.watching():
                yield {"watcher": watcher}
        finally:
            await bus.close()

    app = Starlette(
        routes=[Route("/v1/containers", containers, methods=["GET"])],
        lifespan=with_heartbeat(lifespan),
    )
    equip(
        app,
        "state-registry",
        domain="ops",
        settings=settings,
        verifier=CallerVerifier(settings.caller_public_key),
    )
    return app
