"""A file of any kind as what the model hears: one channel at 16 kHz, never longer than a bound."""

import io
from collections.abc import Iterator
from typing import Any

import av
import av.error
import numpy as np

from transcriber.errors import SoundInvalid, SoundTooLong

RATE = 16_000
Sound = np.ndarray[Any, np.dtype[np.float32]]


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
    sound: Sound = np.concatenate(pieces).astype(np.float32)
    sound /= 32768.0
    return sound


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
