"""A file of any kind as what the model hears: one channel at 16 kHz, never longer than a bound, and in stretches."""

import io
from collections.abc import Iterator
from typing import Any

import av
import av.error
import numpy as np

from transcriber.errors import SoundInvalid, SoundTooLong

RATE = 16_000
# What the model needs while it listens grows with what it is given at once: 1.4 GiB for a quarter of an hour.
STRETCH_SECONDS, QUIET_WITHIN_SECONDS, QUIET_SECONDS = 120, 20, 0.2
Sound = np.ndarray[Any, np.dtype[np.int16]]


def decode(data: bytes | bytearray, seconds_max: float) -> Sound:
    """Return the first track's sound. Raises SoundInvalid, or SoundTooLong as soon as it is longer than that.

    A small file may unpack to hours: the bound is kept while it is decoded and not after.
    """
    pieces: list[Any] = []
    samples = 0
    try:
        for piece in _pieces(data):
            samples += piece.size
            if samples > seconds_max * RATE:
                raise SoundTooLong(f"The recording is longer than {seconds_max:g} seconds.")
            pieces.append(piece)
    except (av.error.FFmpegError, ValueError, IndexError, EOFError) as error:
        raise SoundInvalid() from error
    if not samples:
        raise SoundInvalid("The file holds no sound.")
    return np.concatenate(pieces)


def stretches(sound: Sound) -> Iterator[tuple[int, Sound]]:
    """Yield where each stretch begins, in samples, and the stretch: two minutes at most, cut where it is quietest."""
    begin = 0
    while sound.size - begin > STRETCH_SECONDS * RATE:
        end = begin + STRETCH_SECONDS * RATE
        first = end - QUIET_WITHIN_SECONDS * RATE
        step = int(QUIET_SECONDS * RATE)
        blocks = sound[first:end].reshape(-1, step).astype(np.float32)
        end = first + int(np.argmin((blocks**2).sum(axis=1))) * step + step // 2
        yield begin, sound[begin:end]
        begin = end
    yield begin, sound[begin:]


def _pieces(data: bytes | bytearray) -> Iterator[Any]:
    resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
    with av.open(io.BytesIO(data), mode="r", metadata_errors="ignore") as container:
        if not container.streams.audio:
            raise SoundInvalid("The file holds no sound.")
        for packet in container.demux(audio=0):
            try:
                frames = packet.decode()
            except av.error.InvalidDataError:
                # One broken packet in the middle: what comes after it may still be heard.
                continue
            for frame in frames:
                sound: Any = frame
                sound.pts = None
                for resampled in resampler.resample(sound):
                    yield resampled.to_ndarray().reshape(-1)
        for resampled in resampler.resample(None):
            yield resampled.to_ndarray().reshape(-1)
