"""Settings -> engine, cards, catalogue -> node -> server: the only wiring."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncGenerator

import uvloop
from aiohttp import web
from kit import logs
from kit.clock import Clock
from kit.errors import KitError
from kit.health import Health
from kit.settings import EXIT_CONFIG, load

from node_agent import renewing, tls, watch
from node_agent.app import Answers
from node_agent.cards import Cards, open_reader
from node_agent.engine import Engine
from node_agent.node import Node
from node_agent.numbers import Numbers
from node_agent.proxy import open_session
from node_agent.settings import Settings, check_bind

log = logs.get(__name__)

KEEP_ALIVE_SECONDS = 75.0
LAST_SECONDS = 5.0


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Raises KitError where it cannot start at all."""
    check_bind(settings.bind)
    renewing.complete(settings.tls_dir)
    context = tls.server_context(settings)
    renewal = renewing.Renewal(settings.tls_dir, context)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with contextlib.AsyncExitStack() as closing:
        engine = Engine(settings.socket_path, settings.node)
        closing.push_async_callback(engine.close)
        session = await closing.enter_async_context(open_session(settings.connections_max))
        cards = Cards(
            open_reader(
                settings.cards,
                simulated=settings.simulated_cards,
                use=settings.simulated_use,
                cgroup_root=settings.cgroup_path,
                proc_root=settings.proc_path,
                faults=settings.simulated_faults,
                node=settings.node,
            )
        )
        closing.push_async_callback(cards.close)
        node = Node(settings, engine, cards, Clock(), Numbers(), session)
        health = Health("node-agent", settings.heartbeat_path)
        health.register("engine", engine.ping)
        app = Answers(node, health).app(*renewal.routes())
        runner = web.AppRunner(
            app,
            handler_cancellation=True,
            access_log=None,
            keepalive_timeout=KEEP_ALIVE_SECONDS,
            shutdown_timeout=1.0,
        )
        await runner.setup()
        closing.push_async_callback(runner.cleanup)
        await web.TCPSite(
            runner, settings.bind, settings.port, ssl_context=context, backlog=256
        ).start()
        log.info("service.starting", bind=settings.bind, port=settings.port, node=settings.node)
        await closing.enter_async_context(health.beating())
        async with _tasks(node):
            await stop.wait()
            await leave(node)


async def leave(node: Node) -> None:
    """Say that the node goes, let requests end for a while, and stop the models if that is wished."""
    log.info("service.stopping", in_flight=node.in_flight)
    node.leaving = True
    if node.adopted.is_set():
        await node.hub.publish()
    await node.drained(node.settings.stop_seconds)
    if node.settings.stop_models:
        for instance in node.instances.values():
            with contextlib.suppress(ValueError):
                instance.told("stop")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(node.settings.stop_seconds + LAST_SECONDS):
                for instance in tuple(node.instances.values()):
                    await instance.settled()
    await asyncio.gather(*(instance.abandon() for instance in node.instances.values()))


@contextlib.asynccontextmanager
async def _tasks(node: Node) -> AsyncGenerator[None]:
    """Run what runs beside the server; what breaks in there ends the agent, and the engine starts it again."""
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(work, name=work.__qualname__)
            for work in (
                watch.adopt(node),
                watch.watch_deaths(node),
                watch.reconcile(node),
                watch.watch_catalogue(node),
                node.hub.run(),
            )
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()


def main() -> None:
    """Read the settings and serve; what keeps it from starting ends it with 78."""
    settings = load(Settings)
    logs.setup("node-agent", settings.log_level)
    try:
        uvloop.run(serve(settings))
    except KitError as error:
        log.error("service.refused", code=error.code, reason=error.reason, fix=error.fix)
        raise SystemExit(EXIT_CONFIG) from error


if __name__ == "__main__":
    main()
