"""From the header of a GGUF file to its shape, by the rules that llama.cpp itself reads it with.

After src/llama-hparams.cpp, src/llama-model.cpp (load_hparams, create_memory) and src/models/*.cpp of September 2026.
An architecture that is not named here is counted as plain attention in every layer, which is never too little.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from node_agent.predict.errors import WeightsUnreadable
from node_agent.predict.gguf_file import Counted, GgufHeader
from node_agent.predict.shape import LAYERS_MAX, Layer, Shape, bounded


@dataclass(frozen=True)
class _Window:
    """Of `period` layers one looks at everything: the last, or the first. `fixed` overrides what the file says."""

    period: int
    full_first: bool = False
    default: int = 0
    fixed: int = 0


_WINDOWS = {
    "afmoe": _Window(4), "cohere2": _Window(4), "cohere2moe": _Window(4, full_first=True),
    "exaone-moe": _Window(4, default=128), "gemma2": _Window(2, default=4096), "gemma3": _Window(6),
    "gemma3n": _Window(5), "gpt-oss": _Window(2), "laguna": _Window(4, full_first=True),
    "llama4": _Window(4, default=8192, fixed=8192), "mellum": _Window(4), "muse-glimmer": _Window(4),
    "olmo2": _Window(4), "plamo3": _Window(8), "smallthinker": _Window(4, full_first=True, fixed=4096),
}  # fmt: skip
# Here the file lists each layer; without the list llama.cpp does not load it.
_WINDOWS_LISTED = {"gemma4", "granite_swa", "maple", "mimo2", "spark2_5", "step35"}
_RECURRENT = {"mamba", "mamba2", "rwkv6", "rwkv6qwen2", "rwkv7", "arwkv7"}
# Recurrent where a layer has no key heads.
_HYBRID_BY_HEADS = {
    "bailingmoe3", "glm5-next", "granitehybrid", "jamba", "kimi-k3", "kimi-linear", "lfm2", "lfm2moe", "plamo2",
}  # fmt: skip
_HYBRID_BY_INTERVAL = {"minimax-01", "qwen35", "qwen35moe", "qwen3next", "qwen4exp"}
_HYBRID_BY_FEED_FORWARD = {"nemotron_h", "nemotron_h_moe"}
# In these a layer attends or keeps a state; in the others (Falcon H1) it may do both.
_EITHER = _RECURRENT | _HYBRID_BY_HEADS | _HYBRID_BY_INTERVAL | _HYBRID_BY_FEED_FORWARD
_STATE_KEYS = ("ssm.state_size", "kda.head_dim", "wkv.head_size", "shortconv.l_cache")
_NO_CACHE = {
    "bert", "clef", "dream", "eurobert", "gemma-embedding", "gemma-embedding2", "jina-bert-v2", "jina-bert-v3",
    "llada", "llada-moe", "modern-bert", "neo-bert", "nomic-bert", "nomic-bert-moe", "rnd1", "wavtokenizer-dec",
}  # fmt: skip
# Their caches are compressed in ways that are not followed here: counted as if they were not.
_COMPRESSED = {"deepseek4", "dflash", "dots3note"}
_INPUTS = (
    "token_embd.",
    "token_embd_norm.",
    "position_embd.",
    "token_types.",
    "per_layer_token_embd.",
)
_BLOCK = re.compile(r"(?:enc\.|dec\.)?blk\.(\d{1,4})\.")


class _Keys:
    """The file's values under its architecture's name, checked as they are asked for."""

    def __init__(self, header: GgufHeader) -> None:
        self.architecture = header.architecture
        self._values = header.values
        if not re.fullmatch(r"[a-zA-Z0-9_.-]{1,64}", self.architecture):
            raise WeightsUnreadable("This GGUF file does not say which architecture it is.")
        self.layers = self.number("block_count", 0, LAYERS_MAX)
        if self.layers == 0:
            raise WeightsUnreadable("This GGUF file does not say how many layers it has.")

    def get(self, key: str) -> object:
        """The value of a key, None without it."""
        return self._values.get(f"{self.architecture}.{key}")

    def number(self, key: str, default: int = 0, most: int = 1 << 28) -> int:
        """One number; of a list its largest."""
        value = self.get(key)
        if isinstance(value, tuple):
            value = max(
                value, default=default, key=lambda v: v if isinstance(v, int | float) else 0
            )
        return default if value is None else bounded(value, key, most)

    def each(self, key: str, default: int) -> list[int]:
        """A number for each layer: the file says one for all, or a list."""
        value = self.get(key)
        if not isinstance(value, tuple):
            return [default if value is None else bounded(value, key)] * self.layers
        if len(value) < self.layers:
            raise WeightsUnreadable(f"The header's {key} names fewer layers than there are.")
        return [bounded(one, key) for one in value[: self.layers]]

    def flags(self, key: str) -> list[bool] | None:
        """Yes or no for each layer, where the file lists them."""
        value = self.get(key)
        if not isinstance(value, tuple) or len(value) < self.layers:
            return None
        return [bool(one) for one in value[: self.layers]]

    def vocabulary(self) -> int:
        """How many words the model knows."""
        words = self._values.get("tokenizer.ggml.tokens")
        counted = words.length if isinstance(words, Counted) else 0
        return self.number("vocab_size", counted)


def _windows(keys: _Keys) -> list[int | None]:
    """The window of each layer; None: it looks at everything."""
    full: list[int | None] = [None] * keys.layers
    window = keys.number("attention.sliding_window")
    if keys.architecture in _WINDOWS_LISTED:
        listed = keys.flags("attention.sliding_window_pattern")
        if listed is None or not window:
            return full
        return [window if windowed else None for windowed in listed]
    if keys.architecture in ("lfm2", "lfm2moe"):
        return [window or None] * keys.layers
    if keys.architecture == "exaone4":
        # Only the 32B has windows.
        rule = _Window(4, default=4096) if keys.layers == 64 else None
    else:
        rule = _WINDOWS.get(keys.architecture)
    said = keys.get("attention.sliding_window") is not None
    if rule is None or (said and not window):
        return full
    window = (rule.fixed if said or rule.default else 0) or window or rule.default
    if not window:
        return full
    if (listed := keys.flags("attention.sliding_window_pattern")) is not None:
        return [window if windowed else None for windowed in listed]
    period = keys.number("attention.sliding_window_pattern", rule.period) or 1
    at = 0 if rule.full_first else period - 1
    return [None if layer % period == at else window for layer in range(keys.layers)]


def _recurrent(keys: _Keys, trunk: int, key_heads: list[int], wide: list[int]) -> list[bool]:
    """Which layers keep a state per sequence."""
    name = keys.architecture
    if name in _RECURRENT:
        return [True] * keys.layers
    if name in _HYBRID_BY_HEADS:
        return [heads == 0 for heads in key_heads]
    if name in _HYBRID_BY_FEED_FORWARD:
        return [i < trunk and key_heads[i] == 0 and wide[i] == 0 for i in range(keys.layers)]
    if name in _HYBRID_BY_INTERVAL:
        if (listed := keys.flags("attention.recurrent_layers")) is not None:
            return listed
        interval = keys.number("full_attention_interval", 8 if name == "minimax-01" else 4) or 1
        return [i < trunk and (i + 1) % interval != 0 for i in range(keys.layers)]
    # Of one that is not known, but says how large its states are, each layer is counted with both.
    return [any(keys.get(key) is not None for key in _STATE_KEYS)] * keys.layers


def _states(keys: _Keys, embedding: int, heads: int) -> tuple[int, int]:
    """The values of the convolution's and of the recurrence's state (llama_hparams::n_embd_r and n_embd_s)."""
    if head := keys.number("wkv.head_size"):
        return keys.number("token_shift_count", 2) * embedding, embedding * head
    if short := keys.number("shortconv.l_cache"):
        return embedding * (short - 1), 0
    kernel = keys.number("ssm.conv_kernel")
    if head := keys.number("kda.head_dim"):
        return 3 * (kernel - 1 if kernel else 3) * heads * head, head * head * heads
    if keys.architecture == "minimax-01":
        head = keys.number("attention.key_length", embedding // max(heads, 1))
        return 0, head * head * heads
    inner, state = keys.number("ssm.inner_size"), keys.number("ssm.state_size")
    groups = keys.number("ssm.group_count")
    return max(kernel - 1, 0) * (inner + 2 * groups * state), state * inner


def _layers(keys: _Keys, embedding: int) -> tuple[Layer, ...]:
    """What each layer keeps."""
    heads = keys.each("attention.head_count", 0)
    key_heads = keys.each("attention.head_count_kv", heads[0])
    if keys.get("attention.head_count_kv") is None:
        key_heads = heads
    trunk = keys.layers - keys.number("nextn_predict_layers", 0, keys.layers)
    wide = keys.each("feed_forward_length", 0)
    windows = _windows(keys)
    recurrent = _recurrent(keys, trunk, key_heads, wide)
    # embedding / heads only where the file does not say it: Qwen3, Gemma and Mistral Nemo have other heads.
    head = embedding // heads[0] if heads[0] else 0
    key = keys.number("attention.key_length", head)
    value = keys.number("attention.value_length", head)
    key_windowed = keys.number("attention.key_length_swa", key)
    value_windowed = keys.number("attention.value_length_swa", value)
    latent = (
        keys.number("attention.key_length_mla") > 0
        and keys.number("attention.value_length_mla") > 0
    )
    index = keys.number("attention.indexer.key_length")
    # The last layers of these use the keys of an earlier one.
    first_shared = 20 if keys.architecture == "gemma3n" else keys.layers
    if keys.architecture == "gemma4":
        first_shared -= keys.number("attention.shared_kv_layers", 0, keys.layers)
    conv, state = _states(keys, embedding, max(heads, default=0)) if any(recurrent) else (0, 0)
    made: list[Layer] = []
    for i in range(keys.layers):
        attends = keys.architecture not in _NO_CACHE and i < first_shared and i < trunk
        if recurrent[i] and keys.architecture in _EITHER:
            attends = False
        if keys.architecture in _HYBRID_BY_FEED_FORWARD and wide[i]:
            attends = False
        count = key_heads[i] if attends else 0
        windowed = windows[i] is not None
        made.append(
            Layer(
                key_width=count * (key_windowed if windowed else key),
                # A latent attention keeps one vector per token, from which keys and values are made.
                value_width=0 if latent else count * (value_windowed if windowed else value),
                window=windows[i],
                index_width=index if attends else 0,
                conv_state=conv if recurrent[i] and i < trunk else 0,
                state=state if recurrent[i] and i < trunk else 0,
                key_heads=max(count, 1),
            )
        )
    return tuple(made)


def gguf_shape(header: GgufHeader) -> Shape:
    """Return the shape of a GGUF model. Raises WeightsUnreadable for a header that does not say enough."""
    keys = _Keys(header)
    embedding = keys.number("embedding_length")
    if not embedding:
        raise WeightsUnreadable("This GGUF file does not say how wide it is.")
    layer_bytes, expert_bytes = [0] * keys.layers, [0] * keys.layers
    inputs = outputs = embeddings = vocabulary = 0
    separate = False
    for tensor in header.tensors:
        if (match := _BLOCK.match(tensor.name)) is not None:
            layer = min(int(match[1]), keys.layers - 1)
            layer_bytes[layer] += tensor.bytes
            if "_exps." in tensor.name:
                expert_bytes[layer] += tensor.bytes
        elif tensor.name.startswith(_INPUTS):
            inputs += tensor.bytes
            if tensor.name == "token_embd.weight":
                embeddings, vocabulary = tensor.bytes, tensor.dims[-1] if tensor.dims else 0
        else:
            outputs += tensor.bytes
            separate = separate or tensor.name.startswith(("output.weight", "cls."))
    generates = keys.architecture not in _NO_CACHE
    if generates and not separate:
        outputs += embeddings  # the head is the embeddings once more, on the card
    experts = keys.number("expert_used_count")
    expert_wide = keys.number("expert_feed_forward_length") * experts
    shared = keys.number("expert_shared_feed_forward_length")
    heads = max(keys.each("attention.head_count", 0))
    notes = ()
    if keys.architecture in _COMPRESSED:
        notes = (f"{keys.architecture} compresses its cache; it is counted uncompressed.",)
    return Shape(
        architecture=keys.architecture,
        layers=_layers(keys, embedding),
        layer_bytes=tuple(layer_bytes),
        expert_bytes=tuple(expert_bytes),
        input_bytes=inputs,
        output_bytes=outputs,
        embedding=embedding,
        heads=heads,
        query_width=heads * keys.number("attention.key_length", embedding // max(heads, 1)),
        feed_forward=max(max(keys.each("feed_forward_length", 0)), expert_wide + shared),
        vocabulary=vocabulary or keys.vocabulary(),
        context_trained=keys.number("context_length"),
        generates=generates,
        side_width=keys.number("embedding_length_per_layer_input") * keys.layers,
        notes=notes,
    )
