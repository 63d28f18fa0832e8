"""The transcriber's settings."""

from dataclasses import dataclass
from pathlib import Path

from kit.settings import HttpSettings, setting


@dataclass(frozen=True, kw_only=True)
class Settings(HttpSettings):
    """Which model, where it runs, and how much is taken at once."""

    model_dir: Path = setting(
        "LARES_MODEL_DIR",
        default=Path("/models"),
        help="Folder with model.bin, config.json and tokenizer.json of a Whisper model for CTranslate2.",
    )
    model_name: str = setting(
        "LARES_TRANSCRIBER_NAME", default="whisper", help="The name the model answers to."
    )
    device: str = setting(
        "LARES_TRANSCRIBER_DEVICE",
        default="auto",
        help="cpu, cuda, or auto: the card if there is one that works.",
    )
    compute_type: str = setting(
        "LARES_TRANSCRIBER_COMPUTE_TYPE",
        default="default",
        help="Arithmetic, in CTranslate2's names: int8, float16, int8_float16, ...; default: int8 on a processor, float16 on a card.",
    )
    threads: int = setting(
        "LARES_TRANSCRIBER_THREADS",
        default=1,
        help="Threads on a processor. More than one helps only on idle cores.",
    )
    beam: int = setting(
        "LARES_TRANSCRIBER_BEAM",
        default=1,
        help="How many readings are kept in mind; 5 hears a little better and takes longer.",
    )
    idle_seconds: int = setting(
        "LARES_TRANSCRIBER_IDLE_SECONDS",
        default=600,
        help="Give the model's memory back after so long without a request; -1 means never.",
    )
    waiting_max: int = setting(
        "LARES_TRANSCRIBER_WAITING_MAX",
        default=8,
        help="Most recordings that wait while one is heard; beyond it a request is refused.",
    )
    upload_bytes_max: int = setting(
        "LARES_TRANSCRIBER_UPLOAD_BYTES_MAX",
        default=25 * 1024 * 1024,
        help="Largest file that is taken.",
    )
    sound_seconds_max: int = setting(
        "LARES_TRANSCRIBER_SOUND_SECONDS_MAX",
        default=900,
        help="Longest recording that is heard; a second of it takes 64 KiB while it is unpacked.",
    )
