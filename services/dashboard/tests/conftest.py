"""The dashboard's backend as it runs, before neighbours whose every byte the test decides."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
import uvicorn
from dashboard.app import build
from dashboard.settings import Settings

Answer = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Neighbour:
    """A server that answers each path as it was told, or hangs up as it was told."""

    answers: dict[str, Answer] = field(default_factory=dict)
    requests: list[bytes] = field(default_factory=list)
    hung_up: asyncio.Event = field(default_factory=asyncio.Event)
    url: str = ""

    def says(self, path: str, body: bytes, status: str = "200 OK") -> None:
        """Answer `path` with JSON."""

        async def answer(_: bytes, writer: asyncio.StreamWriter) -> None:
            head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
            writer.write(head.encode() + body)

        self.answers[path] = answer

    def streams(
        self, path: str, script: Callable[[Callable[[bytes], Awaitable[None]]], Awaitable[None]]
    ) -> None:
        """Answer `path` with a stream of chunks, sent one at a time by `script(send)`."""

        async def answer(_: bytes, writer: asyncio.StreamWriter) -> None:
            writer.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
            )

            async def send(data: bytes) -> None:
                writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
                await writer.drain()

            await script(send)
            writer.write(b"0\r\n\r\n")

        self.answers[path] = answer

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take one request a connection."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = 0
            for line in head.split(b"\r\n"):
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            self.requests.append(head + await reader.readexactly(length))
            path = head.split(b" ")[1].decode().split("?")[0]
            gone = asyncio.create_task(self._watch(reader))
            if path in self.answers:
                await self.answers[path](self.requests[-1], writer)
                await writer.drain()
            gone.cancel()
        except (OSError, asyncio.IncompleteReadError):
            self.hung_up.set()
        finally:
            writer.close()

    async def _watch(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(OSError):
            if await reader.read(1) == b"":
                self.hung_up.set()


@dataclass
class House:
    """The running backend, a client of it, and the neighbours that the test speaks for."""

    client: httpx.AsyncClient
    memory: Neighbour
    orchestrator: Neighbour
    registry: Neighbour
    scheduler: Neighbour
    models: Neighbour
    forward_auth: Neighbour
    caller_factory: Any

    def signed_in(self, **attributes: Any) -> dict[str, str]:
        """Headers of a request that the edge let in."""
        headers: dict[str, str] = self.caller_factory(**attributes).headers
        return headers


@pytest.fixture
async def house(
    caller_factory: Any, make_settings: Any, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[House]:
    # Sessions are asked about sooner than in the house, so that no test waits for seconds.
    monkeypatch.setattr("dashboard.streams.CHECK_SECONDS", 0.05)
    names = ("memory", "orchestrator", "registry", "scheduler", "models", "forward_auth")
    neighbours = {name: Neighbour() for name in names}
    servers = []
    for neighbour in neighbours.values():
        server = await asyncio.start_server(neighbour.serve, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()
        neighbour.url = f"http://{host}:{port}"
        servers.append(server)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = make_settings(
        Settings,
        memory_url=neighbours["memory"].url,
        orchestrator_url=neighbours["orchestrator"].url,
        state_registry_url=neighbours["registry"].url,
        gpu_scheduler_url=neighbours["scheduler"].url,
        forward_auth_url=neighbours["forward_auth"].url,
        model_gateway_url=neighbours["models"].url,
        streams_per_person_max=2,
        valkey_host="127.0.0.1",
        valkey_port=9,
        valkey_password="none",
        caller_public_key=caller_factory.public_key_pem,
    )
    config = uvicorn.Config(
        build(settings), host="127.0.0.1", port=port, log_config=None, timeout_graceful_shutdown=1
    )
    running = uvicorn.Server(config)
    task = asyncio.create_task(running.serve())
    while not running.started:
        await asyncio.sleep(0.01)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
        yield House(client, **neighbours, caller_factory=caller_factory)
    running.should_exit = True
    await task
    for server in servers:
        server.close()
