"""The embedder's settings."""

from dataclasses import dataclass
from pathlib import Path

from kit.settings import HttpSettings, setting


@dataclass(frozen=True, kw_only=True)
class Settings(HttpSettings):
    """Where the model lies and how much is taken at once."""

    model_dir: Path = setting(
        "LARES_MODEL_DIR",
        default=Path("/models"),
        help="Folder with model.onnx, tokenizer.json, reference.json and manifest.json.",
    )
    threads: int = setting(
        "LARES_EMBEDDER_THREADS",
        default=1,
        help="Threads of one inference. More than one helps only on idle cores.",
    )
    inputs_max: int = setting(
        "LARES_EMBEDDER_INPUTS_MAX", default=128, help="Most texts in one request."
    )
    chars_max: int = setting(
        "LARES_EMBEDDER_CHARS_MAX",
        default=32_000,
        help="Most characters in one text; beyond 256 tokens they are truncated anyway.",
    )
    waiting_max: int = setting(
        "LARES_EMBEDDER_WAITING_MAX",
        default=512,
        help="Most texts waiting over all requests; beyond it a request is refused.",
    )
