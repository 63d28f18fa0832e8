"""How each kind of model server is told its model, its address and its limits. Pure: from the catalogue to words."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from node_agent.catalogue import Model

MODELS = "/models"
_WORD = re.compile(r"\{(address|port|weights|models|context|slots|name)\}")
_OPENAI_TEXT = (
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/responses",
    "/v1/messages",
    "/v1/models",
    "/tokenize",
    "/detokenize",
)
PATHS: dict[str, tuple[str, ...]] = {
    "chat": _OPENAI_TEXT,
    "completions": _OPENAI_TEXT,
    "embeddings": ("/v1/embeddings", "/v1/models"),
    "rerank": ("/v1/rerank", "/v1/models"),
    "transcription": ("/v1/audio/transcriptions", "/v1/audio/translations", "/v1/models"),
    "speech": ("/v1/audio/speech", "/v1/models"),
    "image": ("/v1/images/generations", "/v1/images/edits", "/v1/models"),
    "other": (),
}
VLLM_KV = {"f16": "auto", "bf16": "auto", "fp8": "fp8"}


@dataclass(frozen=True)
class Server:
    """What one container runs: every word of it, with the address filled in."""

    image: str
    command: tuple[str, ...]
    environment: dict[str, str]
    port: int
    ready_path: str
    paths: tuple[str, ...]
    compiles: bool = False  # whether it makes machine code when it starts, and runs it from /tmp


def server(name: str, model: Model, *, address: str, version: str, cache_mib: int | None) -> Server:
    """Return how `model` is served at `address`. `cache_mib` is what its cache was predicted to take, if it was."""
    preset = _PRESETS[model.engine]
    port = model.port or preset.port
    words = {
        "address": address,
        "port": str(port),
        "weights": f"{MODELS}/{model.files.model}" if model.files.model else "",
        "models": MODELS,
        "context": str(model.context_tokens or ""),
        "slots": str(model.slots),
        "name": model.served_name or name,
    }

    def filled(text: str) -> str:
        return _WORD.sub(lambda found: words[found[1]], text)

    command = (*preset.command(model, model.kv_cache_mib or cache_mib), *model.command)
    environment = {**preset.environment(model), **model.environment}
    return Server(
        image=model.image or f"lares/{preset.image}:{version}",
        command=tuple(filled(word) for word in command),
        environment={key: filled(value) for key, value in environment.items()},
        port=port,
        ready_path=model.ready_path or preset.ready_path,
        paths=model.paths or PATHS[model.kind],
        compiles=preset.compiles,
    )


def image_of(model: Model, version: str) -> str:
    """Return the image that the model's containers are made from."""
    return model.image or f"lares/{_PRESETS[model.engine].image}:{version}"


def _house(model: Model) -> dict[str, str]:
    told = {"LARES_BIND": "{address}", "LARES_PORT": "{port}"}
    if model.files.model:
        told["LARES_MODEL_DIR"] = "{weights}"
    return told


def _transcriber(model: Model) -> dict[str, str]:
    # Its own idleness is off: what is resident is the scheduler's to say.
    own = {"LARES_TRANSCRIBER_NAME": "{name}", "LARES_TRANSCRIBER_IDLE_SECONDS": "-1"}
    # Memory that listening took goes back at once: half of its memory would else stay with the C library.
    own |= {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "131072"}
    own |= {"MALLOC_TRIM_THRESHOLD_": "65536"}
    device = {"LARES_TRANSCRIBER_DEVICE": "cpu"} if model.devices == "none" else {}
    return _house(model) | own | device


def _local_llm(model: Model) -> dict[str, str]:
    idle = model.sleep.idle_seconds if model.sleep.method == "idle" else -1
    told = {
        "LARES_BIND": "{address}",
        "LARES_PORT": "{port}",
        "LARES_LOCAL_LLM_NAME": "{name}",
        "LARES_LOCAL_LLM_SLOTS": "{slots}",
        "LARES_LOCAL_LLM_IDLE_SECONDS": str(idle),
        "LARES_STOP_SECONDS": str(max(0, model.stop_seconds_max - 2)),
    }
    if model.context_tokens:
        told["LARES_LOCAL_LLM_CONTEXT"] = "{context}"
    if model.files.model:
        told["LARES_MODEL_PATH"] = "{weights}"
    return told


def _llama_cpp(model: Model, _: int | None) -> tuple[str, ...]:
    words = ["--host", "{address}", "--port", "{port}", "--model", "{weights}", "--alias", "{name}"]
    words += ["--parallel", "{slots}", "--n-gpu-layers", "999", "--no-webui", "--offline"]
    words += ["--cache-type-k", model.kv_type, "--cache-type-v", model.kv_type]
    # What is predicted must be what is allocated: these defaults differ by card and by version.
    words += ["--batch-size", "2048", "--ubatch-size", "512", "--flash-attn", "on"]
    # Prompts that may come again are kept in host memory: 8 GiB a server, if it is not told.
    words += ["--cache-ram", "256", "--ctx-checkpoints", "4"]
    if model.cards_needed > 1:
        # Else it splits by what is free at the moment.
        words += ["--tensor-split", ",".join("1" * model.cards_needed)]
    if model.context_tokens:
        # llama.cpp divides the context among the slots.
        words += ["--ctx-size", str(model.context_tokens * model.slots)]
    if model.files.mmproj:
        words += ["--mmproj", f"{MODELS}/{model.files.mmproj}"]
    if model.files.draft:
        words += ["--model-draft", f"{MODELS}/{model.files.draft}"]
    for lora in model.files.loras:
        words += ["--lora", f"{MODELS}/{lora}"]
    if model.sleep.method == "idle":
        words += ["--sleep-idle-seconds", str(model.sleep.idle_seconds)]
    return tuple(words)


def _vllm(model: Model, cache_mib: int | None) -> tuple[str, ...]:
    # After `vllm serve`, whose first word is the model: `--model` is on its way out.
    words = ["{weights}", "--host", "{address}", "--port", "{port}"]
    words += ["--served-model-name", "{name}", "--max-num-seqs", "{slots}"]
    # The agent asks for its health every few seconds, and the log's tail is to say why it ended.
    words += ["--disable-uvicorn-access-log"]
    words += ["--kv-cache-dtype", VLLM_KV.get(model.kv_type, "auto")]
    # Its own default grows with the card, and with it what it takes to compute.
    words += ["--max-num-batched-tokens", "2048"]
    if model.context_tokens:
        words += ["--max-model-len", "{context}"]
    if cache_mib:
        # Without it vLLM takes a share of the whole card, whatever the model. With it the share decides nothing, and
        # still vLLM does not start where less than it is free: beside any other model it would not, at its default.
        words += ["--kv-cache-memory-bytes", str(cache_mib * 2**20)]
        words += ["--gpu-memory-utilization", "0.01"]
    if model.cards_needed > 1:
        words += ["--tensor-parallel-size", str(model.cards_needed)]
    if model.files.loras:
        modules = [f"{path.rsplit('/', 1)[-1]}={MODELS}/{path}" for path in model.files.loras]
        words += ["--enable-lora", "--max-loras", "1", "--max-lora-rank", "16"]
        words += ["--lora-modules", *modules]
    if model.sleep.method == "vllm":
        words += ["--enable-sleep-mode"]
    return tuple(words)


def _vllm_environment(model: Model) -> dict[str, str]:
    told = {
        "HOME": "/tmp",  # noqa: S108 - the container's own, in memory
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
    }
    if model.sleep.method == "vllm":
        # The addresses for sleeping exist in this mode alone; the proxy passes none of them on.
        told["VLLM_SERVER_DEV_MODE"] = "1"
    return told


def _nothing(_: Model, __: int | None) -> tuple[str, ...]:
    return ()


def _empty(_: Model) -> dict[str, str]:
    return {}


@dataclass(frozen=True)
class _Preset:
    image: str
    port: int
    ready_path: str
    command: Callable[[Model, int | None], tuple[str, ...]] = _nothing
    environment: Callable[[Model], dict[str, str]] = _empty
    compiles: bool = False


_PRESETS: dict[str, _Preset] = {
    "local-llm": _Preset("local-llm", 8000, "/health", environment=_local_llm),
    "llama.cpp": _Preset("", 8000, "/health", command=_llama_cpp),
    "vllm": _Preset("", 8000, "/health", _vllm, _vllm_environment, compiles=True),
    "transcriber": _Preset("transcriber", 8000, "/readyz", environment=_transcriber),
    "speech": _Preset("text-to-speech", 8000, "/readyz", environment=_house),
    "embeddings": _Preset("embedder", 8000, "/readyz", environment=_house),
    "custom": _Preset("", 0, "/"),
}
