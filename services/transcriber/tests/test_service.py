"""The transcriber's own process with Whisper base, spoken to by OpenAI's own client; recordings of real people."""

import asyncio
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import openai
import pytest
import yaml
from openai import AsyncOpenAI

from .conftest import HERE, ROOT, clip
from .test_asked import wav

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]
JFK = "and so my fellow americans ask not what your country can do for you ask what you can do for your country"
# uvicorn finishes what runs, and then ends by the signal it was sent.
STOPPED = (0, -signal.SIGTERM)


class Process:
    """The service as its image starts it, on a loopback port."""

    def __init__(self, model_dir: Path, folder: Path, **env: str) -> None:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            self.port = listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / "log"
        environment = {
            **os.environ,
            "LARES_BIND": "127.0.0.1",
            "LARES_PORT": str(self.port),
            "LARES_MODEL_DIR": str(model_dir),
            "LARES_HEARTBEAT": str(folder / "heartbeat"),
            "LARES_TRANSCRIBER_DEVICE": "cpu",
            # As on a node (node_agent/servers.py).
            "MALLOC_ARENA_MAX": "1",
            "MALLOC_MMAP_THRESHOLD_": "131072",
            "MALLOC_TRIM_THRESHOLD_": "65536",
            "PYTHONPATH": os.pathsep.join(
                str(path) for path in sorted(ROOT.glob("services/*/src"))
            ),
            **env,
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "transcriber"], env=environment, stdout=self.log.open("wb"), stderr=subprocess.STDOUT
        )  # fmt: skip
        deadline = time.monotonic() + 90
        while not self.ready():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.1)

    @property
    def client(self) -> AsyncOpenAI:
        """A client for the loop that runs now."""
        return AsyncOpenAI(base_url=f"{self.url}/v1", api_key="x", max_retries=0, timeout=120)

    def ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False

    def number(self, name: str) -> float:
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=5) as answer:
            found = re.search(
                rf"^lares_inference_{name} (\S+)", answer.read().decode(), re.MULTILINE
            )
        assert found, name
        return float(found[1])

    def memory_mib(self) -> float:
        """Return the memory that the process alone keeps resident."""
        rollup = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text()
        found = re.search(r"^Pss:\s+(\d+) kB", rollup, re.MULTILINE)
        assert found
        return int(found[1]) / 1024

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(30)
        finally:
            self.process.kill()


@pytest.fixture(scope="module")
def service(model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    process = Process(
        model_dir, tmp_path_factory.mktemp("transcriber"), LARES_TRANSCRIBER_WAITING_MAX="1"
    )
    yield process
    assert process.stop() in STOPPED


def repeated(path: Path, times: int) -> bytes:
    """Return a recording so many times after itself."""
    out = io.BytesIO()
    with wave.open(str(path)) as told, wave.open(out, "wb") as file:
        file.setparams(told.getparams())
        file.writeframes(told.readframes(told.getnframes()) * times)
    return out.getvalue()


def words(text: str) -> str:
    return " ".join(re.sub(r"[^a-z ]", " ", text.lower()).split())


async def test_a_recording_of_a_person_becomes_their_words(service: Process) -> None:
    sound = clip("jfk.wav")
    heard = service.number("transcribed_seconds_total")
    reply = await service.client.audio.transcriptions.create(model="whisper", file=sound)
    assert words(reply.text) == JFK
    assert reply.usage is not None
    assert reply.to_dict()["usage"] == {"type": "duration", "seconds": 11.0}
    assert service.number("transcribed_seconds_total") - heard == 11.0


async def test_the_words_come_with_their_times(service: Process) -> None:
    reply = await service.client.audio.transcriptions.create(
        model="whisper",
        file=clip("jfk.wav"),
        language="en",
        response_format="verbose_json",
        timestamp_granularities=["word", "segment"],
    )
    assert reply.language == "en"
    assert reply.duration == 11.0
    assert reply.words is not None
    assert reply.segments is not None
    assert words(" ".join(word.word for word in reply.words)) == JFK
    starts = [word.start for word in reply.words]
    assert starts == sorted(starts)
    assert 9 < reply.segments[-1].end < 11.1


async def test_a_stream_says_each_stretch_as_it_is_heard(service: Process) -> None:
    stream = await service.client.audio.transcriptions.create(
        model="whisper", file=clip("jfk.wav"), language="en", stream=True
    )
    events: list[Any] = [event async for event in stream]
    assert [event.type for event in events[:-1]] == ["transcript.text.delta"] * (len(events) - 1)
    assert events[-1].type == "transcript.text.done"
    assert "".join(event.delta for event in events[:-1]) == events[-1].text
    assert words(events[-1].text) == JFK


async def test_over_silence_nothing_is_made_up(service: Process) -> None:
    quiet = wav(3)[:44] + bytes(3 * 32_000)
    reply = await service.client.audio.transcriptions.create(
        model="whisper", file=("quiet.wav", quiet, "audio/wav")
    )
    assert reply.text == ""


async def test_what_is_no_sound_is_a_coded_refusal(service: Process) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await service.client.audio.transcriptions.create(
            model="whisper", file=("a.wav", b"<html>", "audio/wav")
        )
    body: Any = caught.value.body
    assert body["code"] == "inference.sound_invalid"
    with pytest.raises(openai.BadRequestError) as caught:
        await service.client.audio.transcriptions.create(
            model="whisper", file=("a.wav", wav(0.1), "audio/wav"), language="tlh"
        )


async def test_recordings_take_turns_and_too_many_are_refused(service: Process) -> None:
    sound = clip("jfk.wav").read_bytes()

    async def ask() -> str:
        try:
            reply = await service.client.audio.transcriptions.create(
                model="whisper", file=("a.wav", sound, "audio/wav"), language="en"
            )
        except openai.InternalServerError as error:
            body: Any = error.body
            return str(body["code"])
        return words(reply.text)

    answers = await asyncio.gather(*(ask() for _ in range(4)))
    assert sorted(answers) == [JFK, JFK, "inference.transcriber_busy", "inference.transcriber_busy"]


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_client_that_goes_gives_its_place_back(service: Process, streamed: bool) -> None:
    # Minutes of speech: many windows, so that no machine is through with them before its client has gone.
    long = repeated(clip("jfk.wav"), 20)
    form = aiohttp.FormData()
    form.add_field("file", long, filename="a.wav", content_type="audio/wav")
    form.add_field("stream", str(streamed).lower())
    heard = service.number("transcribed_recordings_total")
    timeout = aiohttp.ClientTimeout(total=2)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        with pytest.raises((TimeoutError, aiohttp.ClientError)):
            async with session.post(f"{service.url}/v1/audio/transcriptions", data=form) as answer:
                await answer.read()
    short = ("a.wav", wav(0.3), "audio/wav")
    async with asyncio.timeout(60):
        await service.client.audio.transcriptions.create(model="whisper", file=short, language="en")
    assert service.number("transcribed_recordings_total") == heard + 1


async def test_its_memory_stays_within_its_budget(service: Process) -> None:
    sound = clip("jfk.wav").read_bytes()
    minute = sound[:40] + (len(sound) - 44).to_bytes(4, "little") + sound[44:]
    for _ in range(3):
        await service.client.audio.transcriptions.create(
            model="whisper", file=("a.wav", minute, "audio/wav"), language="en"
        )
    budget = yaml.safe_load((HERE / "service.yaml").read_text())["memory_budget_mib"]
    assert service.memory_mib() <= budget


async def test_an_idle_model_gives_its_memory_back_and_wakes_for_the_next_recording(
    model_dir: Path, tmp_path: Path
) -> None:
    service = Process(model_dir, tmp_path, LARES_TRANSCRIBER_IDLE_SECONDS="2")
    try:
        awake = service.memory_mib()
        deadline = time.monotonic() + 60
        while service.number("transcriber_awake"):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.2)
        assert service.ready()
        assert service.memory_mib() < awake - 60
        reply = await service.client.audio.transcriptions.create(
            model="whisper", file=clip("jfk.wav"), language="en"
        )
        assert words(reply.text) == JFK
    finally:
        assert service.stop() in STOPPED


def test_a_broken_model_ends_the_start_with_a_coded_line(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "LARES_BIND": "127.0.0.1",
        "LARES_MODEL_DIR": str(tmp_path),
        "LARES_HEARTBEAT": str(tmp_path / "heartbeat"),
        "PYTHONPATH": os.pathsep.join(str(path) for path in sorted(ROOT.glob("services/*/src"))),
    }
    done = subprocess.run(
        [sys.executable, "-m", "transcriber"], env=environment, capture_output=True, timeout=60
    )
    assert done.returncode == 78
    lines = [json.loads(line) for line in (done.stdout + done.stderr).splitlines()]
    assert "inference.transcriber_model_invalid" in {line.get("code") for line in lines}
