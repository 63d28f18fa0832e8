"""Whisper, loaded when it is needed and put away when it is not. Everything here blocks and belongs on one thread."""

import ctypes
import gc
import importlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from kit import logs

from transcriber.errors import TranscriberFailed, TranscriberModelInvalid
from transcriber.settings import Settings
from transcriber.sound import RATE, Sound, stretches

log = logs.get(__name__)

FRAMES_A_SECOND = 100
NEEDED = ("model.bin", "config.json", "tokenizer.json")


@dataclass(frozen=True)
class Wanted:
    """How a recording is to be heard."""

    translate: bool = False
    language: str | None = None  # None: whichever is spoken
    prompt: str | None = field(default=None, repr=False)
    temperature: float | None = None  # None: from 0 upwards until it makes sense
    words: bool = False  # with the times of each word


@dataclass(frozen=True)
class Heard:
    """A stretch of speech, in the API's names."""

    told: dict[str, Any] = field(repr=False)
    words: tuple[dict[str, Any], ...] = field(default=(), repr=False)

    @property
    def text(self) -> str:
        """What was said in it, as it joins what was said before."""
        return str(self.told["text"])


@dataclass(frozen=True)
class Recording:
    """What is known of a recording before its first word."""

    language: str
    seconds: float


class Model:
    """The model, awake or asleep. `hear` wakes it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._model: Any = None
        self._awake = False
        self.languages: frozenset[str] = frozenset()
        check_files(settings.model_dir)

    @property
    def awake(self) -> bool:
        """Whether it, or a part of it, is in memory."""
        return self._awake

    def wake(self) -> None:
        """Load it, if it is not. Raises TranscriberModelInvalid."""
        if self._model is not None:
            return
        settings = self._settings
        device = settings.device
        try:
            # Loaded by name: neither library describes its types.
            whisper: Any = importlib.import_module("faster_whisper")
            if device == "auto":
                cards: Any = importlib.import_module("ctranslate2")
                device = "cuda" if cards.get_cuda_device_count() > 0 else "cpu"
            arithmetic = settings.compute_type
            if arithmetic == "default":
                arithmetic = "float16" if device == "cuda" else "int8"
            model = whisper.WhisperModel(
                str(settings.model_dir),
                device=device,
                compute_type=arithmetic,
                cpu_threads=settings.threads,
                num_workers=1,
                local_files_only=True,
            )
        except (ValueError, RuntimeError, OSError) as error:
            raise TranscriberModelInvalid(
                f"{settings.model_dir} cannot be run on {device}."
            ) from error
        self.languages = frozenset(model.supported_languages)
        self._model, self._awake = model, True
        log.info("model.awake", device=device, arithmetic=arithmetic)

    def sleep(self) -> None:
        """Give its memory back, on the card and off it."""
        if self._model is None:
            return
        self._model.model.unload_model()
        self._model = None
        gc.collect()
        _trim()
        self._awake = False
        log.info("model.asleep")

    def hear(self, sound: Sound, wanted: Wanted) -> tuple[Recording, Iterator[Heard]]:
        """Return what is known at once, and an iterator that listens on with each step. Raises TranscriberFailed."""
        self.wake()
        parts = stretches(sound)
        begin, first = next(parts)
        language, segments = self._listen(first, wanted)
        recording = Recording(language, round(sound.size / RATE, 3))

        def heard() -> Iterator[Heard]:
            count = 0
            for segment in _heard(segments, begin, count):
                count += 1
                yield segment
            for later, part in parts:
                _, more = self._listen(part, replace(wanted, language=language))
                for segment in _heard(more, later, count):
                    count += 1
                    yield segment

        return recording, heard()

    def _listen(self, part: Sound, wanted: Wanted) -> tuple[str, Iterator[Any]]:
        """Return the language of one stretch and its segments. Raises TranscriberFailed."""
        told: dict[str, Any] = {}
        if wanted.temperature is not None:
            told["temperature"] = wanted.temperature
        try:
            segments, info = self._model.transcribe(
                part.astype(np.float32) / 32768.0,
                language=wanted.language,
                task="translate" if wanted.translate else "transcribe",
                initial_prompt=wanted.prompt,
                beam_size=self._settings.beam,
                word_timestamps=wanted.words,
                # Over silence Whisper makes words up.
                vad_filter=True,
                # A loop of repetitions would else carry over from window to window.
                condition_on_previous_text=False,
                **told,
            )
        except (RuntimeError, ValueError) as error:
            raise TranscriberFailed() from error
        return str(info.language), segments


def check_files(folder: Path) -> None:
    """Return if the folder holds a model. Raises TranscriberModelInvalid."""
    missing = [name for name in NEEDED if not (folder / name).is_file()]
    if missing:
        raise TranscriberModelInvalid(f"{folder} lacks {', '.join(missing)}.")


def _heard(segments: Iterator[Any], begin: int, number: int) -> Iterator[Heard]:
    """Yield a stretch's segments as parts of the recording: it begins at sample `begin`, the first is the `number`th."""
    seconds = begin / RATE
    try:
        for place, segment in enumerate(segments):
            yield Heard(
                {
                    "id": number + place,
                    "seek": int(segment.seek) + round(seconds * FRAMES_A_SECOND),
                    "start": round(float(segment.start) + seconds, 3),
                    "end": round(float(segment.end) + seconds, 3),
                    "text": str(segment.text),
                    "tokens": [int(token) for token in segment.tokens],
                    "temperature": float(segment.temperature or 0.0),
                    "avg_logprob": float(segment.avg_logprob),
                    "compression_ratio": float(segment.compression_ratio),
                    "no_speech_prob": float(segment.no_speech_prob),
                },
                tuple(
                    {
                        "word": str(word.word).strip(),
                        "start": round(float(word.start) + seconds, 3),
                        "end": round(float(word.end) + seconds, 3),
                    }
                    for word in segment.words or ()
                ),
            )
    except (RuntimeError, ValueError) as error:
        raise TranscriberFailed() from error


def _trim() -> None:
    # glibc keeps what was freed; another C library has no such function.
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
