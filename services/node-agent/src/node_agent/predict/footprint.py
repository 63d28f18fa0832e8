"""Puts the parts together: of each card, what a model takes there, and of the host, what stays in its memory."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from contracts.gpunode import Footprint

from node_agent.predict.cache import (
    llama_layer_bytes,
    split_layers,
    vllm_cache_bytes,
    vllm_spare_bytes,
)
from node_agent.predict.compute import (
    MIB,
    context_mib,
    llama_compute_bytes,
    vllm_compute_bytes,
    vllm_host_mib,
)
from node_agent.predict.errors import PredictError, WeightsMissing, WeightsUnreadable
from node_agent.predict.gguf_file import read_gguf
from node_agent.predict.gguf_shape import gguf_shape
from node_agent.predict.hf_shape import hf_shape
from node_agent.predict.projector import projector_compute_bytes
from node_agent.predict.safetensors_file import read_folder, read_json, read_safetensors
from node_agent.predict.serving import Serving
from node_agent.predict.shape import Shape, bounded

MIB_MAX = 100_000_000


class FootprintImpossible(PredictError):
    """The arithmetic gives more than any machine has: the header or the settings are wrong."""

    code, status = "node.footprint_impossible", 422
    reason = "These weights and settings would take more memory than any card has."
    fix = "Look at context_tokens and slots in models.yaml, then at the weights' checksum."


@dataclass(frozen=True)
class Prediction:
    """`cards` in the order of the instance's cards. `host_mib` is what stays in host memory when all is loaded."""

    cards: tuple[Footprint, ...]
    host_mib: int
    cache_bytes_per_card: int  # vLLM's --kv-cache-memory-bytes
    context_tokens_max: int  # what the model was trained for; 0: not said
    architecture: str

    @property
    def worst(self) -> Footprint:
        """The card that takes most: what each of `cards_needed` must have free."""
        return max(self.cards, key=lambda footprint: footprint.total_mib)


@dataclass
class _Card:
    """Bytes of one card, part by part."""

    weights: int = 0
    cache: int = 0
    compute: int = 0
    adapters: int = 0


def predict(path: Path, serving: Serving) -> Prediction:
    """Return what the weights at `path` take when served so: a .gguf (any part of it), or a folder with config.json.

    Reads headers alone, within limits. Raises PredictError's kinds, which carry a code and say what to do.
    """
    _check(serving)
    if path.suffix == ".gguf":
        shape, source = gguf_shape(read_gguf(path)), "gguf"
    elif path.is_dir():
        shape, source = hf_shape(read_json(path / "config.json"), read_folder(path)), "safetensors"
    elif not path.exists():
        raise WeightsMissing(f"There is nothing at {path.name}.")
    else:
        raise WeightsUnreadable(f"{path.name} is neither GGUF nor a folder of safetensors.")
    cards = [_Card() for _ in range(serving.cards)]
    notes = list(shape.notes)
    if shape.context_trained and serving.context_tokens > shape.context_trained:
        notes.append(
            f"Trained for {shape.context_trained} tokens; {serving.context_tokens} are asked for."
        )
    if serving.engine == "vllm":
        host, cache = _vllm(shape, serving, cards)
    else:
        host, cache = _llama(shape, serving, cards), 0
    _beside(serving, cards)
    made = tuple(_footprint(card, serving, source, notes) for card in cards)
    return Prediction(made, _mib(host), cache, shape.context_trained, shape.architecture)


def _check(serving: Serving) -> None:
    within = (
        1 <= serving.context_tokens <= 1 << 27
        and 1 <= serving.slots <= 512
        and 1 <= serving.cards <= 16
        and (serving.batch_tokens is None or 1 <= serving.batch_tokens <= 1 << 20)
        and all(share >= 0 for share in serving.tensor_split)
        and len(serving.tensor_split) in (0, serving.cards)
    )
    if not within:
        raise FootprintImpossible("The settings of this model are beyond all bounds.")


def _mib(bytes_: int) -> int:
    return -(-bytes_ // MIB)


def _llama(shape: Shape, serving: Serving, cards: list[_Card]) -> int:
    """Layers one after the other on the cards, the head on the last; the words' vectors stay in the host's memory."""
    caches = llama_layer_bytes(shape, serving)
    placed = split_layers(len(shape.layers), serving)
    host = shape.input_bytes
    for i, card in enumerate(placed[:-1]):
        held = shape.expert_bytes[i] if i < serving.cpu_moe_layers else 0
        if card is None:
            host += shape.layer_bytes[i] + caches[i]
            continue
        host += held
        cards[card].weights += shape.layer_bytes[i] - held
        if serving.cache_on_card:
            cards[card].cache += caches[i]
        else:
            host += caches[i]
    head = placed[-1]
    if head is None:
        host += shape.output_bytes
    else:
        cards[head].weights += shape.output_bytes
    if any(card is not None for card in placed):
        for at, card in enumerate(cards):
            card.compute += llama_compute_bytes(shape, serving, head=at == head)
    return host


def _vllm(shape: Shape, serving: Serving, cards: list[_Card]) -> tuple[int, int]:
    """Every layer on every card, cut in pieces; norms are repeated, which is counted as two hundredths."""
    cache = vllm_cache_bytes(shape, serving) + vllm_spare_bytes(shape, serving)
    weights = (
        shape.weights_bytes - shape.wide_bytes // 2
    )  # 32-bit weights are loaded as 16-bit ones
    share = weights if serving.cards == 1 else int(weights / serving.cards * 1.02)
    for card in cards:
        card.weights, card.cache = share, cache
        card.compute = vllm_compute_bytes(shape, serving)
    # Each worker reads a shard at a time; the largest is five gigabytes by custom.
    return vllm_host_mib(serving) * MIB + min(weights, 5 * 1024 * MIB), cache


def _beside(serving: Serving, cards: list[_Card]) -> None:
    """Projector, draft model and adapters: on the first card, in the same process."""
    if serving.projector is not None:
        header = read_gguf(serving.projector)
        cards[0].adapters += header.bytes()
        cards[0].compute += projector_compute_bytes(header)
    if serving.draft is not None:
        shape = gguf_shape(read_gguf(serving.draft))
        alone = replace(
            serving, cards=1, tensor_split=(), gpu_layers=None, cpu_moe_layers=0, cache_on_card=True
        )
        if serving.draft_tokens is not None:
            alone = replace(alone, context_tokens=serving.draft_tokens)
        drafted = [_Card()]
        _llama(shape, alone, drafted)
        cards[0].adapters += drafted[0].weights + drafted[0].cache
        cards[0].compute += drafted[0].compute
    for adapter in serving.adapters:
        _adapter(adapter, serving, cards)


def _adapter(path: Path, serving: Serving, cards: list[_Card]) -> None:
    """llama.cpp loads an adapter as it is, to where its layers are; vLLM keeps `adapters_at_once` of the largest rank."""
    if path.suffix == ".gguf":
        bytes_ = read_gguf(path).bytes()
    elif path.is_dir():
        rank = bounded(read_json(path / "adapter_config.json").get("r", 1), "rank", 4096) or 1
        stored = sum(
            tensor.bytes for tensor in read_safetensors(path / "adapter_model.safetensors")
        )
        bytes_ = stored * max(serving.adapter_rank_max, rank) // rank
    else:
        raise WeightsMissing(f"There is no adapter at {path.name}.")
    for card in cards:
        if serving.engine == "vllm":
            # Room is made beforehand for so many adapters, whichever they are: the largest counts.
            card.adapters = max(card.adapters, bytes_ * serving.adapters_at_once)
        else:
            card.adapters += bytes_


def _footprint(card: _Card, serving: Serving, source: str, notes: list[str]) -> Footprint:
    parts = [_mib(part) for part in (card.weights, card.cache, card.compute, card.adapters)]
    if max(parts) > MIB_MAX:
        raise FootprintImpossible()
    weights, cache, compute, adapters = parts
    return Footprint(
        weights_mib=weights,
        cache_mib=cache,
        compute_mib=compute,
        adapters_mib=adapters,
        context_mib=context_mib(serving) if sum(parts) else 0,
        source="gguf" if source == "gguf" else "safetensors",
        notes=tuple(notes[:8]),
    )
