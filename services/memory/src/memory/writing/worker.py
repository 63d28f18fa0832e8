"""The worker's process: Celery takes the jobs, and beside it run the sweep that queues them and the change of model."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable
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

from memory.facts.job import Extraction
from memory.facts.llm import Asker
from memory.library import Library
from memory.settings import WorkerSettings
from memory.stores import open_library
from memory.supersede.job import Supersession
from memory.vault import Vault
from memory.writing.embed import Embed
from memory.writing.embedder import Embedder
from memory.writing.merge import Duplicates
from memory.writing.models import Models
from memory.writing.move import Move
from memory.writing.reindex import Reindex
from memory.writing.relate import Follower, Relate
from memory.writing.store import Due
from memory.writing.sweep import Sweep

if TYPE_CHECKING:
    from kit.worker import JobsApp

EMBED, RELATE = "memory.embed", "memory.relate"
PLAIN_POOL_MAX, SACRED_POOL_MAX = 6, 3
# Beyond the model's answer: short transactions, each with its wait for a connection.
STORE_SECONDS = 10.0
# A batch that is halved again and again still ends before its lease does.
EMBED_SECONDS_MAX = 50.0
RELATE_SECONDS = 40.0


@dataclass
class Desk:
    """What the jobs work with while the process lives."""

    settings: WorkerSettings
    app: JobsApp
    broker: Broker
    health: Health
    embed: Embed | None = None
    relate: Relate | None = None
    sweep: Sweep | None = None

    async def embed_memories(self, memory_ids: list[str], subject_id: str, tier: str) -> None:
        """The job `memory.embed`: ids in, nothing out."""
        if self.embed is None or self.sweep is None:
            raise RuntimeError("a job ran outside the worker's life")
        try:
            await self.embed(UUID(subject_id), Tier(tier), [UUID(each) for each in memory_ids])
        finally:
            self.sweep.wake()

    async def relate_memories(self, memory_ids: list[str], subject_id: str, tier: str) -> None:
        """The job `memory.relate`: ids in, nothing out."""
        if self.relate is None or self.sweep is None:
            raise RuntimeError("a job ran outside the worker's life")
        try:
            await self.relate(UUID(subject_id), Tier(tier), [UUID(each) for each in memory_ids])
        finally:
            self.sweep.wake()

    async def queue(self, name: str, due: Due) -> None:
        """Send a batch to the queue, off the loop: the client blocks. Raises the bus's errors."""
        await asyncio.to_thread(
            enqueue,
            self.app,
            name,
            memory_ids=[str(each) for each in due.ids],
            subject_id=str(due.subject_id),
            tier=due.tier.value,
        )

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[None]:
        """Open what jobs need, and run beside them what queues them."""
        settings, clock = self.settings, Clock()
        async with AsyncExitStack() as stack:
            library = await stack.enter_async_context(
                open_library(
                    settings, Vault(settings.sacred_data_key), PLAIN_POOL_MAX, SACRED_POOL_MAX
                )
            )
            client = await stack.enter_async_context(
                ServiceClient("model-gateway", settings.model_gateway_url, retries=0)
            )
            bus = await stack.enter_async_context(Bus.open(self.broker))
            models = Models(library, clock)
            embedder = Embedder(client, models)
            self.embed = Embed(library, embedder, models, settings.embed_seconds)
            asker = Asker(client, settings.extraction_model, settings.extraction_seconds, clock)
            extraction = Extraction(
                library.plain.pool,
                clock,
                enabled=settings.extraction,
                every_s=settings.sweep_seconds,
                asker=asker,
            )
            self.relate = Relate(library, followers(settings, library, models, extraction))
            self.sweep = Sweep(
                library,
                Move(library),
                lambda due: self.queue(EMBED, due),
                lambda due: self.queue(RELATE, due),
                settings.sweep_seconds,
                clock,
            )
            reindex = Reindex(
                library,
                embedder,
                models,
                settings.embedding_model,
                settings.embed_seconds,
                settings.sweep_seconds,
                clock,
            )
            self.health.register("postgres", library.plain.pool.ping)
            async with running(
                self.sweep.run(), self.sweep.follow(bus), reindex.run(), extraction.run()
            ):
                yield


def followers(
    settings: WorkerSettings, library: Library, models: Models, extraction: Extraction
) -> tuple[Follower, ...]:
    """Return what follows a write, in its order: facts, supersession, duplicates."""
    return (
        extraction,
        Supersession(library, models, settings.supersede),
        Duplicates(library, models, settings.merge),
    )


@asynccontextmanager
async def running(*work: Awaitable[None]) -> AsyncGenerator[None]:
    """Run these beside the block and cancel them after it."""
    tasks = [asyncio.ensure_future(each) for each in work]
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
    embed_seconds = min(settings.embed_seconds + STORE_SECONDS, EMBED_SECONDS_MAX)
    job(app, EMBED, tries_max=3, seconds_max=embed_seconds)(desk.embed_memories)
    job(app, RELATE, tries_max=3, seconds_max=RELATE_SECONDS)(desk.relate_memories)
    return serve(app, desk.open, health=desk.health)
