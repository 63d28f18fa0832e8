"""From config.json and the headers of safetensors to a shape, by the rules of transformers and vLLM.

After vLLM 0.33: config/model.py, transformers_utils/model_arch_config_convertor.py, model_executor/layers/mamba/
mamba_utils.py. A kind of model that is not named here is counted as plain attention in every layer.
"""

from __future__ import annotations

import re
from typing import Any

from node_agent.predict.errors import WeightsUnreadable
from node_agent.predict.safetensors_file import Stored
from node_agent.predict.shape import LAYERS_MAX, Layer, Shape, bounded

_ENCODERS = {
    "albert", "bert", "camembert", "deberta-v2", "distilbert", "electra", "gte", "jina_bert", "modernbert", "mpnet",
    "new", "nomic_bert", "roberta", "xlm-roberta",
}  # fmt: skip
_LAYER = re.compile(r"(?:^|\.)(?:layers|layer|h|blocks|block)\.(\d{1,4})\.")
_OTHER = re.compile(
    r"vis|audio|image|patch"
)  # towers for pictures and sound count beside the layers
_RECURRENT_KINDS = {"linear_attention", "mamba", "mamba2", "conv", "recurrent"}


class _Config:
    """The text model's part of config.json; values are checked as they are asked for."""

    def __init__(self, config: dict[str, Any]) -> None:
        text = config.get("text_config") or config.get("llm_config")
        self._told: dict[str, Any] = text if isinstance(text, dict) else config
        self.kind = str(self._told.get("model_type") or config.get("model_type") or "")[:64]
        self.tied = bool(
            self._told.get("tie_word_embeddings", config.get("tie_word_embeddings", False))
        )
        self.layers = self.number(
            "num_hidden_layers", "n_layer", "n_layers", "num_layers", most=LAYERS_MAX
        )
        self.hidden = self.number("hidden_size", "n_embd", "d_model", "dim")
        if not self.layers or not self.hidden:
            raise WeightsUnreadable(
                "config.json does not say how many layers there are and how wide they are."
            )

    def get(self, *names: str) -> Any:
        """The first of these that the file says."""
        return next((self._told[name] for name in names if self._told.get(name) is not None), None)

    def number(self, *names: str, default: int = 0, most: int = 1 << 28) -> int:
        """One number; of a list its largest."""
        value = self.get(*names)
        if isinstance(value, list):
            value = max((v for v in value if isinstance(v, int | float)), default=default)
        return default if value is None else bounded(value, names[0], most)

    def words(self, *names: str) -> list[str] | None:
        """A list with a word for each layer."""
        value = self.get(*names)
        if not isinstance(value, list) or len(value) < self.layers:
            return None
        return [str(word) for word in value[: self.layers]]


def _kinds(config: _Config) -> list[str]:
    """Of each layer: full, window, state, both, or none (nothing is kept)."""
    n = config.layers
    if config.kind in ("mamba", "mamba2", "falcon_mamba"):
        return ["state"] * n
    if config.kind == "falcon_h1":
        return ["both"] * n
    if (
        pattern := config.get("hybrid_override_pattern")
    ) is not None:  # Nemotron-H: M mamba, * attention, - MLP
        return [{"M": "state", "*": "full"}.get(c, "none") for c in str(pattern)[:n].ljust(n, "*")]
    if (words := config.words("layer_types", "layers_block_type")) is not None:
        return [_kind(word) for word in words]
    if (period := config.number("attn_layer_period")) > 0:  # Jamba
        offset = config.number("attn_layer_offset")
        return ["full" if i % period == offset else "state" for i in range(n)]
    if isinstance(at := config.get("attn_layer_indices"), list):  # Bamba
        return ["full" if i in at[:LAYERS_MAX] else "state" for i in range(n)]
    if config.kind in ("qwen3_next", "qwen3_5", "qwen3_5_moe"):
        period = config.number("full_attention_interval", default=4) or 4
        return ["state" if (i + 1) % period else "full" for i in range(n)]
    if (
        config.get("mamba_d_state", "ssm_state_size", "linear_num_value_heads", "conv_L_cache")
        is not None
    ):
        return ["both"] * n  # a kind that is not known, with states somewhere
    return _windowed(config)


def _kind(word: str) -> str:
    if word in _RECURRENT_KINDS:
        return "state"
    return (
        "window" if word in ("sliding_attention", "chunked_attention", "sliding_window") else "full"
    )


def _windowed(config: _Config) -> list[str]:
    n = config.layers
    if config.kind in ("gemma2",):
        return ["full" if i % 2 else "window" for i in range(n)]
    if config.kind in ("gemma3_text", "gemma3", "cohere2", "gpt_oss"):
        default = {"cohere2": 4, "gpt_oss": 2}.get(config.kind, 6)
        period = config.number("sliding_window_pattern", default=default) or 1
        return ["window" if (i + 1) % period else "full" for i in range(n)]
    if config.kind in ("mistral", "mixtral", "phi3", "starcoder2") and config.number(
        "sliding_window"
    ):
        return ["window"] * n
    if config.get("use_sliding_window") and config.number(
        "sliding_window"
    ):  # Qwen2: the layers after the first
        first = config.number("max_window_layers", default=n)
        return ["window" if i >= first else "full" for i in range(n)]
    return ["full"] * n


def _state(config: _Config) -> tuple[int, int]:
    """The values of the convolution's and of the recurrence's state, per sequence and layer (mamba_utils.py)."""
    if value_heads := config.number("linear_num_value_heads"):  # gated delta net
        value = config.number("linear_value_head_dim", default=128)
        key = config.number("linear_key_head_dim", default=128)
        key_heads = config.number("linear_num_key_heads", default=value_heads)
        width = 2 * key * key_heads + value * value_heads
        kernel = config.number("linear_conv_kernel_dim", default=4)
        return width * max(kernel - 1, 0), value_heads * value * key
    if kernel := config.number("conv_L_cache"):  # LFM2
        return config.hidden * (kernel - 1), 0
    state = config.number("mamba_d_state", "ssm_state_size", "state_size", default=16)
    kernel = config.number("mamba_d_conv", "conv_kernel", "d_conv", default=4)
    heads = config.number("mamba_n_heads", "mamba_num_heads")
    head = config.number("mamba_d_head", "mamba_head_dim")
    if config.kind == "mamba2":
        heads, head = config.number("num_heads"), config.number("head_dim", default=64)
    expand = config.number("mamba_expand", "expand", default=2)
    inner = config.number(
        "mamba_d_ssm",
        "intermediate_size" if config.kind.endswith("mamba") else "mamba_intermediate",
    )
    inner = heads * head or inner or expand * config.hidden
    groups = config.number("mamba_n_groups", "n_groups") if heads else 0
    return (inner + 2 * groups * state) * max(kernel - 1, 0), inner * state


def _layers(config: _Config) -> tuple[Layer, ...]:
    heads = config.number("num_attention_heads", "n_head", "n_heads", "num_heads")
    key_heads = config.number(
        "num_key_value_heads", "num_kv_heads", "n_head_kv", "multi_query_group_num", default=heads
    )
    if (
        config.kind == "falcon"
        and not config.get("new_decoder_architecture")
        and config.get("multi_query")
    ):
        key_heads = 1
    # hidden / heads only where the file does not say it: Qwen3, Gemma and Mistral Nemo have other heads.
    head = config.number(
        "head_dim", "attention_head_dim", default=config.hidden // heads if heads else 0
    )
    value = config.number("v_head_dim", default=head)
    latent = config.number("kv_lora_rank")
    window = config.number("sliding_window", "attention_chunk_size") or None
    conv, state = _state(config)
    made: list[Layer] = []
    for kind in _kinds(config):
        attends = kind in ("full", "window", "both") and config.kind not in _ENCODERS
        made.append(
            Layer(
                # A latent attention keeps one vector per token and the part of the key that is rotated.
                key_width=(
                    latent + config.number("qk_rope_head_dim") if latent else key_heads * head
                )
                * attends,
                value_width=0 if latent else key_heads * value * attends,
                window=window if kind == "window" else None,
                index_width=config.number("index_head_dim") * attends if latent else 0,
                conv_state=conv if kind in ("state", "both") else 0,
                state=state if kind in ("state", "both") else 0,
                key_heads=max(1, 1 if latent else key_heads),
            )
        )
    return tuple(made)


def hf_shape(raw: dict[str, Any], stored: tuple[Stored, ...]) -> Shape:
    """Return the shape of a model of the Hugging Face layout. Raises WeightsUnreadable for one that says too little."""
    config = _Config(raw)
    layer_bytes, expert_bytes = [0] * config.layers, [0] * config.layers
    inputs = outputs = wide = 0
    for tensor in stored:
        match = _LAYER.search(tensor.name)
        wide += tensor.bytes if tensor.dtype == "F32" else 0
        if match is not None and not re.search(
            r"vis|audio|encoder\.layers.*patch", tensor.name.split(".layers.")[0]
        ):
            layer = min(int(match[1]), config.layers - 1)
            layer_bytes[layer] += tensor.bytes
            if ".experts." in tensor.name:
                expert_bytes[layer] += tensor.bytes
        elif re.search(r"embed_tokens|wte\.|word_embeddings", tensor.name):
            inputs += tensor.bytes
        elif tensor.name.startswith("lm_head") and config.tied:
            continue  # stored although it is the embeddings once more
        else:
            outputs += tensor.bytes
    heads = config.number("num_attention_heads", "n_head", "n_heads", "num_heads")
    experts = config.number("num_experts_per_tok", "num_experts_per_token", "moe_topk")
    routed = config.number("moe_intermediate_size", "expert_ffn_hidden_size", default=0) * experts
    if experts and not routed:
        routed = config.number("intermediate_size") * experts
    head = config.number("head_dim", default=config.hidden // heads if heads else 0)
    return Shape(
        architecture=config.kind or "unnamed",
        layers=_layers(config),
        layer_bytes=tuple(layer_bytes),
        expert_bytes=tuple(expert_bytes),
        input_bytes=inputs,
        output_bytes=outputs,
        embedding=config.hidden,
        heads=heads,
        query_width=heads * head,
        feed_forward=max(
            config.number("intermediate_size", "n_inner", "ffn_dim", default=4 * config.hidden),
            routed,
        ),
        vocabulary=config.number("vocab_size"),
        context_trained=config.number("max_position_embeddings", "n_positions", "max_seq_len"),
        generates=config.kind not in _ENCODERS,
        wide_bytes=wide,
    )
