"""What is refused before any sound is heard."""

import io
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kit.errors import KitError
from kit.multipart import File, MultipartForm
from kit.settings import read as read_settings
from transcriber.asked import read
from transcriber.errors import SoundInvalid, SoundTooLong, TranscriberModelInvalid
from transcriber.model import Model
from transcriber.settings import Settings
from transcriber.sound import RATE, decode, stretches


def wav(seconds: float, rate: int = RATE, channels: int = 1) -> bytes:
    """Return a tone of 440 Hz as a WAV file."""
    times = np.arange(int(seconds * rate)) / rate
    tone = (np.sin(2 * np.pi * 440 * times) * 8000).astype("<i2")
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.repeat(tone, channels).tobytes())
    return out.getvalue()


def form(name: str = "file", data: bytes = b"x", **fields: Any) -> MultipartForm:
    return MultipartForm(fields, (File(name, "a.wav", "audio/wav", bytearray(data)),))


def test_a_plain_request_has_the_apis_defaults() -> None:
    ask = read(form(model="whisper"), translate=False)
    assert (ask.format, ask.stream) == ("json", False)
    assert ask.wanted.language is None
    assert ask.wanted.temperature is None
    assert not ask.wanted.words


def test_a_languages_region_is_left_out_and_words_are_asked_for() -> None:
    ask = read(
        form(language="en-GB", timestamp_granularities=["word"], response_format="verbose_json"),
        translate=False,
    )
    assert ask.wanted.language == "en"
    assert ask.wanted.words


@pytest.mark.parametrize(
    ("wrong", "translate"),
    [
        ({"name": "sound"}, False),
        ({"data": b""}, False),
        ({"response_format": "srt"}, False),
        ({"stream": "perhaps"}, False),
        ({"stream": "true", "response_format": "verbose_json"}, False),
        ({"temperature": "warm"}, False),
        ({"temperature": "nan"}, False),
        ({"prompt": "x" * 5000}, False),
        ({"timestamp_granularities": ["syllable"]}, False),
        ({"surprise": "1"}, False),
        ({"language": "de"}, True),
    ],
)
def test_what_is_not_understood_is_refused(wrong: dict[str, Any], translate: bool) -> None:
    with pytest.raises(KitError, match="inference.sound_request_invalid"):
        read(form(**wrong), translate=translate)


@pytest.mark.parametrize(("rate", "channels"), [(16_000, 1), (8_000, 1), (44_100, 2)])
def test_every_rate_becomes_one_channel_at_16_khz(rate: int, channels: int) -> None:
    sound = decode(wav(0.5, rate, channels), 10)
    assert sound.dtype == np.int16
    assert sound.size == pytest.approx(RATE / 2, abs=200)
    assert 7000 < int(np.abs(sound).max()) < 9000


@pytest.mark.parametrize("data", [b"", b"RIFF", b"<html>" * 100, wav(0.0)])
def test_what_is_no_sound_is_refused(data: bytes) -> None:
    with pytest.raises(SoundInvalid):
        decode(data, 10)


def test_a_long_recording_is_cut_where_it_is_quiet_and_nothing_of_it_is_lost() -> None:
    sound = np.full(RATE * 300, 4000, np.int16)
    for pause in (107, 215):
        sound[RATE * pause : RATE * pause + RATE // 2] = 3
    parts = list(stretches(sound))
    assert np.array_equal(np.concatenate([part for _, part in parts]), sound)
    assert [begin // RATE for begin, _ in parts] == [0, 107, 215]
    assert all(abs(int(part[0])) == 3 for _, part in parts[1:])


@pytest.mark.parametrize("seconds", [1, 119, 120, 121, 360])
def test_no_stretch_is_longer_than_two_minutes(seconds: int) -> None:
    parts = list(stretches(np.ones(RATE * seconds, np.int16)))
    assert max(part.size for _, part in parts) <= RATE * 120
    assert sum(part.size for _, part in parts) == RATE * seconds


def test_what_comes_after_a_broken_stretch_is_heard_too() -> None:
    import av

    out = io.BytesIO()
    with av.open(out, "w", format="mp3") as container:
        stream = container.add_stream("mp3", rate=RATE, layout="mono")
        resampler = av.AudioResampler(stream.codec_context.format.name, "mono", RATE)
        tone = (np.sin(np.arange(RATE * 4) / 6) * 8000).astype("<i2").reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(tone, "s16", "mono")
        frame.rate = RATE
        for resampled in resampler.resample(frame):
            container.mux(stream.encode(resampled))
        container.mux(stream.encode(None))
    broken = bytearray(out.getvalue())
    middle = len(broken) // 2
    broken[middle : middle + 600] = bytes(range(200)) * 3
    assert 3.0 < decode(broken, 10).size / RATE < 4.2


def test_a_small_file_that_unpacks_to_hours_is_refused_while_it_is_unpacked() -> None:
    import av

    out = io.BytesIO()
    with av.open(out, "w", format="flac") as container:
        stream = container.add_stream("flac", rate=RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, RATE * 4), "<i2"), "s16", "mono")
        frame.rate = RATE
        for _ in range(30):
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert len(out.getvalue()) < 100_000
    with pytest.raises(SoundTooLong):
        decode(out.getvalue(), 60)


def test_a_folder_without_a_model_is_refused_by_name(tmp_path: Path) -> None:
    settings = read_settings(
        Settings, {"LARES_BIND": "127.0.0.1", "LARES_MODEL_DIR": str(tmp_path)}
    )
    with pytest.raises(TranscriberModelInvalid, match="model.bin, config.json, tokenizer.json"):
        Model(settings)


def test_weights_that_are_none_are_refused(tmp_path: Path) -> None:
    for name in ("model.bin", "config.json", "tokenizer.json"):
        (tmp_path / name).write_bytes(b"{}")
    settings = read_settings(
        Settings, {"LARES_BIND": "127.0.0.1", "LARES_MODEL_DIR": str(tmp_path)}
    )
    with pytest.raises(TranscriberModelInvalid):
        Model(settings).wake()
