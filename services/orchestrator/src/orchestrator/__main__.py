"""Settings -> dependencies -> run: the only wiring. `python -m orchestrator actions on|off` moves the off switch."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from kit import logs
from kit.auth import CallerVerifier
from kit.bus import Broker, Bus
from kit.client import ServiceClient
from kit.clock import Clock
from kit.http import equip, serve, with_heartbeat
from kit.pool import Database, Pool
from kit.settings import load
from starlette.applications import Starlette

from orchestrator.acting import Acting
from orchestrator.answering import Answering
from orchestrator.confirmations_store import ConfirmationStore
from orchestrator.confirming import Confirmations
from orchestrator.consumer import Redactor
from orchestrator.house import House
from orchestrator.neighbours import Memory, Models
from orchestrator.numbers import Numbers
from orchestrator.plan import ANSWER, FORGET, RECALL, REMEMBER, SAY
from orchestrator.presence import Presence
from orchestrator.routes import ROUTES
from orchestrator.running import Registry
from orchestrator.settings import Settings
from orchestrator.store import Store
from orchestrator.sweeping import Sweep
from orchestrator.turns import Turns

SERVICE = "orchestrator"
KEEP_SECONDS = 1.5


def database(settings: Settings) -> Database:
    """Return where Postgres is and who logs in."""
    return Database(
        settings.postgres_host,
        "svc_orchestrator",
        settings.db_password,
        port=settings.postgres_port,
    )


@asynccontextmanager
async def lifespan(app: Any) -> AsyncGenerator[Mapping[str, Any]]:
    """Open the dependencies, run the sweep and the consumer beside the service, close in reverse."""
    settings: Settings = app.state.settings
    clock = Clock()
    numbers = Numbers(app.state.metrics)
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(await Pool.open(database(settings), max_size=6))
        broker = Broker(
            settings.valkey_host, SERVICE, settings.valkey_password, settings.valkey_port
        )
        bus = await stack.enter_async_context(Bus.open(broker, metrics=app.state.metrics))
        memory_client = await stack.enter_async_context(
            ServiceClient("memory", settings.memory_url)
        )
        model_client = await stack.enter_async_context(
            ServiceClient("model-gateway", settings.model_gateway_url)
        )
        presence = None
        if settings.gpu_scheduler_url:
            scheduler = ServiceClient("gpu-scheduler", settings.gpu_scheduler_url)
            await stack.enter_async_context(scheduler)
            presence = Presence(scheduler, clock, numbers.present, settings.alive_seconds)
        house, sweep = build(settings, pool, memory_client, model_client, clock, numbers, presence)
        # Readiness rests on what nothing works without. Memory, models and the bus may be away: a turn says so.
        app.state.health.register("postgres", pool.ping)
        redactor = Redactor(house.store, numbers)
        work = [sweep.run(), redactor.run(bus), *([presence.run()] if presence else [])]
        tasks = [asyncio.create_task(part) for part in work]
        try:
            yield {"house": house}
        finally:
            await house.registry.close(KEEP_SECONDS)
            for task in tasks:
                task.cancel()
            for task in tasks:
                with contextlib.suppress(asyncio.CancelledError):
                    await task


def build(
    settings: Settings,
    pool: Pool,
    memory_client: ServiceClient,
    model_client: ServiceClient,
    clock: Clock,
    numbers: Numbers,
    presence: Presence | None,
) -> tuple[House, Sweep]:
    """Wire the use cases to their dependencies."""
    store, asked = Store(pool), ConfirmationStore(pool)
    memory = Memory(memory_client)
    models = Models(
        model_client,
        settings.model,
        settings.answer_tokens_max,
        float(settings.first_token_seconds_max),
        lambda: presence.agent if presence else None,
    )
    registry = Registry(
        clock,
        per_person_max=settings.turns_per_person_max,
        all_max=settings.turns_max,
        grace_s=settings.disconnect_grace_seconds,
    )
    answering = Answering(settings, store, memory, models, clock)
    acting = Acting(settings, store, asked, memory)
    turns = Turns(
        settings,
        store,
        registry,
        clock,
        numbers,
        executors={
            RECALL.name: answering.recall,
            SAY.name: answering.say,
            ANSWER.name: answering.answer,
            REMEMBER.name: acting.remember,
        },
        askers={FORGET.name: acting.ask_to_forget},
    )
    confirmations = Confirmations(store, asked, memory, clock, numbers)
    sweep = Sweep(store, asked, registry, confirmations, clock, numbers)
    return House(turns, confirmations, registry, store, memory), sweep


async def move_switch(settings: Settings, enabled: bool) -> None:
    """Switch actions on or off for the whole house, at once."""
    async with await Pool.open(database(settings), max_size=1) as pool:
        await Store(pool).set_actions(enabled)
    logs.get(SERVICE).info("switch.moved", actions="on" if enabled else "off")


def main(arguments: list[str]) -> None:
    """Serve, or move the off switch."""
    settings = load(Settings)
    logs.setup(SERVICE, settings.log_level)
    if arguments:
        if len(arguments) != 2 or arguments[0] != "actions" or arguments[1] not in ("on", "off"):
            raise SystemExit("usage: python -m orchestrator [actions on|off]")
        asyncio.run(move_switch(settings, arguments[1] == "on"))
        return
    app = Starlette(routes=ROUTES, lifespan=with_heartbeat(lifespan))
    verifier = CallerVerifier(settings.caller_public_key)
    equip(app, SERVICE, domain="agents", settings=settings, verifier=verifier)
    serve(app, settings)


if __name__ == "__main__":
    main(sys.argv[1:])
