"""A transcript in the forms in which OpenAI's API gives it: json, verbose_json, text, srt, vtt. Pure."""

import math
import struct
from typing import Any

from model_gateway.body import Fields, to_json
from model_gateway.endpoint import JSON_TYPE, Whole
from model_gateway.errors import BackendInvalid

FORMATS = ("json", "text", "srt", "verbose_json", "vtt")
# The forms that need to know when something was said.
TIMED = frozenset({"srt", "verbose_json", "vtt"})
TEXT_TYPE, SRT_TYPE, VTT_TYPE = "text/plain", "application/x-subrip", "text/vtt"
SEGMENTS_MAX = 100_000


def render(reply: Fields, wanted: str) -> Whole:
    """Return a backend's answer in the wanted form. Raises BackendInvalid when it is no transcript."""
    text = reply.get("text")
    if not isinstance(text, str):
        raise BackendInvalid("The backend's transcript has no text.")
    if wanted == "text":
        return Whole((text.strip() + "\n").encode(), TEXT_TYPE)
    if wanted == "json":
        kept = ("languages", "logprobs", "usage")
        return Whole(
            to_json({"text": text, **{key: reply[key] for key in kept if key in reply}}), JSON_TYPE
        )
    segments = _segments(reply)
    if wanted == "verbose_json":
        return Whole(to_json({"task": "transcribe", **reply}), JSON_TYPE)
    if wanted == "srt":
        return Whole(_srt(segments).encode(), SRT_TYPE)
    return Whole(_vtt(segments).encode(), VTT_TYPE)


def seconds_of(reply: Fields) -> float | None:
    """Return the sound's length as the backend tells it, None where it does not."""
    usage = reply.get("usage")
    told = usage.get("seconds") if isinstance(usage, dict) else None
    for value in (told, reply.get("duration")):
        try:
            # Some servers tell it as a text.
            seconds = float(value) if isinstance(value, int | float | str) else math.nan
        except ValueError:
            continue
        if math.isfinite(seconds) and seconds >= 0:
            return seconds
    return None


def wav_seconds(data: bytes | bytearray) -> float | None:
    """Return the length of a WAV file by its header, None for anything else."""
    if len(data) < 44 or data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        return None
    position, rate = 12, 0
    while position + 8 <= min(len(data), 64 * 1024):
        name, size = bytes(data[position : position + 4]), _u32(data, position + 4)
        if name == b"fmt " and position + 20 <= len(data):
            rate = _u32(data, position + 16)
        if name == b"data":
            # A writer that could not go back leaves a size that is not there.
            return min(size, len(data) - position - 8) / rate if rate else None
        position += 8 + size + size % 2
    return None


def _u32(data: bytes | bytearray, position: int) -> int:
    return int(struct.unpack_from("<I", data, position)[0])


def _segments(reply: Fields) -> list[tuple[float, float, str]]:
    given: Any = reply.get("segments")
    if not isinstance(given, list) or len(given) > SEGMENTS_MAX:
        raise BackendInvalid("The backend's transcript has no segments.")
    segments: list[tuple[float, float, str]] = []
    for entry in given:
        try:
            start, end, text = float(entry["start"]), float(entry["end"]), str(entry["text"])
        except (KeyError, TypeError, ValueError):
            raise BackendInvalid("A segment of the backend's transcript has no times.") from None
        if not (math.isfinite(start) and math.isfinite(end)):
            raise BackendInvalid("A segment of the backend's transcript has no times.")
        segments.append((max(0.0, start), max(start, end, 0.0), " ".join(text.split())))
    return segments


def _srt(segments: list[tuple[float, float, str]]) -> str:
    cues = [
        f"{number}\n{_clock(start, ',')} --> {_clock(end, ',')}\n{text}\n"
        for number, (start, end, text) in enumerate(segments, 1)
    ]
    return "\n".join(cues)


def _vtt(segments: list[tuple[float, float, str]]) -> str:
    cues = [
        # An arrow would end the cue, and the two others would begin a tag.
        f"{_clock(start, '.')} --> {_clock(end, '.')}\n{text.replace('&', '&amp;').replace('<', '&lt;').replace('-->', '--&gt;')}\n"
        for start, end, text in segments
    ]
    return "\n".join(["WEBVTT\n", *cues])


def _clock(seconds: float, point: str) -> str:
    ms = round(seconds * 1000)
    return f"{ms // 3_600_000:02}:{ms // 60_000 % 60:02}:{ms // 1000 % 60:02}{point}{ms % 1000:03}"
