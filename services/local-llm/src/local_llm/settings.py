"""The local model's settings."""

from dataclasses import dataclass
from pathlib import Path

from kit.settings import CommonSettings, setting


@dataclass(frozen=True, kw_only=True)
class Settings(CommonSettings):
    """Which model, and how much of the machine it may take."""

    bind: str = setting(
        "LARES_BIND",
        help="The service's own address on the network that bears its name. Never every address.",
    )
    port: int = setting("LARES_PORT", default=8000, help="Port to listen on.")
    model_path: Path = setting(
        "LARES_MODEL_PATH",
        default=Path("/models/default.gguf"),
        help="The GGUF file to serve; `make models` fetches better ones.",
    )
    model_name: str = setting(
        "LARES_LOCAL_LLM_NAME", default="lares-small", help="The name the model answers to."
    )
    context_tokens: int = setting(
        "LARES_LOCAL_LLM_CONTEXT",
        default=4096,
        help="Tokens of prompt and answer together, for each slot.",
    )
    slots: int = setting(
        "LARES_LOCAL_LLM_SLOTS",
        default=1,
        help="Requests answered at once; each slot costs a context's memory.",
    )
    threads: int = setting(
        "LARES_LOCAL_LLM_THREADS",
        default=0,
        help="Threads of the model; 0 means all cores but one. Contended threads are far slower than one.",
    )
    idle_seconds: int = setting(
        "LARES_LOCAL_LLM_IDLE_SECONDS",
        default=600,
        help="Give the model's memory back after so long without a request; -1 means never.",
    )
    prompt_cache_mib: int = setting(
        "LARES_LOCAL_LLM_PROMPT_CACHE_MIB",
        default=64,
        help="Memory for prompts that may come again; 0 turns it off.",
    )
    stop_seconds: int = setting(
        "LARES_STOP_SECONDS", default=8, help="How long running requests may finish after SIGTERM."
    )
