"""The application: what stands behind the routes, and how it begins. Bare Starlette: a framework would not pay."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncGenerator, Awaitable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from kit import logs
from kit.auth import CallerVerifier
from kit.bus import Broker, Bus
from kit.clock import Clock
from kit.errors import KitError
from kit.http import equip, with_heartbeat
from kit.pool import Database, Pool
from starlette.applications import Starlette
from starlette.requests import Request

from gpu_scheduler import join
from gpu_scheduler.agents import Agents
from gpu_scheduler.announcing import Announcer
from gpu_scheduler.authority import Authority, client_context
from gpu_scheduler.authority_renewal import Renewal
from gpu_scheduler.bookkeeping import Bookkeeping
from gpu_scheduler.core.apply import apply
from gpu_scheduler.core.events import NodeLost, Ordered, PeaksLearned
from gpu_scheduler.core.model import State
from gpu_scheduler.effects import Hands
from gpu_scheduler.epochs import Epochs
from gpu_scheduler.errors import Starting
from gpu_scheduler.fleet import Fleet
from gpu_scheduler.gateways import Gateways
from gpu_scheduler.house import House
from gpu_scheduler.join_store import JoinStore
from gpu_scheduler.journal import Journal
from gpu_scheduler.keeping import Keeper
from gpu_scheduler.leases import Leases
from gpu_scheduler.loop import Loop
from gpu_scheduler.node_http import Way
from gpu_scheduler.numbers import Numbers
from gpu_scheduler.offers import Offers
from gpu_scheduler.orders import Orders, standing
from gpu_scheduler.placing import Placing
from gpu_scheduler.policy import read
from gpu_scheduler.resting import Resting
from gpu_scheduler.routes import ROUTES
from gpu_scheduler.settings import Settings
from gpu_scheduler.store import Store
from gpu_scheduler.wake import Waker

log = logs.get(__name__)

SERVICE = "gpu-scheduler"
LOGIN = "svc_gpu_scheduler"
# One of the login's three is for `python -m gpu_scheduler.nodes`, which runs beside the service.
CONNECTIONS_MAX = 2
FENCES_OF_AN_EPOCH = 1_000_000_000
LAG_SECONDS_MAX = 5.0
BEGIN_PAUSE_SECONDS = 0.5


class Scheduler:
    """All parts, wired; `begin` brings them to life once Postgres has said what was before."""

    def __init__(
        self, settings: Settings, clock: Clock, numbers: Numbers, pool: Pool, bus: Bus
    ) -> None:
        self._settings = settings
        self._clock = clock
        off = settings.disabled
        self.members = JoinStore(pool, clock)
        store = Store(pool)
        self._keeper = Keeper(store, clock, numbers, settings.history_days)
        journal = Journal(clock, self._keeper)
        hands = Hands(clock, numbers, journal)
        loop = Loop(State(policy=read(settings.scheduling_file)), hands, clock)
        fleet = Fleet(
            self.members,
            loop,
            clock,
            numbers,
            silence_s=settings.node_silence_seconds,
            keeper=self._keeper,
            waker=Waker(settings.wake_dir).wake,
        )
        placing, offers = Placing(), Offers(fleet, disabled=off)
        gateways = Gateways(
            loop,
            offers,
            placing,
            clock,
            numbers,
            grace_s=settings.grace_seconds,
            disabled=off,
        )
        leases = Leases(loop, store, self._keeper, fleet, placing, clock, disabled=off)
        agents = Agents(loop, clock)
        orders = Orders(loop, fleet, self._keeper, clock, disabled=off)
        hands.wire(loop, gateways, leases, fleet)
        self._announcer = Announcer(bus, clock)
        resting = Resting(fleet, settings.node_idle_seconds)
        self._epochs = Epochs(loop, fleet, store, self._keeper)
        books = Bookkeeping(loop, fleet, self._keeper, numbers, clock)
        for watcher in (
            *(gateways.turned, leases.turned, agents.turned, fleet.turned),
            *(self._announcer.turned, books.turned, resting.turned, self._epochs.turned),
        ):
            loop.watch(watcher)
        self.authority = Authority(settings.node_authority, settings.node_authority_key, clock)
        self._renewal = Renewal(self.members, self.authority, clock, fleet.ask)
        self.house = House(
            clock, loop, store, fleet, gateways, leases, agents, orders, placing, journal
        )

    async def ping(self) -> None:
        """Return while decisions are made. Raises Starting."""
        if not self.house.gateways.ready:
            raise Starting()
        if self.house.loop.lag_seconds > LAG_SECONDS_MAX:
            raise Starting("Decisions are late: the scheduler does not keep up.")

    async def run(self) -> None:
        """Begin, and go on until cancelled. A part that breaks ends the process: the next start reads everything anew."""
        await self._remember()
        work: list[Awaitable[None]] = [
            self.house.loop.run(),
            self._reach_nodes(),
            self._keeper.run(),
            self._announcer.run(),
            self._renewal.run(),
        ]
        self.house.gateways.ready = True
        log.info("scheduler.begun", epoch=self.house.loop.state.epoch)
        tasks = [asyncio.ensure_future(part) for part in work]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._epochs.close()
            await self._write_last()

    async def _remember(self) -> None:
        """Read what outlives a restart. While Postgres is away nothing begins: without a new epoch no fence would be safe."""
        told = False
        while True:
            try:
                store = self.house.store
                epoch = await store.next_epoch()
                peaks, orders = await store.peaks(), await store.orders()
                kept, words = await store.leases(), await store.words()
                members = await self.members.present()
                break
            except KitError as error:
                if not told:
                    log.warning("scheduler.waiting", code=error.code)
                told = True
                await self._clock.sleep(BEGIN_PAUSE_SECONDS)
        state, now = self.house.loop.state, self._clock.monotonic()
        state.epoch = self._keeper.epoch = epoch
        state.fence = epoch * FENCES_OF_AN_EPOCH
        state.started_at = now
        apply(state, PeaksLearned(peaks), now)
        for seen in self.house.fleet.remember(words, members):
            apply(state, seen, now)
            apply(state, NodeLost(seen.node), now)
        for order in standing(orders):
            apply(state, order, now)
        if self._settings.disabled:
            apply(state, Ordered("pause"), now)
        for held in self.house.leases.restore(kept, now):
            apply(state, held, now)

    async def _reach_nodes(self) -> None:
        settings = self._settings
        context = client_context(
            settings.node_authority, settings.node_client_certificate, settings.node_client_key
        )
        await self.house.fleet.run(Way(settings.egress_proxy_url, context))

    async def _write_last(self) -> None:
        with contextlib.suppress(Exception):
            async with asyncio.timeout(2.0):
                await self._keeper.write()


@asynccontextmanager
async def running(app: Starlette) -> AsyncGenerator[dict[str, Any]]:
    """Open the dependencies, run the scheduler beside the service, close in reverse."""
    settings: Settings = app.state.settings
    clock = Clock()
    database = Database(
        settings.postgres_host, LOGIN, settings.db_password, port=settings.postgres_port
    )
    broker = Broker(
        settings.valkey_host, "gpu_scheduler", settings.valkey_password, settings.valkey_port
    )
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(
            await Pool.open(database, max_size=CONNECTIONS_MAX, command_timeout_s=5.0)
        )
        bus = await stack.enter_async_context(
            Bus.open(broker, clock=clock, metrics=app.state.metrics, length_max=1000)
        )
        scheduler = Scheduler(settings, clock, Numbers(app.state.metrics), pool, bus)
        app.state.scheduler = scheduler
        app.state.health.register("scheduler", scheduler.ping)
        task = asyncio.create_task(scheduler.run(), name="scheduler")
        task.add_done_callback(_broken)
        try:
            yield {"house": scheduler.house, "joins": scheduler.members}
        finally:
            await scheduler.house.gateways.close()
            task.remove_done_callback(_broken)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def _broken(task: asyncio.Task[None]) -> None:
    error = None if task.cancelled() else task.exception()
    if error is not None:
        log.exception("scheduler.broken", error)
    os.kill(os.getpid(), signal.SIGTERM)


async def _joined(request: Request) -> None:
    # The node is in the books; that its link begins a little later harms nobody.
    with contextlib.suppress(KitError):
        await request.state.house.fleet.refresh()


def build(settings: Settings) -> Starlette:
    """Return the application. Nothing is connected before it starts."""
    app = Starlette(routes=list(ROUTES), lifespan=with_heartbeat(running))
    equip(
        app,
        SERVICE,
        domain="inference",
        settings=settings,
        verifier=CallerVerifier(settings.caller_public_key),
    )
    authority = Authority(settings.node_authority, settings.node_authority_key, Clock())
    app.router.routes.extend(
        join.routes(lambda request: request.state.joins, authority, Clock(), _joined)
    )
    # The last added is the outermost: the edge reaches one path, before anything else looks at what it sends.
    app.add_middleware(join.EdgeOnly, caddy_address=settings.caddy_address)
    return app
