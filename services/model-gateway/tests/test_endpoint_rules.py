"""What holds at every address alike: tiers, counts for the accounts, memory."""

import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from model_gateway.app import build
from model_gateway.body import to_json
from model_gateway.catalogue import Catalogue
from model_gateway.endpoint import Endpoint, Form, Tally, Upload
from model_gateway.endpoints.audio import Transcriptions
from model_gateway.endpoints.images import Images
from model_gateway.endpoints.rerank import Rerank
from model_gateway.endpoints.responses import Responses
from model_gateway.endpoints.speech import Speech
from model_gateway.settings import Settings
from model_gateway.ways import ways_of

from .conftest import Served, free_port, serving
from .studio import PNG, SEGMENTS, Studio, studio, studio_book

__all__ = ["studio"]
ROOT = Path(__file__).resolve().parents[3]

ASKED: dict[str, dict[str, Any]] = {
    "/v1/completions": {"model": "writer", "prompt": "x"},
    "/v1/responses": {"model": "talker", "input": "x"},
    "/v1/rerank": {"model": "judge", "query": "q", "documents": ["a"]},
    "/v2/rerank": {"model": "judge", "query": "q", "documents": ["a"]},
    "/v1/audio/speech": {"model": "speaker", "input": "x", "voice": "v"},
    "/v1/images/generations": {"model": "painter", "prompt": "x"},
}


@pytest.fixture
def guarded(studio: Studio, settings_for: Callable[..., Settings]) -> Iterator[Served]:
    """A gateway before a studio that may be shown nothing private."""
    content = studio_book(studio.url, max_tier="convenience")
    with serving(build(settings_for(content))) as served:
        yield served


async def send(house: Served, path: str, tier: str | None) -> tuple[int, str]:
    headers = {} if tier is None else {"x-lares-max-tier": tier}
    body: dict[str, Any] = {"json": ASKED.get(path)}
    if path.startswith("/v1/audio/tran"):
        form = aiohttp.FormData({"model": "listener"})
        form.add_field("file", b"RIFF", filename="a.wav")
        body = {"data": form}
    async with aiohttp.ClientSession() as session:
        async with session.post(house.url + path, headers=headers, **body) as answer:
            text = await answer.text()
    found = re.search(r'"code": ?"([^"]+)"', text)
    return answer.status, found[1] if found else ""


@pytest.mark.parametrize("path", [*ASKED, "/v1/audio/transcriptions", "/v1/audio/translations"])
async def test_nothing_private_goes_where_it_may_not_be_seen(
    guarded: Served, studio: Studio, path: str
) -> None:
    studio.reply = {"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}]}
    for tier in (None, "sensitive", "sacred"):
        assert await send(guarded, path, tier) == (403, "inference.tier_refused")
    assert not studio.asked
    assert (await send(guarded, path, "convenience"))[0] == 200
    assert len(studio.asked) == 1


class Said:
    """An answer that is there already."""

    def __init__(self, body: bytes, content_type: str = "application/json") -> None:
        self.content_type = content_type
        self.headers: Mapping[str, str] = {}
        self._body = body

    async def pieces(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self._body), 7):
            yield self._body[start : start + 7]


def chunk(text: str | None, **more: Any) -> bytes:
    delta = {} if text is None else {"content": text}
    choices = [{"index": 0, "delta": delta, "finish_reason": None if text else "stop"}]
    return b"data: " + to_json({"choices": choices, **more}) + b"\n\n"


CHAT = chunk("a") + chunk("b") + chunk(None, usage={"prompt_tokens": 3, "completion_tokens": 2})
SOUND = Form({"response_format": "srt"}, (Upload("file", "a", "audio/wav", b"x"),))
HEARD = {"text": "x", "duration": 61.5, "segments": SEGMENTS}
RANKED = {"results": [{"index": 0, "relevance_score": 1}], "meta": {"tokens": {"input_tokens": 8}}}


@pytest.mark.parametrize(
    ("endpoint", "model", "form", "said", "counted"),
    [
        (Transcriptions(), "listener", SOUND, Said(to_json(HEARD)), {"audio_seconds": 61.5}),
        (
            Speech(),
            "speaker",
            Form({"input": "Grüße", "voice": "v"}),
            Said(b"sound", "audio/mpeg"),
            {"characters": 5},
        ),
        (
            Images(),
            "painter",
            Form({"prompt": "x", "n": 2}),
            Said(
                to_json(
                    {
                        "data": [{"b64_json": PNG}] * 2,
                        "usage": {"input_tokens": 4, "output_tokens": 9},
                    }
                )
            ),
            {"images": 2, "tokens_read": 4, "tokens_written": 9},
        ),
        (
            Rerank(),
            "judge",
            Form({"query": "q", "documents": ["a"]}),
            Said(to_json(RANKED)),
            {"tokens_read": 8},
        ),
        (
            Responses(),
            "talker",
            Form({"model": "talker", "input": "x", "stream": True}),
            Said(CHAT, "text/event-stream"),
            {"pieces": 2, "tokens_read": 3, "tokens_written": 2},
        ),
    ],
    ids=lambda one: one.path if isinstance(one, Endpoint) else "",
)
async def test_the_accounts_get_what_each_kind_is_counted_in(
    endpoint: Endpoint[Any], model: str, form: Form, said: Said, counted: dict[str, Any]
) -> None:
    catalogue = Catalogue.model_validate(studio_book("http://127.0.0.1:1/v1"))
    way = ways_of(catalogue, model)[0]
    ask, tally = endpoint.read(form, catalogue.models[model]), Tally()
    if ask.stream:
        async for _ in endpoint.stream(ask, way, said, tally):
            pass
    else:
        await endpoint.whole(ask, way, said, tally)
    assert tally == Tally(**counted)


async def test_uploads_at_their_limit_do_not_fill_the_container(
    studio: Studio, settings_for: Callable[..., Settings], tmp_path: Path
) -> None:
    settings = settings_for(studio_book(studio.url))
    port = free_port()
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(str(path) for path in sorted(ROOT.glob("services/*/src"))),
        "LARES_BIND": "127.0.0.1",
        "LARES_PORT": str(port),
        "LARES_MODELS_FILE": str(settings.models_file),
        "LARES_HEARTBEAT": str(tmp_path / "beat"),
        "LARES_SECRETS_DIR": str(tmp_path),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "model_gateway"], env=env, stdout=subprocess.DEVNULL
    )
    try:
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(f"{url}/readyz", timeout=2)
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.1)
        client = Served(port).client
        sound = os.urandom(1 << 20) * 25
        for _ in range(3):
            await client.audio.transcriptions.create(
                model="listener", file=("a.wav", sound, "audio/wav")
            )
        assert [len(data) for *_, data in studio.files] == [len(sound)] * 3
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())
        assert found
        # The container has 128 MiB.
        assert int(found[1]) / 1024 < 118
    finally:
        process.terminate()
        process.wait(20)
