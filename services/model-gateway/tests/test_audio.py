"""Transcriptions and translations through the gateway, by OpenAI's own client."""

import asyncio
import io
import wave
from typing import Any

import aiohttp
import openai
import pytest
from kit.errors import KitError
from model_gateway.endpoints.transcripts import render, seconds_of, wav_seconds

from .conftest import Served
from .studio import SEGMENTS, TEXT, Studio, house, studio

__all__ = ["house", "studio"]


def wav(seconds: float) -> bytes:
    """Return silence as a WAV file."""
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(bytes(int(seconds * 16_000) * 2))
    return out.getvalue()


CLIP = ("clip.wav", wav(0.5), "audio/wav")


def code_of(error: openai.APIError) -> str:
    body: Any = error.body
    return body["code"]


async def test_what_was_said_comes_back_as_text(house: Served, studio: Studio) -> None:
    reply = await house.client.audio.transcriptions.create(
        model="listener", file=CLIP, language="en", prompt="Lights", temperature=0.2
    )
    assert reply.text == TEXT
    assert studio.files == [("clip.wav", "audio/wav", CLIP[1])]
    assert studio.asked[0] == {
        "path": "/v1/audio/transcriptions",
        "model": ["up-listener"],
        "language": ["en"],
        "prompt": ["Lights"],
        "temperature": ["0.2"],
        "response_format": ["json"],
    }


async def test_every_form_is_made_from_what_every_server_gives(
    house: Served, studio: Studio
) -> None:
    ask = house.client.audio.transcriptions.create
    verbose = await ask(model="listener", file=CLIP, response_format="verbose_json")
    assert verbose.segments is not None
    assert verbose.segments[1].start == 1.5
    srt: Any = await ask(model="listener", file=CLIP, response_format="srt")
    assert srt == (
        "1\n00:00:00,000 --> 00:00:01,500\nTurn on\n\n"
        "2\n00:00:01,500 --> 01:01:01,250\nthe <light> & wait.\n"
    )
    vtt: Any = await ask(model="listener", file=CLIP, response_format="vtt")
    assert vtt.startswith("WEBVTT\n\n00:00:00.000 --> 00:00:01.500\nTurn on\n")
    assert "the &lt;light> &amp; wait." in vtt
    text: Any = await ask(model="listener", file=CLIP, response_format="text")
    assert text == TEXT.strip() + "\n"
    assert [one["response_format"] for one in studio.asked] == [
        ["verbose_json"],
        ["verbose_json"],
        ["verbose_json"],
        ["json"],
    ]


@pytest.mark.parametrize("mode", ["well", "as vllm", "does not stream"])
async def test_a_transcript_is_streamed_in_openais_events_whatever_the_server_speaks(
    house: Served, studio: Studio, mode: str
) -> None:
    studio.mode = mode
    stream = await house.client.audio.transcriptions.create(
        model="listener", file=CLIP, stream=True
    )
    events = [event async for event in stream]
    text = "".join(event.delta for event in events if event.type == "transcript.text.delta")
    assert events[-1].type == "transcript.text.done"
    assert events[-1].text == text == {"well": " Turn on", "as vllm": " Turn on."}.get(mode, TEXT)
    assert {event.type for event in events} == {"transcript.text.delta", "transcript.text.done"}


async def test_a_transcript_that_breaks_off_is_not_a_whole_one(
    house: Served, studio: Studio
) -> None:
    studio.mode = "breaks"
    stream = await house.client.audio.transcriptions.create(
        model="listener", file=CLIP, stream=True
    )
    with pytest.raises(openai.APIError) as caught:
        _ = [event async for event in stream]
    assert code_of(caught.value) == "inference.backend_failed"


# OpenAI's client calls the address deprecated; the models that translate are still there.
@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")
async def test_a_translation_is_asked_at_its_own_address(house: Served, studio: Studio) -> None:
    reply = await house.client.audio.translations.create(model="listener", file=CLIP)
    assert reply.text == TEXT
    assert studio.asked[0]["path"] == "/v1/audio/translations"


async def test_a_speaker_that_goes_stops_the_listener(house: Served, studio: Studio) -> None:
    studio.mode = "held"
    asking = asyncio.create_task(
        house.client.audio.transcriptions.create(model="listener", file=CLIP)
    )
    while not studio.asked:
        await asyncio.sleep(0.01)
    asking.cancel()
    await asyncio.wait_for(studio.left.wait(), 8)


async def test_an_answer_without_a_text_is_not_passed_on(house: Served, studio: Studio) -> None:
    studio.mode = "no text"
    with pytest.raises(openai.InternalServerError) as caught:
        await house.client.audio.transcriptions.create(model="listener", file=CLIP)
    assert code_of(caught.value) == "inference.backend_invalid"


async def send(
    house: Served, *parts: tuple[str, Any], to: str = "transcriptions"
) -> tuple[int, str]:
    form = aiohttp.FormData()
    for name, value in parts:
        if isinstance(value, bytes):
            form.add_field(name, value, filename="clip.wav", content_type="audio/wav")
        else:
            form.add_field(name, value)
    async with aiohttp.ClientSession() as session:
        async with session.post(f"{house.url}/v1/audio/{to}", data=form) as answer:
            return answer.status, (await answer.json())["error"]["code"]


MODEL, FILE = ("model", "listener"), ("file", CLIP[1])
BAD = (400, "inference.request_invalid")


@pytest.mark.parametrize(
    "parts",
    [
        [MODEL, ("stream", "true")],
        [MODEL, FILE, ("file2", b"x")],
        [MODEL, ("sound", CLIP[1])],
        [MODEL, ("file", b"")],
        [MODEL, FILE, ("response_format", "karaoke")],
        [MODEL, FILE, ("temperature", "hot")],
        [MODEL, FILE, ("temperature", "2")],
        [MODEL, FILE, ("language", "en\r\nX: y")],
        [MODEL, FILE, ("language", "en"), ("language", "de")],
        [MODEL, FILE, ("stream", "true"), ("response_format", "srt")],
        [MODEL, FILE, ("timestamp_granularities[]", "word")],
        [MODEL, FILE, ("include[]", "logprobs")],
        [MODEL, FILE, ("prompt", "x" * 70_000)],
        [MODEL, FILE, ("surprise", "1")],
        [MODEL, FILE, *[(f"f{number}", "x") for number in range(80)]],
    ],
)
async def test_a_form_that_cannot_be_asked_is_refused(
    house: Served, studio: Studio, parts: list[tuple[str, Any]]
) -> None:
    assert await send(house, *parts) == BAD
    assert not studio.asked


async def test_a_field_that_the_model_takes_beside_openais_is_passed_on(
    house: Served, studio: Studio
) -> None:
    await house.client.audio.transcriptions.create(
        model="listener", file=CLIP, extra_body={"hotwords": "Lares"}
    )
    assert studio.asked[0]["hotwords"] == ["Lares"]


async def test_a_translation_has_no_language_and_no_stream(house: Served) -> None:
    for field in (("language", "de"), ("stream", "true")):
        assert await send(house, MODEL, FILE, field, to="translations") == BAD


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"{}", "application/json"),
        (b"", "multipart/form-data"),
        (b"nothing", "multipart/form-data; boundary=x"),
        (
            b'--x\r\nContent-Disposition: form-data; name="model"\r\n\r\nlis',
            "multipart/form-data; boundary=x",
        ),
        (
            b"--x\r\nContent-Disposition: form-data\r\n\r\na\r\n--x--\r\n",
            "multipart/form-data; boundary=x",
        ),
        (
            b'--x\r\nContent-Disposition: form-data; name="model"\r\n\r\n\xff\r\n--x--\r\n',
            "multipart/form-data; boundary=x",
        ),
        (
            b"--x\r\nX-Long: " + b"a" * 9000 + b"\r\n\r\na\r\n--x--\r\n",
            "multipart/form-data; boundary=x",
        ),
    ],
)
async def test_what_is_no_form_is_refused(house: Served, body: bytes, kind: str) -> None:
    async with aiohttp.ClientSession() as session:
        url = f"{house.url}/v1/audio/transcriptions"
        async with session.post(url, data=body, headers={"content-type": kind}) as answer:
            assert (answer.status, (await answer.json())["error"]["code"]) == BAD


async def test_a_recording_beyond_the_limit_is_refused(house: Served, studio: Studio) -> None:
    status, code = await send(house, MODEL, ("file", bytes((25 << 20) + 1)))
    assert (status, code) == (413, "kit.body_too_large")
    assert not studio.asked


async def test_no_more_recordings_are_held_than_there_is_memory_for(
    house: Served, studio: Studio
) -> None:
    studio.mode = "held"
    large = ("long.wav", bytes(20 << 20), "audio/wav")
    first = asyncio.create_task(
        house.client.audio.transcriptions.create(model="listener", file=large)
    )
    while not studio.asked:
        await asyncio.sleep(0.01)
    with pytest.raises(openai.InternalServerError) as caught:
        await house.client.audio.transcriptions.create(model="listener", file=large)
    assert (caught.value.status_code, code_of(caught.value)) == (503, "kit.uploads_full")
    # A short one still has room.
    studio.mode = "well"
    await house.client.audio.transcriptions.create(model="listener", file=CLIP)
    studio.release.set()
    await first
    # And when the first is done, so has another long one.
    await house.client.audio.transcriptions.create(model="listener", file=large)


@pytest.mark.parametrize(
    ("data", "seconds"),
    [
        (wav(0.5), 0.5),
        (wav(0.5)[:-8000], 0.25),
        (b"ID3" + bytes(100), None),
        (b"RIFF" + bytes(60), None),
        (b"RIFF\x00\x00\x00\x00WAVE" + b"junk" + b"\xff\xff\xff\xff" + bytes(60), None),
    ],
)
def test_the_length_of_a_recording_is_read_from_its_header(
    data: bytes, seconds: float | None
) -> None:
    assert wav_seconds(data) == seconds


@pytest.mark.parametrize(
    ("reply", "seconds"),
    [
        ({"usage": {"seconds": 3}}, 3.0),
        ({"duration": "2.5"}, 2.5),
        ({"duration": "long", "usage": None}, None),
        ({"duration": float("nan")}, None),
        ({"duration": -1}, None),
        ({}, None),
    ],
)
def test_the_length_is_taken_from_whichever_place_tells_it(
    reply: dict[str, Any], seconds: float | None
) -> None:
    assert seconds_of(reply) == seconds


@pytest.mark.parametrize(
    "reply",
    [
        {"text": None},
        {"text": "x"},
        {"text": "x", "segments": [{"start": 0}]},
        {"text": "x", "segments": [{"start": "a", "end": 1, "text": "x"}]},
        {"text": "x", "segments": [{"start": 0, "end": float("inf"), "text": "x"}]},
    ],
)
def test_a_transcript_without_times_is_no_subtitle(reply: dict[str, Any]) -> None:
    with pytest.raises(KitError, match="inference.backend_invalid"):
        render(reply, "srt")


def test_a_subtitle_cannot_end_its_own_cue() -> None:
    made = render({"text": "x", "segments": [{**SEGMENTS[0], "text": "a --> b\n\n9"}]}, "vtt")
    assert made.body.decode().count("-->") == 1
    assert made.body.decode().rstrip().endswith("a --&gt; b 9")
