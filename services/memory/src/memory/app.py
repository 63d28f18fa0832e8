"""Puts the service together; `__main__` and the tests start the same one."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from contracts.tiers import Tier
from kit.auth import CallerVerifier
from kit.bus import Broker, Bus
from kit.client import ServiceClient
from kit.clock import Clock
from kit.http import equip, with_heartbeat
from kit.outbox import Relay
from starlette.applications import Starlette

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
    Writing,
    WritingNumbers,
    mount_writing,
)
from memory.writing.move import Move

PLAIN_POOL_MAX, SACRED_POOL_MAX = 8, 4


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
            answers = Answers(
                Local(time.monotonic),
                Shared(broker, vault.derive("cache")),
                numbers,
                enabled=settings.cache,
            )
            stack.push_async_callback(answers.aclose)
            working = Working(library.plain.pool, answers.sure)
            answers.beside.append(working)
            for shelf in (library.plain, library.sacred):
                shelf.on_announce = answers.changing
            relays: dict[Any, Relay] = {
                library.plain: Relay(library.plain.pool, bus, library.plain.outbox),
                library.sacred: Relay(library.sacred.pool, bus, library.sacred.outbox, poll_s=5.0),
            }
            # Readiness rests on what nothing works without. Without the bus events wait in their outbox, without
            # a model recall goes by words.
            app.state.health.register("postgres", library.plain.pool.ping)
            app.state.health.register("postgres_sacred", library.sacred.pool.ping)
            levels = mount(settings, library, level_numbers, app.state.metrics, Clock())

            def wake(tier: Tier) -> None:
                relays[library.shelf(tier)].wake()

            writing = mount_writing(settings, library, vault, wake, writing_numbers, Clock())
            exchange = mount_exchange(
                settings, library, wake, [answers.forget], app.state.metrics, Clock()
            )
            api = _api(
                settings,
                library,
                client,
                wake,
                answers,
                working,
                levels.touch,
                writing,
                exchange,
                numbers,
            )
            supersede = SupersedeApi.over(library, writing.remember, wake, supersede_numbers)
            parts = (
                writing,
                api,
                levels,
                exchange,
                supersede,
                FactsApi.over(library),
                AskProvenance(library),
            )
            app.router.routes.extend(route for part in parts for route in part.routes())
            app.router.routes.extend(openapi.routes())
            tasks = [*levels.tasks(), *exchange.tasks()]
            tasks += [asyncio.create_task(relay.run()) for relay in relays.values()]
            tasks.append(asyncio.create_task(answers.follow(bus, Clock())))
            tasks.append(asyncio.create_task(watch(library, numbers, Clock())))
            tasks.append(asyncio.create_task(writing.watch(Clock())))
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
    numbers, level_numbers = Numbers(app.state.metrics), LevelNumbers(app.state.metrics)
    writing_numbers = WritingNumbers(app.state.metrics)
    supersede_numbers = SupersedeNumbers(app.state.metrics)
    return app


def _api(
    settings: Settings,
    library: Library,
    client: ServiceClient,
    wake: Callable[[Tier], None],
    answers: Answers,
    working: Working,
    touch: Touch,
    writing: Writing,
    exchange: Exchange,
    numbers: Numbers,
) -> Api:
    embedder = Embedder(client, Models(library, Clock()), writing.numbers.embedding_invalid.inc)
    return Api(
        remember=writing.remember,
        recall=Recall(library, embedder, settings.recall_embed_seconds, working),
        browse=Browse(library),
        edit=Edit(library, Move(library), wake),
        forget=exchange.forget,
        identity=IdentityContext(library),
        namespaces=Namespaces(library),
        answers=answers,
        touch=touch,
        numbers=numbers,
    )
