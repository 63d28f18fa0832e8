"""A model server that is not ours and can everything but chat well: a real HTTP server with a script, and a gateway before it."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from aiohttp import web
from model_gateway.app import build
from model_gateway.settings import Settings

from .conftest import Served, free_port, serving

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(60)).decode()
SEGMENTS = [
    {"id": 0, "start": 0.0, "end": 1.5, "text": " Turn on", "tokens": [1]},
    {"id": 1, "start": 1.5, "end": 3661.25, "text": " the <light> & wait.", "tokens": [2]},
]
TEXT = " Turn on the <light> & wait."
SOUND = [bytes([number]) * 4000 for number in range(1, 6)]


class Studio:
    """`mode` says how it behaves next; `asked` is what it was sent, `files` what came with it."""

    def __init__(self) -> None:
        self.mode = "well"
        self.asked: list[dict[str, Any]] = []
        self.files: list[tuple[str, str, bytes]] = []
        self.chunks: list[dict[str, Any]] = []  # what a streamed chat says
        self.reply: dict[str, Any] = {}  # what a whole one says
        self.left = asyncio.Event()
        self.release = asyncio.Event()
        self.port = free_port()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def app(self) -> web.Application:
        app = web.Application(client_max_size=64 << 20)
        for path, handler in (
            ("chat/completions", self.chat),
            ("completions", self.completions),
            ("rerank", self.rerank),
            ("audio/transcriptions", self.transcriptions),
            ("audio/translations", self.transcriptions),
            ("audio/speech", self.speech),
            ("images/generations", self.images),
        ):
            app.router.add_post(f"/v1/{path}", self._noticing(handler))
        return app

    def _noticing(self, handler: Any) -> Any:
        async def handle(request: web.Request) -> web.StreamResponse:
            try:
                return await handler(request)
            except (ConnectionResetError, asyncio.CancelledError):
                self.left.set()
                raise

        return handle

    async def chat(self, request: web.Request) -> web.StreamResponse:
        fields = await request.json()
        self.asked.append(fields)
        if not fields.get("stream"):
            return web.json_response(
                {"id": "c", "object": "chat.completion", "created": 1, **self.reply}
            )
        return await self._events(request, [*self.chunks, "[DONE]"])

    async def completions(self, request: web.Request) -> web.StreamResponse:
        fields = await request.json()
        self.asked.append(fields)
        usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
        base = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": fields["model"]}
        if not fields.get("stream"):
            choice = {"index": 0, "text": " blue.", "logprobs": None, "finish_reason": "stop"}
            return web.json_response({**base, "choices": [choice], "usage": usage, "timings": {}})
        chunks: list[Any] = [
            {
                **base,
                "choices": [{"index": 0, "text": text, "logprobs": None, "finish_reason": None}],
            }
            for text in (" bl", "ue", ".")
        ]
        chunks.append({**base, "choices": [{"index": 0, "text": "", "finish_reason": "stop"}]})
        chunks.append({**base, "choices": [], "usage": usage})
        return await self._events(request, [*chunks, "[DONE]"])

    async def _events(self, request: web.Request, events: list[Any]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        for number, event in enumerate(events):
            if self.mode == "breaks" and number == 3:
                assert request.transport is not None
                request.transport.abort()
                return response
            if self.mode == "endless" and number == 2:
                while True:
                    await response.write(b"data: " + json.dumps(events[1]).encode() + b"\n\n")
                    await asyncio.sleep(0.02)
            data = event if isinstance(event, str) else json.dumps(event)
            await response.write(b"data: " + data.encode() + b"\n\n")
        return response

    async def rerank(self, request: web.Request) -> web.Response:
        fields = await request.json()
        self.asked.append(fields)
        results = [
            # Worst first, and all of them, as some servers do.
            {
                "index": index,
                "relevance_score": float(len(document)),
                "document": {"text": document},
            }
            for index, document in enumerate(fields["documents"])
        ]
        if self.mode == "one short":
            results.pop()
        if self.mode == "twice":
            results[0]["index"] = results[-1]["index"]
        if self.mode == "no score":
            results[0]["relevance_score"] = None
        usage = {"prompt_tokens": 9, "total_tokens": 9}
        return web.json_response({"model": "m", "results": results, "usage": usage})

    async def transcriptions(self, request: web.Request) -> web.StreamResponse:
        form = await request.post()
        fields: dict[str, Any] = {}
        for name, value in form.items():
            if isinstance(value, web.FileField):
                self.files.append((value.filename, value.content_type, value.file.read()))
            else:
                fields.setdefault(name, []).append(value)
        self.asked.append({"path": request.path, **fields})
        if self.mode == "held":
            await self.release.wait()
        if fields.get("stream") == ["true"] and self.mode != "does not stream":
            return await self._events(request, self._heard())
        body: dict[str, Any] = {"text": TEXT, "usage": {"type": "duration", "seconds": 4}}
        if fields["response_format"] == ["verbose_json"]:
            body |= {"language": "english", "duration": "4.0", "segments": SEGMENTS}
        if self.mode == "no text":
            body = {"error": "?"}
        return web.json_response(body)

    def _heard(self) -> list[Any]:
        if self.mode == "as vllm":
            return [
                *(
                    {"object": "transcription.chunk", "choices": [{"delta": {"content": text}}]}
                    for text in (" Turn", " on")
                ),
                {"choices": [{"delta": {"content": "."}, "finish_reason": "stop"}]},
                {"choices": [], "usage": {"prompt_tokens": 4, "completion_tokens": 3}},
                "[DONE]",
            ]
        return [
            {"type": "transcript.text.delta", "delta": " Turn"},
            {"type": "transcript.text.delta", "delta": " on"},
            {"type": "transcript.text.segment", "text": "x"},
            {
                "type": "transcript.text.done",
                "text": " Turn on",
                "usage": {"type": "duration", "seconds": 2},
            },
        ]

    async def speech(self, request: web.Request) -> web.StreamResponse:
        fields = await request.json()
        self.asked.append(fields)
        if self.mode == "page":
            return web.Response(text="<html></html>", content_type="text/html")
        response = web.StreamResponse(
            headers={"content-type": f"audio/{fields['response_format']}"}
        )
        await response.prepare(request)
        for number, piece in enumerate(SOUND):
            if self.mode == "breaks" and number == 2:
                assert request.transport is not None
                request.transport.abort()
                return response
            await response.write(piece)
            if self.mode == "endless" and number == 1:
                while True:
                    await response.write(piece)
                    await asyncio.sleep(0.02)
        return response

    async def images(self, request: web.Request) -> web.Response:
        fields = await request.json()
        self.asked.append(fields)
        entry: dict[str, Any] = {"b64_json": PNG, "revised_prompt": "a fox"}
        if self.mode == "address":
            entry = {"url": "http://elsewhere/1.png"}
        if self.mode == "page":
            entry = {"b64_json": base64.b64encode(b"<html>nothing</html>").decode()}
        return web.json_response({"created": 7, "data": [entry] * fields.get("n", 1), "secret": 1})


KINDS = {
    "talker": "chat",
    "writer": "completions",
    "judge": "rerank",
    "listener": "transcription",
    "speaker": "speech",
    "painter": "image",
}


def studio_book(url: str, **backend: Any) -> dict[str, Any]:
    """Return a models file with a model of every kind on the studio, and one that may see nothing private."""
    entry = {
        "url": url,
        "in_house": True,
        "silence_seconds": 10,
        "answer_seconds": 20,
        "queue_seconds": 10,
        "max_concurrency": 4,
        **backend,
    }
    models: dict[str, Any] = {
        name: {
            "backend": "studio",
            "kind": kind,
            "upstream_name": f"up-{name}",
            "context_tokens": 400,
        }
        for name, kind in KINDS.items()
    }
    models["judge"]["inputs_max"] = 4
    models["listener"]["extra_fields"] = ["hotwords"]
    models["talker"]["output_tokens_max"] = 50
    models["org/name"] = {**models["talker"]}
    return {"version": 1, "backends": {"studio": entry}, "models": models}


@pytest.fixture
async def studio() -> AsyncIterator[Studio]:
    """The scripted server, listening."""
    script = Studio()
    runner = web.AppRunner(script.app(), handler_cancellation=True, shutdown_timeout=0.2)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", script.port).start()
    yield script
    script.release.set()
    await runner.cleanup()


@pytest.fixture
def house(studio: Studio, settings_for: Callable[..., Settings]) -> Iterator[Served]:
    """A gateway before the studio."""
    with serving(build(settings_for(studio_book(studio.url)))) as served:
        yield served
