"""The consolidator's process: it listens to nobody, and stops between two moves when it is told to."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from contextlib import AsyncExitStack

from kit import logs
from kit.client import ServiceClient
from kit.clock import Clock
from kit.health import Health
from kit.pool import Database, Pool

from memory.levels.act import Actor
from memory.levels.chores import Chores, Desk
from memory.levels.duties import duties
from memory.levels.loop import Loop
from memory.levels.observe import Observer
from memory.levels.store import LevelStore
from memory.plain import PlainShelf
from memory.settings import ConsolidatorSettings

log = logs.get(__name__)
LOGIN = "svc_memory"
# The leader's seat, a person's turn, a move's lock and the move, a chore beside them: a few connections are enough.
PLAIN_POOL_MAX, SACRED_POOL_MAX = 5, 2


def run(settings: ConsolidatorSettings) -> int:
    """Consolidate until SIGTERM; return the exit status."""
    asyncio.run(_run(settings))
    return 0


async def _run(settings: ConsolidatorSettings) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    clock = Clock()
    async with AsyncExitStack() as stack:
        plain = await stack.enter_async_context(await _open(settings, "lares", PLAIN_POOL_MAX))
        sacred = await stack.enter_async_context(
            await _open(settings, "lares_sacred", SACRED_POOL_MAX)
        )
        client = await stack.enter_async_context(
            ServiceClient("model-gateway", settings.model_gateway_url, retries=0)
        )
        store, limits = LevelStore(plain, sacred), settings.limits()
        shelf = PlainShelf(plain)
        desk = Desk(shelf, store, client, settings, clock)
        merging = shelf if settings.merge else None
        loop = Loop(
            store,
            Observer(store, limits, merging),
            Actor(store, limits, merging),
            Chores(desk, duties()),
            name=f"{socket.gethostname()}-{os.getpid()}"[:100],
            mode=settings.consolidation,
            every_s=settings.round_seconds,
            moves_max=settings.moves_max,
            clock=clock,
        )
        health = Health("consolidator", settings.heartbeat_path)
        health.register("postgres", plain.ping)
        health.register("postgres_sacred", sacred.ping)
        health.register("rounds", loop.ping)
        log.info("consolidation.starting", mode=settings.consolidation)
        async with health.beating():
            rounds = asyncio.create_task(loop.run())
            try:
                await stopped.wait()
            finally:
                rounds.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await rounds


async def _open(settings: ConsolidatorSettings, name: str, most: int) -> Pool:
    return await Pool.open(
        Database(settings.postgres_host, LOGIN, settings.db_password, name, settings.postgres_port),
        max_size=most,
    )
