"""The worker's process: Celery takes the jobs, the sweep beside it queues them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from contracts.tiers import Tier
from kit.bus import Broker, Bus
from kit.client import ServiceClient
from kit.clock import Clock
from kit.health import Health
from kit.worker import celery_app, enqueue, job, serve

from memory.settings import WorkerSettings
from memory.stores import open_library
from memory.vault import Vault
from memory.writing.embed import Embed
from memory.writing.embedder import Embedder
from memory.writing.move import Move
from memory.writing.sweep import Sweep

if TYPE_CHECKING:
    from kit.worker import JobsApp

    from memory.store import Pending

EMBED = "memory.embed"
PLAIN_POOL_MAX, SACRED_POOL_MAX = 6, 3
# Beyond the model's answer: two short transactions, each with its wait for a connection.
STORE_SECONDS = 10.0


@dataclass
class Desk:
    """What the jobs work with while the process lives."""

    settings: WorkerSettings
    app: JobsApp
    broker: Broker
    health: Health
    embed: Embed | None = None

    async def embed_memory(self, memory_id: str, subject_id: str, tier: str) -> None:
        """The job `memory.embed`: ids in, nothing out."""
        if self.embed is None:
            raise RuntimeError("a job ran outside the worker's life")
        await self.embed(UUID(memory_id), UUID(subject_id), Tier(tier))

    async def queue(self, pending: Pending) -> None:
        """Send one embedding to the queue, off the loop: the client blocks. Raises the bus's errors."""
        await asyncio.to_thread(
            enqueue,
            self.app,
            EMBED,
            memory_id=str(pending.memory_id),
            subject_id=str(pending.subject_id),
            tier=pending.tier.value,
        )

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[None]:
        """Open what jobs need and run the sweep beside them."""
        vault = Vault(self.settings.sacred_data_key)
        async with AsyncExitStack() as stack:
            library = await stack.enter_async_context(
                open_library(self.settings, vault, PLAIN_POOL_MAX, SACRED_POOL_MAX)
            )
            client = await stack.enter_async_context(
                ServiceClient("model-gateway", self.settings.model_gateway_url, retries=0)
            )
            bus = await stack.enter_async_context(Bus.open(self.broker))
            embedder = Embedder(client, self.settings.embedding_model)
            self.embed = Embed(library, embedder, self.settings.embed_seconds)
            self.health.register("postgres", library.plain.pool.ping)
            sweep = Sweep(library, Move(library), self.queue, self.settings.sweep_seconds, Clock())
            tasks = [asyncio.create_task(sweep.run()), asyncio.create_task(sweep.follow(bus))]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                for task in tasks:
                    with contextlib.suppress(asyncio.CancelledError):
                        await task


def run(settings: WorkerSettings) -> int:
    """Take jobs until SIGTERM and return the exit status. Raises SacredKeyInvalid."""
    Vault(settings.sacred_data_key)
    broker = Broker(
        settings.valkey_host, "memory_worker", settings.valkey_password, settings.valkey_port
    )
    app = celery_app("memory", broker, concurrency=settings.tasks_at_once)
    desk = Desk(settings, app, broker, Health("memory-worker", settings.heartbeat_path))
    job(app, EMBED, tries_max=3, seconds_max=settings.embed_seconds + STORE_SECONDS)(
        desk.embed_memory
    )
    return serve(app, desk.open, health=desk.health)
