"""Completions and responses before the house's own chat model, transcriptions before the transcriber: real weights throughout."""

import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from kit.testing.whisper import whisper_base
from model_gateway.app import build
from model_gateway.settings import Settings

from .conftest import Served, free_port, serving
from .test_real_models import embedder, house, local_llm

__all__ = ["embedder", "house", "local_llm"]
pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]
ROOT = Path(__file__).resolve().parents[3]
CLIP = (
    Path(os.environ.get("LARES_BENCH_DATA", ROOT.parent / "shared" / "data")) / "voice/wav/jfk.wav"
)
JFK = "ask not what your country can do for you ask what you can do for your country"


async def test_the_houses_model_goes_on_where_a_prompt_ends(house: Served) -> None:
    asked: Any = {
        "model": "lares-small",
        "prompt": "One, two, three,",
        "max_tokens": 6,
        "temperature": 0,
        "seed": 1,
    }
    whole = await house.client.completions.create(**asked)
    assert "four" in whole.choices[0].text
    assert whole.usage is not None
    assert 0 < whole.usage.completion_tokens <= 6
    stream = await house.client.completions.create(**asked, stream=True)
    text = "".join([chunk.choices[0].text async for chunk in stream if chunk.choices])
    assert text == whole.choices[0].text


async def test_the_houses_model_makes_a_response_whole_and_streamed(house: Served) -> None:
    asked: Any = {
        "model": "lares-small",
        "input": "Say hello.",
        "max_output_tokens": 12,
        "temperature": 0,
    }
    whole = await house.client.responses.create(**asked)
    assert whole.output_text
    assert whole.usage is not None
    assert whole.usage.output_tokens <= 12
    stream = await house.client.responses.create(**asked, stream=True)
    events: list[Any] = [event async for event in stream]
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert len(deltas) > 1
    assert "".join(deltas) == whole.output_text == events[-1].response.output_text
    assert events[-1].response.usage.output_tokens > 0


async def test_a_response_keeps_to_the_schema_that_it_was_given(house: Served) -> None:
    schema = {
        "type": "object",
        "properties": {"colour": {"enum": ["red", "blue"]}, "certain": {"type": "boolean"}},
        "required": ["colour", "certain"],
        "additionalProperties": False,
    }
    reply = await house.client.responses.create(
        model="lares-small",
        input="What colour is the sky? Answer in JSON.",
        max_output_tokens=40,
        temperature=0,
        text={"format": {"type": "json_schema", "name": "sky", "schema": schema, "strict": True}},
    )
    answer = json.loads(reply.output_text)
    assert answer["colour"] in ("red", "blue")
    assert isinstance(answer["certain"], bool)


@pytest.fixture(scope="module")
def transcriber(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The transcriber with Whisper base, on a loopback port."""
    folder, port = tmp_path_factory.mktemp("transcriber"), free_port()
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(str(path) for path in sorted(ROOT.glob("services/*/src"))),
        "LARES_BIND": "127.0.0.1",
        "LARES_PORT": str(port),
        "LARES_MODEL_DIR": str(whisper_base(ROOT)),
        "LARES_HEARTBEAT": str(folder / "heartbeat"),
        "LARES_TRANSCRIBER_DEVICE": "cpu",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "transcriber"], env=env, stdout=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 90
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5)
                break
            except OSError:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture
def ears(transcriber: str, settings_for: Callable[..., Settings]) -> Iterator[Served]:
    """A gateway before the transcriber."""
    if not CLIP.exists():
        pytest.skip(f"no recording at {CLIP}")
    content = {
        "version": 1,
        "backends": {"transcriber": {"url": transcriber, "in_house": True}},
        "models": {"whisper": {"backend": "transcriber", "kind": "transcription"}},
    }
    with serving(build(settings_for(content))) as served:
        yield served


def words(text: str) -> str:
    return " ".join(re.sub(r"[^a-z ]", " ", text.lower()).split())


async def test_what_was_said_is_heard_through_the_gateway_in_every_form(ears: Served) -> None:
    ask = ears.client.audio.transcriptions.create
    assert words((await ask(model="whisper", file=CLIP, language="en")).text).endswith(JFK)
    srt: Any = await ask(model="whisper", file=CLIP, language="en", response_format="srt")
    assert srt.startswith("1\n00:00:00,000 --> 00:00:")
    assert "fellow Americans" in srt
    verbose = await ask(model="whisper", file=CLIP, response_format="verbose_json")
    assert (verbose.duration, verbose.language) == (11.0, "en")


async def test_what_was_said_is_streamed_through_the_gateway(ears: Served) -> None:
    stream = await ears.client.audio.transcriptions.create(
        model="whisper", file=CLIP, language="en", stream=True
    )
    events = [event async for event in stream]
    assert events[-1].type == "transcript.text.done"
    assert words(events[-1].text).endswith(JFK)
    assert "".join(e.delta for e in events if e.type == "transcript.text.delta") == events[-1].text


async def test_what_is_no_sound_is_the_callers_mistake_and_not_the_backends(ears: Served) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await ears.client.audio.transcriptions.create(model="whisper", file=("a.wav", b"<html>"))
    body: Any = caught.value.body
    assert body["code"] == "inference.request_refused"
    assert ears.numbers()['lares_inference_breaker_open{backend="transcriber"}'] == 0
