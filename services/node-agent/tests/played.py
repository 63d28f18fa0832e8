"""An engine that speaks the engine's own protocol over a socket, and model servers behind it. Nothing is really run.

A container that is started serves at its address (127.X.N.2, all of them loopback); it can be told to misbehave.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web


@dataclass
class PlayedModel:
    """What a model's server does next, and what it was asked. Shared by all containers of one image."""

    ready: bool = True
    asleep: bool = False
    sleeps: bool = True  # whether it does sleep when it is told
    hangs: bool = False
    tokens: int = 3
    token_seconds: float = 0.0
    asked: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    ended_early: asyncio.Event = field(default_factory=asyncio.Event)
    touched: int = 0
    breaks_after: int | None = None
    halves: bool = False  # whether what it says of itself comes in two pieces

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if self.hangs:
            await asyncio.sleep(3600)
        self.asked.append(f"{request.method} {request.path_qs}")
        match request.path:
            case "/health":
                return web.json_response({"status": "ok"}, status=200 if self.ready else 503)
            case "/props" | "/is_sleeping":
                told = json.dumps({"is_sleeping": self.asleep}).encode()
                if not self.halves:
                    return web.Response(body=told, content_type="application/json")
                answer = web.StreamResponse(headers={"content-length": str(len(told))})
                await answer.prepare(request)
                await answer.write(told[:9])
                await asyncio.sleep(0.05)
                await answer.write(told[9:])
                return answer
            case "/lora-adapters":
                self.touched += 1
                self.asleep = False
                return web.json_response([])
            case "/sleep":
                self.asleep = self.sleeps
                return web.json_response({"status": "sleeping", "level": 1})
            case "/wake_up":
                # As vLLM: awake once all of it is back, whatever was woken first.
                tags = request.query.getall("tags", [])
                self.asleep = bool(tags) and "kv_cache" not in tags
                status = "sleeping" if self.asleep else "awake"
                return web.json_response({"status": status, "tags": tags or None})
            case "/collective_rpc":
                return web.json_response({"results": [None]})
            case _:
                return await self.answer(request)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.headers.append(dict(request.headers))
        self.bodies.append(await request.read())
        if self.breaks_after == 0:
            assert request.transport is not None
            request.transport.abort()
        answer = web.StreamResponse(headers={"content-type": "text/event-stream", "x-model": "yes"})
        await answer.prepare(request)
        try:
            for number in range(self.tokens):
                if number == self.breaks_after:
                    assert request.transport is not None
                    request.transport.abort()
                await answer.write(f"data: {number}\n\n".encode())
                await asyncio.sleep(self.token_seconds)
        except (ConnectionError, asyncio.CancelledError):
            self.ended_early.set()
            raise
        await answer.write_eof()
        return answer


@dataclass
class PlayedContainer:
    id: str
    name: str
    body: dict[str, Any]
    state: str = "created"
    exit_code: int = 0
    oom_killed: bool = False
    log: str = ""
    runner: web.AppRunner | None = None
    stops_in_seconds: float = 0.0

    @property
    def address(self) -> str:
        (network,) = self.body["NetworkingConfig"]["EndpointsConfig"].values()
        return network["IPAMConfig"]["IPv4Address"]


class PlayedEngine:
    """The engine. `hangs` makes every call wait; `refuses` makes the named call fail with those words."""

    def __init__(self) -> None:
        self.containers: dict[str, PlayedContainer] = {}
        self.networks: dict[str, dict[str, Any]] = {}
        self.models: dict[str, PlayedModel] = {}
        self.images: dict[str, str] = {}
        self.calls: list[str] = []
        self.hangs = False
        self.refuses: dict[str, str] = {}
        self.dies_at_start: tuple[int, str] | None = None
        self.create_seconds = 0.0
        self.starts_refused = ""
        self._listeners: set[asyncio.Queue[bytes]] = set()

    def model(self, image: str) -> PlayedModel:
        return self.models.setdefault(image, PlayedModel())

    def named(self, instance_id: str) -> PlayedContainer | None:
        return next(
            (c for c in self.containers.values() if c.name == f"lares-model-{instance_id}"), None
        )

    async def die(
        self, container: PlayedContainer, code: int, *, oom: bool = False, log: str = ""
    ) -> None:
        """Its process ends by itself."""
        container.oom_killed, container.log = oom, container.log + log
        await self._end(container, code)

    def hang_up(self) -> None:
        """End every stream of events, as an engine that is started anew does."""
        for queue in self._listeners:
            queue.put_nowait(b"")

    async def _end(self, container: PlayedContainer, code: int) -> None:
        if container.state != "running":
            return
        container.state, container.exit_code = "exited", code
        if container.runner is not None:
            await container.runner.cleanup()
        line = json.dumps({"Action": "die", "Actor": {"ID": container.id}}).encode() + b"\n"
        for queue in self._listeners:
            queue.put_nowait(line)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        call = f"{request.method} {request.path}"
        self.calls.append(f"{request.method} {request.path_qs}")
        if self.hangs:
            await asyncio.sleep(3600)
        for start, words in self.refuses.items():
            if call.startswith(start):
                return web.json_response({"message": words}, status=500)
        if request.path == "/events":
            return await self._events(request)
        for pattern, handler in (
            (r"GET /_ping", self._ping),
            (r"GET /containers/json", self._list),
            (r"POST /containers/create", self._create),
            (r"POST /containers/([^/]+)/start", self._start),
            (r"POST /containers/([^/]+)/stop", self._stop),
            (r"DELETE /containers/([^/]+)", self._remove),
            (r"GET /containers/([^/]+)/json", self._inspect),
            (r"GET /containers/([^/]+)/logs", self._logs),
            (r"GET /images/(.+)/json", self._image),
            (r"GET /networks", self._networks),
            (r"POST /networks/create", self._make_network),
            (r"POST /networks/([^/]+)/(?:dis)?connect", self._ok),
            (r"DELETE /networks/([^/]+)", self._remove_network),
        ):
            found = re.fullmatch(pattern, call)
            if found:
                return await handler(request, *found.groups())
        return web.json_response({"message": f"page not found: {call}"}, status=404)

    def _find(self, key: str) -> PlayedContainer | None:
        return self.containers.get(key) or next(
            (c for c in self.containers.values() if c.name == key), None
        )

    async def _ping(self, _: web.Request) -> web.Response:
        return web.Response(text="OK")

    async def _ok(self, _: web.Request, __: str) -> web.Response:
        return web.Response()

    async def _list(self, _: web.Request) -> web.Response:
        return web.json_response(
            [
                {"Id": c.id, "Names": [f"/{c.name}"], "State": c.state, "Labels": c.body["Labels"]}
                for c in self.containers.values()
            ]
        )

    async def _create(self, request: web.Request) -> web.Response:
        name, body = request.query["name"], await request.json()
        await asyncio.sleep(self.create_seconds)
        if self._find(name):
            return web.json_response({"message": f"The name {name} is already in use"}, status=409)
        if body["Image"] not in self.images:
            return web.json_response({"message": f"No such image: {body['Image']}"}, status=404)
        made = PlayedContainer(secrets.token_hex(32), name, body)
        self.containers[made.id] = made
        return web.json_response({"Id": made.id}, status=201)

    async def _start(self, _: web.Request, key: str) -> web.Response:
        container = self._find(key)
        if container is None:
            return web.json_response({"message": "No such container"}, status=404)
        if container.state == "running":
            return web.Response(status=304)
        if self.starts_refused:
            container.exit_code = 128
            return web.json_response({"message": self.starts_refused}, status=500)
        container.state = "running"
        if self.dies_at_start is not None:
            code, log = self.dies_at_start
            asyncio.get_running_loop().call_later(
                0.05, lambda: asyncio.ensure_future(self.die(container, code, log=log))
            )
            return web.Response(status=204)
        app = web.Application()
        app.router.add_route("*", "/{rest:.*}", self.model(container.body["Image"]).handle)
        container.runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await container.runner.setup()
        await web.TCPSite(container.runner, container.address, 8000).start()
        return web.Response(status=204)

    async def _stop(self, _: web.Request, key: str) -> web.Response:
        container = self._find(key)
        if container is None:
            return web.json_response({"message": "No such container"}, status=404)
        await asyncio.sleep(container.stops_in_seconds)
        await self._end(container, 0)
        return web.Response(status=204)

    async def _remove(self, _: web.Request, key: str) -> web.Response:
        container = self._find(key)
        if container is None:
            return web.json_response({"message": "No such container"}, status=404)
        await self._end(container, 137)
        if container.runner is not None:
            await container.runner.cleanup()
        self.containers.pop(container.id, None)
        return web.Response(status=204)

    async def _inspect(self, _: web.Request, key: str) -> web.Response:
        container = self._find(key)
        if container is None:
            return web.json_response({"message": "No such container"}, status=404)
        state = {
            "Running": container.state == "running",
            "ExitCode": container.exit_code,
            "OOMKilled": container.oom_killed,
        }
        return web.json_response({"Id": container.id, "State": state})

    async def _logs(self, _: web.Request, key: str) -> web.Response:
        container = self._find(key)
        text = container.log.encode() if container else b""
        return web.Response(body=b"\x02\0\0\0" + len(text).to_bytes(4, "big") + text)

    async def _image(self, _: web.Request, name: str) -> web.Response:
        if name not in self.images:
            return web.json_response({"message": "No such image"}, status=404)
        return web.json_response({"Id": self.images[name]})

    async def _networks(self, _: web.Request) -> web.Response:
        return web.json_response(list(self.networks.values()))

    async def _make_network(self, request: web.Request) -> web.Response:
        body = await request.json()
        if body["Name"] in self.networks:
            return web.json_response({"message": "network already exists"}, status=409)
        self.networks[body["Name"]] = body
        return web.json_response({"Id": body["Name"]}, status=201)

    async def _remove_network(self, _: web.Request, name: str) -> web.Response:
        return web.Response(status=204 if self.networks.pop(name, None) else 404)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        self._listeners.add(queue)
        try:
            while line := await queue.get():
                await answer.write(line)
            return answer
        finally:
            self._listeners.discard(queue)

    @asynccontextmanager
    async def serving(self, path: Path) -> AsyncIterator[None]:
        app = web.Application()
        app.router.add_route("*", "/{rest:.*}", self.handle)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        await web.UnixSite(runner, str(path)).start()
        try:
            yield
        finally:
            await runner.cleanup()
            for container in self.containers.values():
                if container.runner is not None:
                    await container.runner.cleanup()
