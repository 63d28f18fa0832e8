"""Recordings over a GPU node: sent whole, sent again whole, and a streaming caller told where it waits."""

import json
import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from model_gateway.app import build
from model_gateway.settings import Settings

from .conftest import Outsider, Served, book, listen, serving
from .house_of_gpus import Scheduler, eventually, node_behind_proxy, write_certificates

SOUND = os.urandom(3 << 20)


class Ears(Outsider):
    """A node with a transcriber behind it."""

    def __init__(self) -> None:
        super().__init__()
        self.files: list[bytes] = []

    def app(self) -> web.Application:
        app = super().app()
        app.router.add_post("/v1/instances/{instance}/v1/audio/transcriptions", self.hear)
        return app

    async def hear(self, request: web.Request) -> web.StreamResponse:
        form = await request.post()
        file = form["file"]
        assert isinstance(file, web.FileField)
        self.files.append(file.file.read())
        self.headers.append(dict(request.headers))
        if self.mode == "drops once" and len(self.files) == 1:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        if form.get("stream") == "true":
            events = [
                {"type": "transcript.text.delta", "delta": "Salve."},
                {"type": "transcript.text.done", "text": "Salve."},
            ]
            body = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)
            return web.Response(body=body, content_type="text/event-stream")
        return web.json_response({"text": "Salve."})


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Ears]:
    script = Ears()
    async for _ in listen(script, write_certificates(tmp_path)):
        yield script


@pytest.fixture
async def scheduler(node: Ears) -> AsyncIterator[Scheduler]:
    made = Scheduler()
    made.node_url = f"https://10.9.8.7:{node.port}"
    made.models = [made.offer("whisper", kind="transcription")]
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def proxy(node: Ears) -> AsyncIterator[str]:
    async with node_behind_proxy(node) as (_, url):
        yield url


@pytest.fixture
def gateway(
    scheduler: Scheduler, proxy: str, settings_for: Callable[..., Settings]
) -> Iterator[Served]:
    content = {
        **book("http://127.0.0.1:1/v1"),
        "models": {"listener": {"kind": "transcription", "routes": [{"gpu": "whisper"}]}},
    }
    settings = settings_for(
        content,
        LARES_EGRESS_PROXY_URL=proxy,
        LARES_GPU_SCHEDULER_URL=scheduler.url,
        LARES_INFERENCE_KEEP_ALIVE_SECONDS="0.1",
    )
    with serving(build(settings)) as served:
        yield served


async def offered(gateway: Served) -> None:
    await eventually(lambda: gateway.numbers()["lares_inference_gpu_scheduler_up"] == 1)


async def test_a_recording_arrives_whole_and_is_sent_again_whole(
    gateway: Served, scheduler: Scheduler, node: Ears
) -> None:
    await offered(gateway)
    node.mode = "drops once"
    reply = await gateway.client.audio.transcriptions.create(
        model="listener", file=("a.wav", SOUND, "audio/wav")
    )
    assert reply.text == "Salve."
    assert node.files == [SOUND, SOUND]
    for header in ("X-Lares-Fence", "X-Lares-Request"):
        assert len({sent[header] for sent in node.headers}) == 1
    # Its length is told beforehand: a node can tell at once whether there is room for it.
    assert all(int(sent["Content-Length"]) > len(SOUND) for sent in node.headers)
    assert len(scheduler.asks()) == 1
    await eventually(lambda: scheduler.ended() == ["ok"])


async def test_whoever_waits_for_a_streamed_transcript_is_told_where_it_stands(
    gateway: Served, scheduler: Scheduler, node: Ears
) -> None:
    await offered(gateway)
    scheduler.grants = False
    form: Any = aiohttp.FormData({"model": "listener", "stream": "true"})
    form.add_field("file", SOUND, filename="a.wav", content_type="audio/wav")
    async with aiohttp.ClientSession() as session:
        url = f"{gateway.url}/v1/audio/transcriptions"
        async with session.post(url, data=form) as answer:
            [asked] = scheduler.asks()
            assert answer.status == 200
            await scheduler.queue(asked.request_id, 3)
            while b"position=3" not in (line := await answer.content.readline()):
                assert line.startswith(b":") or not line.strip()
            await scheduler.grant(asked.request_id)
            text = (await answer.read()).decode()
    assert '"transcript.text.done"' in text
    assert text.count("Salve.") == 2
    assert node.files == [SOUND]
