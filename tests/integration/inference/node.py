"""A GPU node in one process: the contract's three addresses over mutual TLS, and a model that counts what it answers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from aiohttp import web
from contracts.gpunode import (
    ACTIONS_PATH,
    EVENTS_PATH,
    FENCE_HEADER,
    INSTANCES_PATH,
    REQUEST_HEADER,
    ActionTaken,
    CardReading,
    CardUse,
    DeclaredModel,
    Footprint,
    InstancePhase,
    InstanceState,
    NodeAction,
    NodeState,
)

MIB = 4000
WORDS = 6


class Talker:
    """A chat model: `WORDS` words at a pace, and a count of the answers it gave to their end, by prompt."""

    def __init__(self, pause_seconds: float = 0.02) -> None:
        self.pause_seconds = pause_seconds
        self.answered: Counter[str] = Counter()
        self.asked: Counter[str] = Counter()
        self.running = 0

    async def chat(self, request: web.Request) -> web.StreamResponse:
        """Answer a chat request in OpenAI's shape."""
        fields = await request.json()
        prompt = fields["messages"][-1]["content"]
        self.asked[prompt] += 1
        self.running += 1
        try:
            return await self._answer(request, prompt, bool(fields.get("stream")))
        finally:
            self.running -= 1

    async def _answer(
        self, request: web.Request, prompt: str, streamed: bool
    ) -> web.StreamResponse:
        usage = {"prompt_tokens": 3, "completion_tokens": WORDS, "total_tokens": 3 + WORDS}
        if not streamed:
            await asyncio.sleep(self.pause_seconds * WORDS)
            self.answered[prompt] += 1
            message = {"role": "assistant", "content": "word " * WORDS}
            choice = {"index": 0, "finish_reason": "stop", "message": message}
            return web.json_response({"id": "1", "choices": [choice], "usage": usage})
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for place in range(WORDS + 1):
            await asyncio.sleep(self.pause_seconds)
            delta = {"content": "word "} if place < WORDS else {}
            finish = None if place < WORDS else "stop"
            choice = {"index": 0, "delta": delta, "finish_reason": finish}
            chunk = {"id": "1", "object": "chat.completion.chunk", "choices": [choice]}
            await response.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
        self.answered[prompt] += 1
        await response.write(b"data: [DONE]\n\n")
        return response


@dataclass
class Instance:
    """One container that is not there."""

    id: str
    model: str
    cards: tuple[str, ...]
    phase: InstancePhase
    fence: int
    action_id: str
    since: datetime = field(default_factory=lambda: datetime.now(UTC))


class Node:
    """Starts what it is told to at once; takes each fence and request id once, as node-agent does."""

    def __init__(self, *models: str, slots: int = 4) -> None:
        self.talker = Talker()
        self.slots = slots
        self.models = models
        self.instances: dict[str, Instance] = {}
        self.taken: set[tuple[str, str]] = set()
        self.repeated = 0
        self.port = 0
        self._seq = 0
        self._changed = asyncio.Event()

    def _declared(self, name: str) -> DeclaredModel:
        footprint = Footprint(
            weights_mib=MIB - 500, cache_mib=500, compute_mib=0, source="declared"
        )
        return DeclaredModel(
            model=name,
            kind="chat",
            fingerprint="ab" * 16,
            footprint=footprint,
            context_tokens=4096,
            slots=self.slots,
            start_seconds=0.1,
            stop_seconds=0.1,
        )

    def _state(self) -> NodeState:
        self._seq += 1
        live = [one for one in self.instances.values() if one.phase != "stopped"]
        ours = tuple(CardUse(instance_id=one.id, used_mib=MIB) for one in live)
        card = CardReading(
            id="GPU-0",
            index=0,
            name="A card",
            vendor="simulated",
            total_mib=24_000,
            used_mib=300 + MIB * len(live),
            ours=ours,
        )
        states = tuple(
            InstanceState(
                instance_id=one.id,
                model=one.model,
                fingerprint="ab" * 16,
                cards=one.cards,
                phase=one.phase,
                since=one.since,
                fence=one.fence,
                peak_mib={},
                in_flight=self.talker.running,
                action_id=one.action_id,
            )
            for one in self.instances.values()
        )
        return NodeState(
            node="forge",
            boot="boot-1",
            seq=self._seq,
            at=datetime.now(UTC),
            fence=max((one.fence for one in self.instances.values()), default=0),
            ram_total_mib=64_000,
            ram_used_mib=4_000,
            ram_budget_mib=32_000,
            cards=(card,),
            models=tuple(self._declared(name) for name in self.models),
            instances=states,
        )

    async def _events(self, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        with contextlib.suppress(ConnectionError):
            while True:
                self._changed.clear()
                await answer.write(self._state().model_dump_json().encode() + b"\n")
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), 0.5)
        return answer

    async def _act(self, request: web.Request) -> web.Response:
        action = NodeAction.model_validate_json(await request.read())
        known = self.instances.get(action.instance_id or "")
        repeated = known is not None and known.action_id == action.action_id
        if action.verb == "start" and not repeated:
            self.instances[str(action.instance_id)] = Instance(
                str(action.instance_id),
                str(action.model),
                action.cards,
                "ready",
                action.fence,
                action.action_id,
            )
        elif known is not None and not repeated:
            known.action_id, known.fence = action.action_id, action.fence
            known.phase = "stopped" if action.verb == "stop" else known.phase
        self._changed.set()
        taken = ActionTaken(action_id=action.action_id, repeated=repeated)
        return web.json_response(text=taken.model_dump_json(), status=202)

    async def _pass_on(self, request: web.Request) -> web.StreamResponse:
        instance = self.instances.get(request.match_info["instance"])
        fence, request_id = request.headers[FENCE_HEADER], request.headers[REQUEST_HEADER]
        if instance is None or instance.phase != "ready":
            return _refused(404, "node.instance_unknown")
        if (fence, request_id) in self.taken:
            self.repeated += 1
            return _refused(409, "node.request_repeated")
        self.taken.add((fence, request_id))
        return await self.talker.chat(request)

    @asynccontextmanager
    async def serving(self, tls: ssl.SSLContext) -> AsyncGenerator[Node]:
        """Listen on a free port of the loopback, until the block ends."""
        app = web.Application()
        app.router.add_get(EVENTS_PATH, self._events)
        app.router.add_post(ACTIONS_PATH, self._act)
        app.router.add_post(f"{INSTANCES_PATH}/{{instance}}/v1/chat/completions", self._pass_on)
        async with listening(app, tls) as port:
            self.port = port
            yield self


def _refused(status: int, code: str) -> web.Response:
    body = {"error": {"code": code, "reason": "It is so.", "fix": "Nothing."}}
    return web.json_response(body, status=status, headers={"x-lares-node-error": code})


@asynccontextmanager
async def listening(app: web.Application, tls: ssl.SSLContext | None = None) -> AsyncGenerator[int]:
    """Serve `app` on a free port of the loopback."""
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    server: Any = site._server
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        await runner.cleanup()


class Link:
    """The egress proxy between the house and the node: CONNECT alone; `cut` ends every tunnel and refuses new ones.

    While `passing` is not set, what is sent is swallowed and nobody is told, as by a cable that was pulled. Of the next
    `answers_lost` tunnels the request arrives, and the answer does not.
    """

    def __init__(self) -> None:
        self.port = 0
        self.up = True
        self.passing = asyncio.Event()
        self.passing.set()
        self.answers_lost = 0
        self._open: set[asyncio.StreamWriter] = set()

    def cut(self) -> None:
        """The link is gone."""
        self.up = False
        for writer in list(self._open):
            writer.transport.abort()

    @asynccontextmanager
    async def serving(self) -> AsyncGenerator[Link]:
        """Listen until the block ends."""
        server = await asyncio.start_server(self._tunnel, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            self.cut()
            server.close()

    async def _tunnel(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        verb, where, _ = (await reader.readuntil(b"\r\n\r\n")).split(b" ", 2)
        if not self.up or verb != b"CONNECT":
            writer.write(b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n")
            writer.close()
            return
        host, _, port = where.decode().rpartition(":")
        far_reader, far_writer = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        if self.answers_lost:
            self.answers_lost -= 1
            await self._lose(reader, writer, far_reader, far_writer)
            return
        ends = {writer, far_writer}
        self._open |= ends
        await asyncio.gather(
            self._copy(reader, far_writer),
            self._copy(far_reader, writer),
            return_exceptions=True,
        )
        self._open -= ends

    async def _lose(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        far_reader: asyncio.StreamReader,
        far_writer: asyncio.StreamWriter,
    ) -> None:
        """Let the handshake through, and the request; hang up when the answer comes."""
        to_node = asyncio.create_task(self._copy(reader, far_writer))
        writer.write(await far_reader.read(65_536))
        # TLS 1.3 without tickets: whatever the node says after its one flight is the answer.
        await far_reader.read(65_536)
        writer.transport.abort()
        far_writer.transport.abort()
        await asyncio.gather(to_node, return_exceptions=True)

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._pass(reader, writer)
        finally:
            writer.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(65_536):
            await self.passing.wait()
            writer.write(piece)
            await writer.drain()
