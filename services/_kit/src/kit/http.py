"""An HTTP service: coded errors, a trace, metrics, health, a bound on every body, and a graceful stop.

app = create_app("memory", domain="memory", settings=settings, lifespan=lifespan, routers=[router])
serve(app, settings)
"""

import ipaddress
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any

from starlette.exceptions import HTTPException
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kit import errors, logs
from kit.auth import CallerMiddleware, CallerVerifier
from kit.errors import BodyTooLarge, ErrorGuard, KitError
from kit.health import Health
from kit.metrics import Metrics, MetricsMiddleware
from kit.settings import HttpSettings
from kit.trace import TraceMiddleware

if TYPE_CHECKING:
    from fastapi import APIRouter, FastAPI
    from starlette.applications import Starlette

log = logs.get(__name__)

Lifespan = Callable[[Any], AbstractAsyncContextManager[Mapping[str, Any] | None]]
KEEP_ALIVE_SECONDS = 75


class BindRefused(KitError):
    code = "kit.bind_refused"
    status = 500
    reason = "A service listens on one address of its own network, never on all of them."
    fix = "Set LARES_BIND to the service's address in compose."


class BodyLimit:
    """Refuse a body larger than `bytes_max`, by its announced length or while it is read.

    `bytes_max_at` names paths with a limit of their own: only a route that reads its body piece by piece belongs there.
    """

    def __init__(
        self, app: ASGIApp, bytes_max: int, bytes_max_at: Mapping[str, int] | None = None
    ) -> None:
        self.app = app
        self.bytes_max = bytes_max
        self.bytes_max_at = dict(bytes_max_at or {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        bytes_max = self.bytes_max_at.get(scope["path"], self.bytes_max)
        for name, value in scope["headers"]:
            if name == b"content-length" and (not value.isdigit() or int(value) > bytes_max):
                raise BodyTooLarge(f"The request's body is larger than {bytes_max} bytes.")
        taken = 0

        async def bounded() -> Message:
            nonlocal taken
            message = await receive()
            if message["type"] == "http.request":
                taken += len(message.get("body", b""))
                if taken > bytes_max:
                    # FastAPI passes an HTTPException on and hides every other as "error parsing the body".
                    raise HTTPException(BodyTooLarge.status)
            return message

        await self.app(scope, bounded, send)


def equip(
    app: "Starlette",
    service: str,
    *,
    domain: str,
    settings: HttpSettings,
    verifier: CallerVerifier | None = None,
    body_bytes_max_at: Mapping[str, int] | None = None,
) -> None:
    """Give a bare Starlette or FastAPI application what every service has.

    Sets `app.state.health`, `app.state.metrics`, `app.state.verifier` and `app.state.settings`.
    """
    app.state.settings = settings
    app.state.health = Health(service, settings.heartbeat_path)
    app.state.metrics = Metrics(service, domain)
    app.state.verifier = verifier
    errors.install(app)
    app.router.routes.extend(
        [
            Route("/healthz", app.state.health.healthz),
            Route("/readyz", app.state.health.readyz),
            Route("/metrics", app.state.metrics.endpoint),
        ]
    )
    # The last added is the outermost: trace, metrics, guard, body limit, application.
    app.add_middleware(BodyLimit, bytes_max=settings.body_bytes_max, bytes_max_at=body_bytes_max_at)
    app.add_middleware(CallerMiddleware)
    app.add_middleware(ErrorGuard)
    app.add_middleware(MetricsMiddleware, metrics=app.state.metrics)
    app.add_middleware(TraceMiddleware)


def create_app(
    service: str,
    *,
    domain: str,
    settings: HttpSettings,
    lifespan: Lifespan | None = None,
    routers: "Iterable[APIRouter]" = (),
    verifier: CallerVerifier | None = None,
    openapi_url: str | None = None,
    body_bytes_max_at: Mapping[str, int] | None = None,
) -> "FastAPI":
    """Return a FastAPI application with everything a service has.

    `lifespan(app)` opens the dependencies and yields a mapping that becomes `request.state`; inside it
    `app.state.health.register(...)` names what readiness depends on.
    """
    from fastapi import FastAPI

    app = FastAPI(
        title=f"Lares {service}",
        lifespan=with_heartbeat(lifespan),
        openapi_url=openapi_url,
        docs_url=None,
        redoc_url=None,
        # No spans and no exporters found in the environment: the trace is the kit's, and leaves by no way of its own.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    equip(
        app,
        service,
        domain=domain,
        settings=settings,
        verifier=verifier,
        body_bytes_max_at=body_bytes_max_at,
    )
    for router in routers:
        app.include_router(router)
    return app


def with_heartbeat(
    lifespan: Lifespan | None,
) -> Callable[[Any], AbstractAsyncContextManager[Mapping[str, Any]]]:
    """Wrap a lifespan so that the heartbeat runs while the service does."""

    @asynccontextmanager
    async def wrapped(app: Any) -> AsyncGenerator[Mapping[str, Any]]:
        if lifespan is None:
            async with app.state.health.beating():
                yield {}
            return
        async with lifespan(app) as state, app.state.health.beating():
            yield state or {}

    return wrapped


def serve(app: ASGIApp, settings: HttpSettings, *, websocket_bytes_max: int | None = None) -> None:
    """Serve on the service's own address until SIGTERM; running requests get `stop_seconds` to finish.

    WebSockets are spoken only where `websocket_bytes_max` says how large a message may be.
    Raises BindRefused when the address is absent or stands for all addresses.
    """
    import uvicorn

    check_bind(settings.bind)
    log.info("service.starting", bind=settings.bind, port=settings.port)
    uvicorn.run(
        app,
        host=settings.bind,
        port=settings.port,
        loop="uvloop",
        http="httptools",
        ws="none" if websocket_bytes_max is None else "websockets-sansio",
        ws_max_size=websocket_bytes_max or 0,
        # Short messages within the house: compressing them costs more than it saves.
        ws_per_message_deflate=False,
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        backlog=256,
        limit_concurrency=settings.connections_max,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=settings.stop_seconds,
    )


def check_bind(bind: str) -> None:
    """Return if `bind` is one address. Raises BindRefused: a listener on all addresses joins every network."""
    try:
        address = ipaddress.ip_address(bind)
    except ValueError:
        raise BindRefused(f"LARES_BIND={bind!r} is not an IP address.") from None
    if address.is_unspecified:
        raise BindRefused(f"LARES_BIND={bind} stands for every address.")
