"""Puts the service together; `__main__` and the tests start the same one."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from contracts.tiers import Tier
from kit.auth import CallerVerifier
from kit.bus import Broker, Bus
from kit.client import ServiceClient
from kit.clock import Clock
from kit.http import equip, with_heartbeat
from kit.metrics import Metrics
from kit.outbox import Relay
from starlette.applications import Starlette
from starlette.routing import BaseRoute

from memory.browse import Browse
from memory.caching.answers import Answers
from memory.caching.local import Local
from memory.caching.shared import Shared
from memory.exchange.mounting import Exchange, mount_exchange
from memory.exchange.routes import BYTES_MAX_AT
from memory.facts.routes import FactsApi
from memory.identity import IdentityContext
from memory.index.working import Working
from memory.levels.mounting import mount
from memory.levels.numbers import LevelNumbers
from memory.levels.touch import Touch
from memory.library import Library
from memory.namespaces import Namespaces
from memory.numbers import Numbers, watch
from memory.openapi import document as openapi
from memory.provenance.ask import AskProvenance
from memory.recall.recall import Recall
from memory.routes import Api
from memory.settings import Settings
from memory.stores import open_library
from memory.supersede.routes import SupersedeApi, SupersedeNumbers
from memory.vault import Vault
from memory.writing.edit import Edit
from memory.writing.embedder import Embedder
from memory.writing.models import Models
from memory.writing.mounting import (
    BATCH_BYTES_MAX,
    BATCH_PATH,
    WritingNumbers,
    mount_writing,
)
from memory.writing.move import Move

PLAIN_POOL_MAX, SACRED_POOL_MAX = 8, 4
# So many more objects than before; a recall makes some two thousand that end by themselves.
RINGS_LOOKED_FOR = 20_000


@dataclass(frozen=True)
class Counted:
    """What the parts count; made once, since a name can be registered once."""

    memory: Numbers
    levels: LevelNumbers
    writing: WritingNumbers
    supersede: SupersedeNumbers

    @classmethod
    def by(cls, metrics: Metrics) -> Counted:
        """Register every number."""
        return cls(
            Numbers(metrics),
            LevelNumbers(metrics),
            WritingNumbers(metrics),
            SupersedeNumbers(metrics),
        )


def build(settings: Settings) -> Starlette:
    """Return the application. Raises SacredKeyInvalid."""
    vault = Vault(settings.sacred_data_key)

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncGenerator[None]:
        async with AsyncExitStack() as stack:
            library = await stack.enter_async_context(
                open_library(settings, vault, PLAIN_POOL_MAX, SACRED_POOL_MAX)
            )
            broker = Broker(
                settings.valkey_host, "memory", settings.valkey_password, settings.valkey_port
            )
            bus = await stack.enter_async_context(Bus.open(broker, metrics=app.state.metrics))
            client = await stack.enter_async_context(
                ServiceClient("model-gateway", settings.model_gateway_url, retries=0)
            )
            # Readiness rests on what nothing works without. Without the bus events wait in their outbox, without
            # a model recall goes by words.
            app.state.health.register("postgres", library.plain.pool.ping)
            app.state.health.register("postgres_sacred", library.sacred.pool.ping)
            shared = Shared(broker, vault.derive("cache"))
            answers = Answers(Local(time.monotonic), shared, counted.memory, enabled=settings.cache)
            stack.push_async_callback(answers.aclose)
            parts = Parts(settings, vault, library, bus, client, answers, counted)
            app.router.routes.extend(parts.routes(app.state.metrics))
            tasks = parts.tasks()
            # What is there by now stays, and what a recall makes goes with it: looking through both for rings costs
            # every recall a millisecond.
            gc.collect()
            gc.freeze()
            gc.set_threshold(RINGS_LOOKED_FOR)
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                for task in tasks:
                    with contextlib.suppress(asyncio.CancelledError):
                        await task

    app = Starlette(lifespan=with_heartbeat(lifespan))
    equip(
        app,
        "memory",
        domain="memory",
        settings=settings,
        verifier=CallerVerifier(settings.caller_public_key),
        body_bytes_max_at={BATCH_PATH: BATCH_BYTES_MAX, **BYTES_MAX_AT},
    )
    counted = Counted.by(app.state.metrics)
    return app


class Parts:
    """Every part of the service over open stores: its routes, and what runs beside them."""

    def __init__(
        self,
        settings: Settings,
        vault: Vault,
        library: Library,
        bus: Bus,
        client: ServiceClient,
        answers: Answers,
        counted: Counted,
    ) -> None:
        self._settings = settings
        self._library = library
        self._bus = bus
        self._client = client
        self._answers = answers
        self._counted = counted
        self._working = Working(library.plain.pool, answers.sure)
        answers.beside.append(self._working)
        for shelf in (library.plain, library.sacred):
            shelf.on_announce = answers.changing
        self._relays: dict[Any, Relay] = {
            library.plain: Relay(library.plain.pool, bus, library.plain.outbox),
            library.sacred: Relay(library.sacred.pool, bus, library.sacred.outbox, poll_s=5.0),
        }
        self._writing = mount_writing(
            settings, library, vault, self._wake, counted.writing, Clock()
        )
        self._tasks: list[asyncio.Task[Any]] = []

    def routes(self, metrics: Metrics) -> list[BaseRoute]:
        """Return every route; called once, inside the running loop."""
        clock = Clock()
        levels = mount(self._settings, self._library, self._counted.levels, metrics, clock)
        exchange = mount_exchange(
            self._settings, self._library, self._wake, [self._answers.forget], metrics, clock
        )
        supersede = SupersedeApi.over(
            self._library, self._writing.remember, self._wake, self._counted.supersede
        )
        self._tasks += [*levels.tasks(), *exchange.tasks()]
        # In this order: `/v1/memories/batch` must not be taken for a memory's id.
        mounted = (
            self._writing,
            self._api(levels.touch, exchange),
            levels,
            exchange,
            supersede,
            FactsApi.over(self._library),
            AskProvenance(self._library),
        )
        return [*(route for part in mounted for route in part.routes()), *openapi.routes()]

    def tasks(self) -> list[asyncio.Task[Any]]:
        """Start what runs beside the requests and return all of it."""
        clock = Clock()
        work = (
            *(relay.run() for relay in self._relays.values()),
            self._answers.follow(self._bus, clock),
            watch(self._library, self._counted.memory, clock),
            self._writing.watch(clock),
        )
        return [*self._tasks, *(asyncio.create_task(each) for each in work)]

    def _wake(self, tier: Tier) -> None:
        self._relays[self._library.shelf(tier)].wake()

    def _api(self, touch: Touch, exchange: Exchange) -> Api:
        library = self._library
        unfit = self._writing.numbers.embedding_invalid.inc
        embedder = Embedder(self._client, Models(library, Clock()), unfit)
        return Api(
            remember=self._writing.remember,
            recall=Recall(library, embedder, self._settings.recall_embed_seconds, self._working),
            browse=Browse(library),
            edit=Edit(library, Move(library), self._wake),
            forget=exchange.forget,
            identity=IdentityContext(library),
            namespaces=Namespaces(library),
            answers=self._answers,
            touch=touch,
            numbers=self._counted.memory,
        )
