"""A GPU node that speaks the contract over mutual TLS: it keeps its instances in memory and its times short."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from aiohttp import web
from contracts.gpunode import (
    ACTIONS_PATH,
    EVENTS_PATH,
    ActionTaken,
    CardReading,
    CardUse,
    DeclaredModel,
    Footprint,
    InstanceState,
    NodeAction,
    NodeState,
)

Phase = Literal[
    "starting", "ready", "sleeping", "asleep", "waking", "stopping", "stopped", "failed"
]
CARD = "GPU-0"
STOPPED_SHOWN_SECONDS = 2.0


def model(name: str, mib: int = 4000, **changed: Any) -> DeclaredModel:
    """A model of a catalogue; `mib` is all of it on a card."""
    footprint = Footprint(
        weights_mib=mib * 3 // 4, cache_mib=mib - mib * 3 // 4, compute_mib=0, source="declared"
    )
    told: dict[str, Any] = {
        "model": name,
        "kind": "chat",
        "fingerprint": "ab" * 16,
        "footprint": footprint,
        "context_tokens": 4096,
        "slots": 2,
        "start_seconds": 0.1,
        "stop_seconds": 0.1,
        **changed,
    }
    return DeclaredModel.model_validate(told)


@dataclass
class Running:
    """One container."""

    id: str
    model: DeclaredModel
    cards: tuple[str, ...]
    phase: Phase
    fence: int
    since: datetime = field(default_factory=lambda: datetime.now(UTC))
    action_id: str | None = None
    error: str | None = None
    oom: bool = False
    in_flight: int = 0

    def state(self) -> InstanceState:
        """As the node tells it."""
        return InstanceState(
            instance_id=self.id,
            model=self.model.model,
            fingerprint=self.model.fingerprint,
            cards=self.cards,
            phase=self.phase,
            since=self.since,
            fence=self.fence,
            peak_mib={},
            in_flight=self.in_flight,
            action_id=self.action_id,
            error=self.error,
            out_of_memory=self.oom,
        )


class ANode:
    """The node: what it has, what it was told, and how it misbehaves."""

    def __init__(self, name: str = "forge", total_mib: int = 24_000, card: str = CARD) -> None:
        self.name = name
        self.card = card
        self.address = "127.0.0.1"
        self.total_mib = total_mib
        self.foreign_mib = 300
        self.models: dict[str, DeclaredModel] = {}
        self.instances: dict[str, Running] = {}
        self.actions: list[NodeAction] = []
        self.taken: set[str] = set()
        self.boot = "boot-1"
        self.step_s = 0.05
        self.silent = False
        self.refuse: dict[str, tuple[int, str]] = {}  # verb -> (status, code)
        self.drop = 0  # so many answers to actions get lost
        self.watts: float | None = None
        self.wake_mac: str | None = None
        self.port = 0
        self.listeners = 0
        self.fence = 0  # the highest that it was told
        self._seq = 0
        self._changed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    def offer(self, *models: DeclaredModel) -> ANode:
        """Have these in the catalogue."""
        self.models.update({one.model: one for one in models})
        self.changed()
        return self

    def changed(self) -> None:
        """Say it at once, and not with the next second."""
        self._changed.set()

    def verbs(self) -> list[tuple[str, str | None]]:
        """What it was told, in order."""
        return [(action.verb, action.model) for action in self.actions]

    def uses(self, instance: Running) -> int:
        """What an instance uses of its card."""
        if instance.phase in ("stopped", "failed", "asleep") or instance.model.footprint is None:
            return 0
        return instance.model.footprint.total_mib

    def state(self) -> NodeState:
        """A line."""
        self._seq += 1
        ours = tuple(
            CardUse(instance_id=one.id, used_mib=self.uses(one)) for one in self.instances.values()
        )
        return NodeState(
            node=self.name,
            boot=self.boot,
            seq=self._seq,
            at=datetime.now(UTC),
            fence=self.fence,
            ram_total_mib=64_000,
            ram_used_mib=4_000,
            ram_budget_mib=32_000,
            wake_mac=self.wake_mac,
            cards=(
                CardReading(
                    id=self.card,
                    index=0,
                    name="Simulated Card",
                    vendor="simulated",
                    total_mib=self.total_mib,
                    used_mib=self.foreign_mib + sum(use.used_mib for use in ours),
                    ours=ours,
                    watts=self.watts,
                ),
            ),
            models=tuple(self.models.values()),
            instances=tuple(one.state() for one in self.instances.values()),
        )

    async def _events(self, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        self.listeners += 1
        try:
            while True:
                self._changed.clear()
                if not self.silent:
                    await answer.write(self.state().model_dump_json().encode() + b"\n")
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), 0.5)
        except ConnectionError:
            return answer
        finally:
            self.listeners -= 1

    async def _act(self, request: web.Request) -> web.Response:
        action = NodeAction.model_validate_json(await request.read())
        if action.fence // 1_000_000_000 < self.fence // 1_000_000_000:
            return web.json_response({"error": {"code": "node.fence_stale"}}, status=409)
        if action.verb in self.refuse:
            status, code = self.refuse[action.verb]
            return web.json_response({"error": {"code": code}}, status=status)
        repeated = action.action_id in self.taken
        if not repeated:
            self.taken.add(action.action_id)
            self.actions.append(action)
            self.fence = max(self.fence, action.fence)
            self._carry_out(action)
            self.changed()
        if self.drop:
            self.drop -= 1
            assert request.transport is not None
            request.transport.abort()
        told = ActionTaken(action_id=action.action_id, repeated=repeated)
        return web.json_response(text=told.model_dump_json(), status=202)

    def _carry_out(self, action: NodeAction) -> None:
        known = self.instances.get(action.instance_id or "")
        if action.verb == "start":
            assert action.model is not None
            assert action.instance_id is not None
            known = Running(
                action.instance_id,
                self.models[action.model],
                action.cards,
                "starting",
                action.fence,
            )
            self.instances[action.instance_id] = known
            self._soon(known, "ready", self.step_s)
        elif known is not None:
            steps: dict[str, tuple[Phase, Phase]] = {
                "stop": ("stopping", "stopped"),
                "sleep": ("sleeping", "asleep"),
                "wake": ("waking", "ready"),
            }
            if action.verb in steps:
                known.phase, then = steps[action.verb]
                self._soon(known, then, self.step_s)
        if known is not None:
            known.fence, known.action_id = action.fence, action.action_id

    def _soon(self, instance: Running, phase: Phase, seconds: float) -> None:
        async def move() -> None:
            await asyncio.sleep(seconds)
            if instance.phase != "failed":
                instance.phase, instance.since = phase, datetime.now(UTC)
            self.changed()
            if phase == "stopped":
                await asyncio.sleep(STOPPED_SHOWN_SECONDS)
                self.instances.pop(instance.id, None)

        task = asyncio.create_task(move())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @asynccontextmanager
    async def serving(self, tls: ssl.SSLContext) -> AsyncGenerator[ANode]:
        """Listen on a free port of the loopback, until the block ends."""
        app = web.Application()
        app.router.add_get(EVENTS_PATH, self._events)
        app.router.add_post(ACTIONS_PATH, self._act)
        runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        site = web.TCPSite(runner, self.address, self.port, ssl_context=tls)
        await site.start()
        self.port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
        try:
            yield self
        finally:
            for task in list(self._tasks):
                task.cancel()
            await runner.cleanup()


class Proxy:
    """An egress proxy that knows CONNECT alone; `cut` ends every tunnel and refuses new ones."""

    def __init__(self) -> None:
        self.port = 0
        self.tunnels = 0
        self.closed = False
        self._open: set[asyncio.StreamWriter] = set()

    async def _tunnel(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        verb, where, _ = request.split(b" ", 2)
        host, _, port = where.decode().rpartition(":")
        if self.closed or verb != b"CONNECT":
            writer.close()
            return
        far_reader, far_writer = await asyncio.open_connection(host, int(port))
        self.tunnels += 1
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        self._open |= {writer, far_writer}
        await asyncio.gather(
            _copy(reader, far_writer), _copy(far_reader, writer), return_exceptions=True
        )
        self._open -= {writer, far_writer}

    def cut(self) -> None:
        """The link is gone."""
        self.closed = True
        for writer in self._open:
            writer.transport.abort()

    @asynccontextmanager
    async def serving(self) -> AsyncGenerator[Proxy]:
        """Listen until the block ends."""
        server = await asyncio.start_server(self._tunnel, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            self.cut()
            server.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while piece := await reader.read(65_536):
            writer.write(piece)
            await writer.drain()
    finally:
        writer.close()
