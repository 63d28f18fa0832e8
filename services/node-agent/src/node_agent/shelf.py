"""The catalogue as it is in force: read again when the file changes, the old one kept when the new one is wrong.

For each model it is known whether it can be started here at all: its image and its files are there, and how much memory
it takes was declared or can be worked out. A model that cannot is still told of, with the reason.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from contracts.gpunode import DeclaredModel, Footprint
from kit import logs
from kit.errors import KitError

from node_agent import catalogue, servers
from node_agent.catalogue import Catalogue, Model
from node_agent.engine import Engine
from node_agent.errors import EngineRefused, EngineUnavailable

log = logs.get(__name__)

# What the scheduler alone goes by: a measured peak stays true when these change.
_NOT_THE_MODELS = {
    "max_tier", "cards", "group", "pinned", "min_dwell_seconds", "idle_sleep_seconds", "idle_stop_seconds",
    "start_seconds", "wake_seconds", "sleep_seconds", "stop_seconds", "start_seconds_max", "wake_seconds_max",
    "sleep_seconds_max", "stop_seconds_max", "drain_seconds_max", "asleep_mib", "vram_mib", "ram_mib",
    "asleep_ram_mib", "enabled", "paths",
}  # fmt: skip
Vendor = Literal["nvidia", "amd", "simulated"]
FILES_MAX = 4096
PREDICTED_ENGINES = {"local-llm": "llama.cpp", "llama.cpp": "llama.cpp", "vllm": "vllm"}


@dataclass(frozen=True)
class Offer:
    """A model of the catalogue, what is told of it, and what its cache was predicted to take on each card."""

    model: Model
    declared: DeclaredModel
    cache_mib: int | None = None


@dataclass(frozen=True)
class Weighed:
    """What a model takes on each card, its cache's part where that was predicted, and of host memory; or why it is not known."""

    footprint: Footprint | None = None
    cache_mib: int | None = None
    host_mib: int = 0
    error: str | None = None


class Shelf:
    """The models of this node."""

    def __init__(
        self,
        path: Path,
        weights: Path,
        version: str,
        engine: Engine,
        *,
        vendor: Callable[[], Vendor],
        changed: Callable[[], None],
    ) -> None:
        self._path = path
        self._weights = weights
        self._version = version
        self._engine = engine
        self._vendor = vendor
        self._changed = changed
        self._mark: object = None
        self._catalogue: Catalogue | None = None
        self.offers: dict[str, Offer] = {}
        self.error: str | None = None

    def keeps(self, model: str) -> bool:
        """Whether a container of that model that runs may go on: a file that cannot be read condemns nobody."""
        if self._catalogue is None:
            return True
        entry = self._catalogue.models.get(model)
        return entry is not None and entry.enabled

    async def look(self) -> None:
        """Read the file if it has changed since. Never raises: what is wrong is in `error`."""
        mark = await asyncio.to_thread(_mark, self._path)
        if mark == self._mark:
            return
        self._mark = mark
        try:
            read = await asyncio.to_thread(
                catalogue.read, self._path, {"LARES_VERSION": self._version}
            )
        except KitError as error:
            kept = " The one before stays in force." if self._catalogue is not None else ""
            self.error = f"{error.reason}{kept}"[:480]
            log.error("catalogue.refused", code=error.code, kept=self._catalogue is not None)
            self._changed()
            return
        self._catalogue, self.error = read, None
        log.info("catalogue.read", models=len(read.models))
        await self.weigh()

    async def weigh(self) -> None:
        """Look again at images and files: what was missing may have come. Raises nothing."""
        if self._catalogue is None:
            return
        offers: dict[str, Offer] = {}
        images: dict[str, str | None] = {}
        for name, model in self._catalogue.models.items():
            if not model.enabled:
                continue
            image = servers.image_of(model, self._version)
            if image not in images:
                try:
                    images[image] = await self._engine.image_id(image)
                except (EngineUnavailable, EngineRefused):
                    return  # the engine is silent: what was known before stays
            offers[name] = await asyncio.to_thread(self._offer, name, model, image, images[image])
        if offers != self.offers:
            self.offers = offers
            self._changed()

    def _offer(self, name: str, model: Model, image: str, image_id: str | None) -> Offer:
        files = [self._weights / path for path in model.files.all]
        fingerprint = _fingerprint(model, image_id, files)
        known = self.offers.get(name)
        if (
            known is not None
            and known.model == model
            and known.declared.fingerprint == fingerprint
            and known.declared.error is None
        ):
            return known  # predicting reads headers: once is enough
        weighed = self._weighed(model)
        error = weighed.error
        if image_id is None:
            error = f"The image {image} is not on this node: build it, or load it into its engine."
        missing = [
            path for path, file in zip(model.files.all, files, strict=True) if not file.exists()
        ]
        if missing:
            error = f"Not below the folder of weights: {', '.join(missing)}."
        declared = DeclaredModel(
            model=name,
            fingerprint=fingerprint,
            footprint=weighed.footprint,
            ram_mib=weighed.host_mib if model.ram_mib is None else model.ram_mib,
            error=None if error is None else error[:480],
            can_sleep=model.sleep.method != "none",
            **model.model_dump(
                include={
                    "kind", "context_tokens", "max_tier", "slots", "asleep_mib", "asleep_ram_mib", "cards",
                    "cards_needed", "start_seconds", "wake_seconds", "sleep_seconds", "stop_seconds",
                    "group", "pinned", "min_dwell_seconds", "idle_sleep_seconds", "idle_stop_seconds",
                }
            ),
        )  # fmt: skip
        return Offer(model, declared, weighed.cache_mib)

    def _weighed(self, model: Model) -> Weighed:
        """Return what the model takes, declared or predicted, or why it is not known."""
        if model.vram_mib is not None or model.devices == "none":
            said = Footprint(
                weights_mib=model.vram_mib or 0, cache_mib=0, compute_mib=0, source="declared"
            )
            return Weighed(said)
        engine = PREDICTED_ENGINES.get(model.engine)
        if engine is None:
            return Weighed(
                error=f"vram_mib must be said: that of a {model.engine} is not predicted."
            )
        if model.context_tokens is None:
            return Weighed(
                error="context_tokens must be said, or vram_mib: the cache grows with it."
            )
        return _predicted(self._weights, model, engine, self._vendor())


def _predicted(weights: Path, model: Model, engine: str, vendor: Vendor) -> Weighed:
    # Only while a catalogue is read: the readers of weights need not stay in memory on a node that declares all.
    from node_agent.predict import PredictError, Serving, predict

    files = model.files
    cache_type = "f16" if model.kv_type == "fp8" and engine == "llama.cpp" else model.kv_type
    serving = Serving(
        engine="vllm" if engine == "vllm" else "llama.cpp",
        context_tokens=model.context_tokens or 0,
        slots=model.slots,
        cards=model.cards_needed,
        vendor=vendor,
        cache_type_k=cache_type,
        cache_type_v=cache_type,
        projector=weights / files.mmproj if files.mmproj else None,
        draft=weights / files.draft if files.draft else None,
        adapters=tuple(weights / path for path in files.loras),
    )
    try:
        told = predict(weights / (files.model or ""), serving)
    except PredictError as error:
        return Weighed(error=error.reason)
    cache_mib = -(-told.cache_bytes_per_card // 2**20)
    footprint = told.worst
    if engine == "vllm" and model.kv_cache_mib:
        # What it is told to take is what it takes, whatever context and slots would need.
        footprint = footprint.model_copy(update={"cache_mib": model.kv_cache_mib})
    return Weighed(footprint, cache_mib or None, told.host_mib)


def _mark(path: Path) -> object:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def _fingerprint(model: Model, image_id: str | None, files: list[Path]) -> str:
    """Return what a measured peak belongs to: the server's settings, its image, its weights."""
    told = model.model_dump(mode="json", exclude=_NOT_THE_MODELS)
    seen: list[object] = []
    for file in files:
        parts = sorted(file.rglob("*"))[:FILES_MAX] if file.is_dir() else [file]
        seen += [(str(part.name), _mark(part)) for part in parts]
    text = json.dumps([told, image_id, seen], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]
