"""A gateway on a loopback port, as it runs in the house, before a backend that speaks OpenAI's protocol and misbehaves on demand."""

import asyncio
import contextlib
import json
import ssl
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from aiohttp import web
from kit.settings import read
from kit.testing.ports import free_port
from model_gateway.app import build
from model_gateway.settings import Settings
from openai import AsyncOpenAI

WORDS = ["Salve", ",", " the", " house", " is", " well", "."]


class Outsider:
    """A model server that is not ours: a real HTTP server with a script.

    `mode` says how it behaves next; `asked` is what it was sent; `left` is set when a client went in mid-answer.
    """

    def __init__(self) -> None:
        self.mode = "well"
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.left = asyncio.Event()
        self.release = asyncio.Event()
        self.running = 0
        self.running_most = 0
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def app(self) -> web.Application:
        app = web.Application(client_max_size=16 << 20)
        app.router.add_post("/v1/chat/completions", self.chat)
        app.router.add_post("/v1/embeddings", self.embeddings)
        app.router.add_post("/elsewhere", self.chat)
        app.router.add_post("/v1/instances/{instance}/v1/chat/completions", self.chat)
        return app

    async def chat(self, request: web.Request) -> web.StreamResponse:
        fields = await request.json()
        self.asked.append(fields)
        self.headers.append(dict(request.headers))
        self.running += 1
        self.running_most = max(self.running_most, self.running)
        try:
            return await self._chat(request, fields)
        except (ConnectionResetError, asyncio.CancelledError):
            self.left.set()
            raise
        finally:
            self.running -= 1

    async def _chat(self, request: web.Request, fields: dict[str, Any]) -> web.StreamResponse:
        refused = REFUSALS.get(self.mode)
        if refused:
            status, body, headers = refused
            return web.Response(
                status=status, text=body, headers=headers, content_type="application/json"
            )
        if self.mode == "held":
            await self.release.wait()
        if self.mode == "silent":
            await asyncio.sleep(30)
        if self.mode == "dead once" and len(self.asked) == 1:
            status, body, headers = REFUSALS["dead"]
            return web.Response(
                status=status, text=body, headers=headers, content_type="application/json"
            )
        if self.mode == "drops" or (self.mode == "drops once" and len(self.asked) == 1):
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        if self.mode == "garbage":
            return web.Response(text="<html>welcome</html>", content_type="application/json")
        if self.mode == "huge":
            return web.Response(
                body=b'{"choices": "' + b"x" * (17 << 20) + b'"}', content_type="application/json"
            )
        if self.mode == "gzip":
            return web.Response(body=b"not really", headers={"content-encoding": "gzip"})
        if fields.get("stream"):
            return await self._stream(request, fields)
        return web.json_response(
            {
                "id": "chatcmpl-1",
                "object": "chat.completion",
                "created": 1,
                "model": fields["model"],
                "timings": {"private": 1},
                "choices": [
                    {
                        "index": 0,
                        "finish_reason": "stop",
                        "message": {"role": "assistant", "content": "".join(WORDS)},
                    }
                ],
                "usage": {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12},
            }
        )

    async def _stream(self, request: web.Request, fields: dict[str, Any]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)

        async def event(delta: dict[str, Any], finish: str | None = None) -> None:
            chunk = {
                "id": "c",
                "object": "chat.completion.chunk",
                "created": 1,
                "model": fields["model"],
            }
            chunk["choices"] = [{"index": 0, "delta": delta, "finish_reason": finish}]
            await response.write(b"data: " + json.dumps(chunk).encode() + b"\r\n\r\n")

        await event({"role": "assistant", "content": None})
        await response.write(b": keep-alive\n\n")
        words = WORDS * 2000 if self.mode == "endless" else WORDS
        for count, word in enumerate(words):
            if self.mode == "breaks" and count == 3:
                assert request.transport is not None
                request.transport.abort()
                return response
            if self.mode == "stops" and count == 3:
                return response
            if self.mode == "bad event" and count == 3:
                await response.write(b"data: {not json}\n\n")
            if self.mode == "huge event" and count == 3:
                await response.write(b"data: " + b"x" * (2 << 20))
            if self.mode == "stalls" and count == 3:
                await asyncio.sleep(30)
            if self.mode == "error event" and count == 3:
                await response.write(b'data: {"error": {"message": "out of memory"}}\n\n')
            await event({"content": word})
            await asyncio.sleep(0.02 if self.mode == "endless" else 0)
        await event({}, "stop")
        if fields.get("stream_options", {}).get("include_usage"):
            usage = {
                "choices": [],
                "usage": {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12},
            }
            await response.write(b"data: " + json.dumps(usage).encode() + b"\n\n")
        if self.mode == "keeps the end":
            await asyncio.sleep(30)
        await response.write(b"data: [DONE]\n\n")
        if self.mode == "lingers":
            await asyncio.sleep(30)
        return response

    async def embeddings(self, request: web.Request) -> web.Response:
        fields = await request.json()
        self.asked.append(fields)
        count = len(fields["input"]) - (1 if self.mode == "one short" else 0)
        size = 3 if self.mode == "wrong size" else 4
        first: Any = float("nan") if self.mode == "not finite" else 0.5
        data = [
            {"object": "embedding", "index": index, "embedding": [first, 0.5, -0.25, index][:size]}
            for index in range(count)
        ]
        # Out of order, as the protocol allows.
        body = {
            "object": "list",
            "model": "m",
            "data": data[::-1],
            "usage": {"prompt_tokens": 3, "total_tokens": 3},
        }
        return web.Response(text=json.dumps(body), content_type="application/json")


REFUSALS: dict[str, tuple[int, str, dict[str, str]]] = {
    "400": (400, '{"error": {"message": "top_p is odd", "type": "invalid_request_error"}}', {}),
    "too long": (
        400,
        '{"error": {"message": "9000 tokens", "type": "exceed_context_size_error"}}',
        {},
    ),
    "401": (401, '{"error": {"message": "sk-secret is wrong"}}', {}),
    "404": (404, '{"error": {"message": "no such model"}}', {}),
    "429": (429, '{"error": {"message": "quota"}}', {"retry-after": "17"}),
    "500": (500, "boom", {}),
    "503": (503, "loading", {}),
    "stale": (
        409,
        '{"error": {"code": "node.fence_stale"}}',
        {"x-lares-node-error": "node.fence_stale"},
    ),
    "repeated": (
        409,
        '{"error": {"code": "node.request_repeated"}}',
        {"x-lares-node-error": "node.request_repeated"},
    ),
    "dead": (
        503,
        '{"error": {"code": "node.model_not_reached"}}',
        {"x-lares-node-error": "node.model_not_reached"},
    ),
    "redirect": (307, "", {"location": "/elsewhere"}),
}


class Served:
    """A gateway that listens."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.client = AsyncOpenAI(
            base_url=f"{self.url}/v1", api_key="unused", max_retries=0, timeout=20
        )

    def numbers(self) -> dict[str, float]:
        """Return the gateway's metrics by their exposed name and labels."""
        import urllib.request

        with urllib.request.urlopen(f"{self.url}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        return {
            line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1])
            for line in lines
            if line and not line.startswith("#")
        }


@contextlib.contextmanager
def serving(app: Any) -> Iterator[Served]:
    """Serve `app` as kit.http does, on a thread with a loop of its own."""
    port = free_port()
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            host="127.0.0.1",
            port=port,
            log_config=None,
            lifespan="on",
            timeout_graceful_shutdown=2,
        )
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 60
    while not server.started and thread.is_alive() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert server.started, "the gateway did not start"
    try:
        yield Served(port)
    finally:
        server.should_exit = True
        thread.join(10)


@pytest.fixture
async def outsider() -> AsyncIterator[Outsider]:
    """The scripted backend, listening."""
    script = Outsider()
    async for _ in listen(script, None):
        yield script


async def listen(
    script: Any, tls: ssl.SSLContext | None, port: int | None = None
) -> AsyncIterator[None]:
    """Serve the script until the test ends."""
    runner = web.AppRunner(script.app(), handler_cancellation=True, shutdown_timeout=0.2)
    await runner.setup()
    script.port = port or free_port()
    await web.TCPSite(runner, "127.0.0.1", script.port, ssl_context=tls).start()
    yield
    script.release.set()
    await runner.cleanup()


Models = Callable[..., dict[str, Any]]


def book(url: str, **backend: Any) -> dict[str, Any]:
    """Return a models file with one backend at `url` and a chat and an embeddings model on it."""
    entry = {
        "url": url,
        "in_house": True,
        "silence_seconds": 15,
        "answer_seconds": 20,
        "queue_seconds": 10,
        "queue_max": 1,
        **backend,
    }
    return {
        "version": 1,
        "backends": {"outsider": entry},
        "models": {
            "talker": {
                "backend": "outsider",
                "kind": "chat",
                "upstream_name": "big-model",
                "context_tokens": 100,
                "output_tokens_max": 50,
            },
            "mapper": {
                "backend": "outsider",
                "kind": "embeddings",
                "context_tokens": 100,
                "dimensions": 4,
                "inputs_max": 3,
            },
        },
    }


@pytest.fixture
def settings_for(tmp_path: Path) -> Callable[..., Settings]:
    """Return settings around a models file that the test writes."""

    def make(content: dict[str, Any], **env: str) -> Settings:
        path = tmp_path / "models.yaml"
        # JSON is YAML.
        path.write_text(json.dumps(content))
        heartbeat = str(tmp_path / "heartbeat")
        return read(
            Settings,
            {
                "LARES_BIND": "127.0.0.1",
                "LARES_MODELS_FILE": str(path),
                "LARES_HEARTBEAT": heartbeat,
                "LARES_SECRETS_DIR": str(tmp_path),
                **env,
            },
        )

    return make


@pytest.fixture
def impatient(outsider: Outsider, settings_for: Callable[..., Settings]) -> Iterator[Served]:
    """The same with short waits, for tests of what happens when they end."""
    with serving(
        build(settings_for(book(outsider.url, silence_seconds=1, queue_seconds=0.3)))
    ) as served:
        yield served


@pytest.fixture
def gateway(outsider: Outsider, settings_for: Callable[..., Settings]) -> Iterator[Served]:
    """A gateway before the scripted backend."""
    with serving(build(settings_for(book(outsider.url)))) as served:
        yield served
