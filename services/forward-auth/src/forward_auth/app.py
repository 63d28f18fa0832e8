"""Puts forward-auth together: the fast address in front, everything else behind it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from kit.clock import Clock
from kit.http import equip, with_heartbeat
from kit.pool import Database, Pool
from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

from forward_auth.account import Account
from forward_auth.callers import Mint
from forward_auth.decide import Door
from forward_auth.listener import Listener
from forward_auth.memory import Memory
from forward_auth.policy import Policy
from forward_auth.routes import Inside
from forward_auth.settings import Settings
from forward_auth.store import Store
from forward_auth.verify import Verify

POOL_MAX = 4
WAIT_SECONDS_MAX = 1.5


class Front:
    """Sends `/verify` past the middlewares that it does not need; the rest goes through them."""

    def __init__(self, behind: Starlette) -> None:
        self.behind = behind

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http" and scope["path"] == "/verify":
            await self.behind.state.verify(scope, receive, send)
        else:
            await self.behind(scope, receive, send)


def build(settings: Settings, policy: Policy, clock: Clock | None = None) -> ASGIApp:
    """Return the application. Its dependencies are opened when it starts."""
    clock = clock or Clock()
    database = Database(
        host=settings.postgres_host,
        port=settings.postgres_port,
        user="svc_forward_auth",
        password=settings.db_password,
    )
    mint = Mint(settings.caller_signing_key, clock)
    memory = Memory(settings.cache_ms / 1000)

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncGenerator[None]:
        async with await Pool.open(
            database, max_size=POOL_MAX, wait_s=WAIT_SECONDS_MAX, command_timeout_s=2.0
        ) as pool:
            store = Store(pool)
            account = Account(store, app.state.metrics)
            door = Door(policy, settings.authority, store.session, mint, memory, clock)
            app.state.verify = Verify(door, account, app.state.metrics)
            app.router.routes.extend(Inside(store, mint, memory, account, clock).routes())
            app.state.health.register("postgres", pool.ping)
            async with Listener(database, memory).listening(), account.writing():
                yield

    app = Starlette(lifespan=with_heartbeat(lifespan))
    equip(app, "forward-auth", domain="edge", settings=settings)
    return Front(app)
