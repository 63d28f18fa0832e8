"""The models this node can start: gpu-node/models.yaml, checked to the last key. docs/gpu-models.md is made from here."""

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, Self

import yaml
from contracts.scheduling import ModelKind
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from node_agent.errors import CatalogueInvalid

FILE_BYTES_MAX = 256 * 1024
_VARIABLE = re.compile(r"\$\{([A-Z_]+)\}")
_SPLIT = re.compile(r"^(.*)-00001-of-(\d{5})\.gguf$")
SPLITS_MAX = 64
_RESERVED_ENVIRONMENT = ("NVIDIA_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")

Name = Annotated[str, Field(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9._:/-]{0,127}$")]
EngineName = Literal[
    "local-llm", "llama.cpp", "vllm", "transcriber", "speech", "embeddings", "custom"
]
Tier = Literal["convenience", "sensitive", "sacred"]
Mib = Annotated[int, Field(ge=0, le=10_000_000)]
Seconds = Annotated[float, Field(ge=0, le=86_400)]
Limit = Annotated[float, Field(gt=0, le=3600)]
UrlPath = Annotated[str, Field(pattern=r"^/[A-Za-z0-9._~/-]{0,199}$")]
Word = Annotated[str, Field(max_length=4096)]


def _inside(path: str) -> str:
    parts = PurePosixPath(path)
    if parts.is_absolute() or ".." in parts.parts or not path or "\\" in path:
        raise ValueError("a file is named by its path below the folder of weights, without ..")
    return str(parts)


def _parts(path: str) -> tuple[str, ...]:
    found = _SPLIT.match(path)
    if found is None:
        return (path,)
    count = min(int(found[2]), SPLITS_MAX)
    return tuple(f"{found[1]}-{number:05}-of-{found[2]}.gguf" for number in range(1, count + 1))


class Part(BaseModel):
    """A part of the file: unknown keys are refused, so that a typo does not silently mean the default."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Sleep(Part):
    """How a model gives up the card and keeps its weights in host memory."""

    method: Literal["none", "idle", "vllm"] = Field(
        default="none",
        description="`none`: it cannot. `idle`: llama.cpp's own sleep, after `idle_seconds` without work; while it is meant "
        "to be ready the agent keeps it awake. `vllm`: vLLM's sleep mode, through its development addresses.",
    )
    level: Literal[1, 2] = Field(
        default=1,
        description="vLLM alone: 1 keeps the weights in host memory, 2 drops them and reads them again from the disk.",
    )
    idle_seconds: Annotated[int, Field(ge=1, le=60)] = Field(
        default=3,
        description="llama.cpp alone: how long it is idle before it sleeps; a sleep takes that long.",
    )
    touch_path: UrlPath = Field(
        default="/lora-adapters",
        description="llama.cpp alone: an address that counts as work and costs none; it keeps it awake and wakes it.",
    )
    state_path: UrlPath = Field(
        default="/props",
        description="llama.cpp alone: an address that says `is_sleeping` and does not count as work.",
    )


class Weights(Part):
    """The files of a model, below the folder of weights. They are mounted read-only at /models."""

    model: Annotated[str, Field(max_length=500)] | None = Field(
        default=None,
        description="The weights: a GGUF file, or a folder of safetensors with its config.json.",
    )
    mmproj: Annotated[str, Field(max_length=500)] | None = Field(
        default=None, description="llama.cpp's projector for images and sound, a GGUF file."
    )
    draft: Annotated[str, Field(max_length=500)] | None = Field(
        default=None, description="A small model that drafts for the large one, a GGUF file."
    )
    loras: Annotated[tuple[str, ...], Field(max_length=16)] = Field(
        default=(), description="LoRA adapters that are loaded with the model."
    )

    @field_validator("model", "mmproj", "draft")
    @classmethod
    def _stays_inside(cls, path: str | None) -> str | None:
        return None if path is None else _inside(path)

    @field_validator("loras")
    @classmethod
    def _stay_inside(cls, paths: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(_inside(path) for path in paths)

    @property
    def all(self) -> tuple[str, ...]:
        """Every file or folder that is named, and the other parts of a GGUF file that is split."""
        named = (self.model, self.mmproj, self.draft, *self.loras)
        return tuple(part for path in named if path is not None for part in _parts(path))


class Model(Part):
    """A model that the node can start, as a container of its own."""

    kind: ModelKind = Field(
        description="What it does, which also says which addresses are passed on to it."
    )
    engine: EngineName = Field(
        description="Which server it is. All but `custom` know how it is told its model, its address and its limits; "
        "what is said here comes on top."
    )
    image: Annotated[str, Field(pattern=r"^[a-z0-9][A-Za-z0-9._:/@-]{0,254}$")] | None = Field(
        default=None,
        description="Image of the container; it must be on the node already. Needed for `custom`, `llama.cpp` and `vllm`.",
    )
    command: Annotated[tuple[Word, ...], Field(max_length=128)] = Field(
        default=(),
        description="Words after the image's entry point, after those of the engine. `{address}`, `{port}`, `{weights}`, "
        "`{models}`, `{context}`, `{slots}` and `{name}` are filled in.",
    )
    environment: Annotated[dict[str, Word], Field(max_length=64)] = Field(
        default={}, description="Environment, on top of the engine's; the same words are filled in."
    )
    files: Weights = Field(default=Weights(), description="Its files.")
    port: Annotated[int, Field(ge=1, le=65535)] | None = Field(
        default=None, description="Port it listens on, at its own address; empty: the engine's."
    )
    ready_path: UrlPath | None = Field(
        default=None, description="Address that answers 200 once it can work; empty: the engine's."
    )
    paths: Annotated[tuple[UrlPath, ...], Field(max_length=64)] = Field(
        default=(),
        description="Addresses that are passed on to it; empty: those of its kind. No other is.",
    )
    served_name: Annotated[str, Field(max_length=200)] | None = Field(
        default=None, description="The name its server knows it by; empty: its name here."
    )
    max_tier: Tier = Field(
        default="sacred", description="The most private text it may be shown on this machine."
    )
    context_tokens: Annotated[int, Field(ge=1, le=4_000_000)] | None = Field(
        default=None, description="Tokens of prompt and answer together, for each slot."
    )
    slots: Annotated[int, Field(ge=1, le=512)] = Field(
        default=1, description="Requests it answers at once."
    )
    kv_type: Literal["f16", "bf16", "q8_0", "q4_0", "fp8"] = Field(
        default="f16", description="Type of the cache of keys and values."
    )
    kv_cache_mib: Mib | None = Field(
        default=None,
        description="vLLM alone: memory for its cache on each card; empty: as much as context and slots need. It must be "
        "said where `vram_mib` is said or `devices` is `none`; less than one slot's context is refused by vLLM.",
    )
    vram_mib: Mib | None = Field(
        default=None,
        description="Memory it uses on each of its cards; empty: predicted from its files.",
    )
    asleep_mib: Mib = Field(default=0, description="What it leaves on each card when it sleeps.")
    ram_mib: Mib | None = Field(
        default=None,
        description="Host memory it uses while it is resident; empty: what its files show that stays there.",
    )
    asleep_ram_mib: Mib = Field(
        default=0,
        description="Host memory it uses while it sleeps: its weights, where they are staged.",
    )
    cards: Annotated[tuple[str, ...], Field(max_length=16)] = Field(
        default=(), description="Ids of the cards it may run on; empty: any."
    )
    cards_needed: Annotated[int, Field(ge=1, le=16)] = Field(
        default=1, description="How many cards it runs on at once."
    )
    devices: Literal["auto", "none"] = Field(
        default="auto",
        description="`auto`: the container is given its cards. `none`: it computes on the processor and holds no card.",
    )
    group: Annotated[str, Field(max_length=64)] | None = Field(
        default=None, description="Of the models of one group one is resident at a time."
    )
    pinned: bool = Field(
        default=False, description="Started as soon as it fits, and never put away for another."
    )
    min_dwell_seconds: Seconds = Field(
        default=5.0, description="How long it stays at least once it is resident."
    )
    idle_sleep_seconds: Seconds | None = Field(
        default=300.0, description="Put to sleep after so long without a request; null: never."
    )
    idle_stop_seconds: Seconds | None = Field(
        default=3600.0, description="Stopped after so long without a request; null: never."
    )
    start_seconds: Seconds = Field(
        default=10.0, description="What a start takes, until it is measured."
    )
    wake_seconds: Seconds = Field(
        default=1.0, description="What waking takes, until it is measured."
    )
    sleep_seconds: Seconds = Field(default=1.0, description="What falling asleep takes.")
    stop_seconds: Seconds = Field(default=1.0, description="What a stop takes.")
    start_seconds_max: Limit = Field(
        default=300.0, description="A start that takes longer has failed."
    )
    wake_seconds_max: Limit = Field(
        default=60.0, description="A waking that takes longer has failed."
    )
    sleep_seconds_max: Limit = Field(
        default=30.0, description="Falling asleep that takes longer has failed."
    )
    stop_seconds_max: Annotated[int, Field(ge=1, le=300)] = Field(
        default=10, description="How long it may take to end by itself before it is killed."
    )
    drain_seconds_max: Limit = Field(
        default=30.0,
        description="How long running requests may go on when it is to sleep or stop; then they are cut.",
    )
    sleep: Sleep = Field(default=Sleep(), description="How it sleeps.")
    memory_limit_mib: Annotated[int, Field(ge=16, le=10_000_000)] = Field(
        default=2048, description="Host memory it is killed beyond."
    )
    cpus: Annotated[float, Field(gt=0, le=1024)] | None = Field(
        default=None, description="Cores it may use; empty: all."
    )
    pids_max: Annotated[int, Field(ge=8, le=8192)] = Field(
        default=512, description="Processes and threads it may have."
    )
    shm_mib: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        default=64,
        description="Shared memory between its processes; vLLM on several cards needs more.",
    )
    tmp_mib: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        default=64,
        description="Size of /tmp, which is in memory; its root is read-only. vLLM keeps there what it compiles at each "
        "start: 1024.",
    )
    user: Annotated[str, Field(pattern=r"^[1-9][0-9]{0,6}:[1-9][0-9]{0,6}$")] = Field(
        default="10045:10045", description="User and group it runs as, never root."
    )
    enabled: bool = Field(default=True, description="Whether it is offered.")

    @property
    def _unpredicted(self) -> bool:
        return self.vram_mib is not None or self.devices == "none"

    @field_validator("environment")
    @classmethod
    def _variables_are_plain(cls, environment: dict[str, str]) -> dict[str, str]:
        for name in environment:
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,99}", name):
                raise ValueError(f"{name!r} is not a variable's name")
            if name in _RESERVED_ENVIRONMENT:
                raise ValueError(f"{name} is set by the agent: the scheduler chooses the cards")
        return environment

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.image is None and self.engine in ("custom", "llama.cpp", "vllm"):
            raise ValueError(f"engine {self.engine} needs an image")
        if self.engine == "custom" and (self.port is None or self.ready_path is None):
            raise ValueError("engine custom needs a port and a ready_path")
        if self.sleep.method == "vllm" and self.engine not in ("vllm", "custom"):
            raise ValueError("sleep.method vllm needs a server that speaks vLLM's sleep mode")
        if self.sleep.method == "idle" and self.engine not in ("local-llm", "llama.cpp", "custom"):
            raise ValueError("sleep.method idle needs llama.cpp")
        if self.engine in ("llama.cpp", "vllm") and self.files.model is None:
            raise ValueError(f"engine {self.engine} needs files.model")
        if self.engine == "vllm" and self.kv_cache_mib is None and self._unpredicted:
            raise ValueError(
                "engine vllm needs kv_cache_mib where vram_mib is said or devices is none: "
                "its cache would be nine tenths of all memory"
            )
        if self.vram_mib is None and self.files.model is None and self.devices == "auto":
            raise ValueError("without files.model to predict from, vram_mib must be said")
        if self.cards and len(self.cards) < self.cards_needed:
            raise ValueError("cards names fewer cards than cards_needed")
        return self


class Catalogue(Part):
    """The whole file."""

    version: Literal[1] = Field(description="Version of this format.")
    models: Annotated[dict[Name, Model], Field(max_length=256)] = Field(
        description="The models, by the names that the house asks for."
    )


class _Loader(yaml.SafeLoader):
    """YAML whose every key stands once: the later of two would win without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        twice = sorted({str(key) for key in keys if keys.count(key) > 1})
        if twice:
            raise yaml.MarkedYAMLError(problem=f"twice in one place: {', '.join(twice)}")
        return super().construct_mapping(node, deep)


def read(path: Path, variables: Mapping[str, str]) -> Catalogue:
    """Return the checked catalogue. `${NAME}` is replaced from `variables` alone. Raises CatalogueInvalid."""
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(FILE_BYTES_MAX + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise CatalogueInvalid(f"{path} cannot be read.") from error
    if len(text) > FILE_BYTES_MAX:
        raise CatalogueInvalid(f"{path} is larger than {FILE_BYTES_MAX} bytes.")
    try:
        # A safe loader: it builds plain data alone.
        told = yaml.load(_VARIABLE.sub(lambda found: _value(found[1], variables), text), _Loader)  # noqa: S506
        return Catalogue.model_validate(told)
    except yaml.YAMLError as error:
        problem = getattr(error, "problem", None) or "it cannot be parsed"
        raise CatalogueInvalid(f"{path} is not the YAML that is expected: {problem}.") from error
    except ValidationError as error:
        problems = [
            f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}"
            for problem in error.errors()[:3]
        ]
        raise CatalogueInvalid(f"{path}: {'; '.join(problems)}."[:480]) from error


def _value(name: str, variables: Mapping[str, str]) -> str:
    if not variables.get(name):
        raise CatalogueInvalid(f"The models file uses ${{{name}}}, which is not set.")
    return variables[name]
