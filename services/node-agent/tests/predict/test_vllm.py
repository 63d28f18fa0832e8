"""Predictions for vLLM, whose cache is told to it: what it is told must be enough, and what it allocates."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from node_agent.predict import Serving, predict
from node_agent.predict.cache import vllm_cache_bytes
from node_agent.predict.hf_shape import hf_shape

HERE = Path(__file__).parent
MIB = 1024 * 1024
VLLM = Serving(engine="vllm", context_tokens=8192, vendor="nvidia")

LLAMA_3_8B = {
    "model_type": "llama", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
    "num_key_value_heads": 8, "intermediate_size": 14336, "vocab_size": 128256, "max_position_embeddings": 8192,
    "tie_word_embeddings": False,
}  # fmt: skip
QWEN3_8B = LLAMA_3_8B | {
    "model_type": "qwen3",
    "num_hidden_layers": 36,
    "head_dim": 128,
    "vocab_size": 151936,
}
QWEN3_30B_A3B = QWEN3_8B | {
    "model_type": "qwen3_moe", "hidden_size": 2048, "num_hidden_layers": 48, "num_key_value_heads": 4,
    "num_experts": 128, "num_experts_per_tok": 8, "moe_intermediate_size": 768,
}  # fmt: skip
GEMMA_2_9B = {
    "model_type": "gemma2", "hidden_size": 3584, "num_hidden_layers": 42, "num_attention_heads": 16,
    "num_key_value_heads": 8, "head_dim": 256, "sliding_window": 4096, "vocab_size": 256000,
}  # fmt: skip
GEMMA_3_27B = {"model_type": "gemma3", "text_config": {
    "model_type": "gemma3_text", "hidden_size": 5376, "num_hidden_layers": 62, "num_attention_heads": 32,
    "num_key_value_heads": 16, "head_dim": 128, "sliding_window": 1024, "sliding_window_pattern": 6,
}}  # fmt: skip
GPT_OSS_20B = {
    "model_type": "gpt_oss", "hidden_size": 2880, "num_hidden_layers": 24, "num_attention_heads": 64,
    "num_key_value_heads": 8, "head_dim": 64, "sliding_window": 128,
    "layer_types": ["sliding_attention", "full_attention"] * 12,
}  # fmt: skip
DEEPSEEK_V2_LITE = {
    "model_type": "deepseek_v2", "hidden_size": 2048, "num_hidden_layers": 27, "num_attention_heads": 16,
    "num_key_value_heads": 16, "kv_lora_rank": 512, "qk_rope_head_dim": 64, "qk_nope_head_dim": 128, "v_head_dim": 128,
}  # fmt: skip
MISTRAL_7B = LLAMA_3_8B | {"model_type": "mistral", "sliding_window": 4096, "vocab_size": 32000}
QWEN2_7B = {
    "model_type": "qwen2", "hidden_size": 3584, "num_hidden_layers": 28, "num_attention_heads": 28,
    "num_key_value_heads": 4, "sliding_window": 131072, "use_sliding_window": False, "max_window_layers": 28,
}  # fmt: skip
MAMBA2_2_7B = {
    "model_type": "mamba2", "hidden_size": 2560, "num_hidden_layers": 64, "num_heads": 80, "head_dim": 64,
    "state_size": 128, "n_groups": 1, "conv_kernel": 4, "expand": 2,
}  # fmt: skip
JAMBA = {
    "model_type": "jamba", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
    "num_key_value_heads": 8, "attn_layer_period": 8, "attn_layer_offset": 4, "mamba_d_state": 16, "mamba_d_conv": 4,
    "mamba_expand": 2,
}  # fmt: skip
GRANITE_4_H_SMALL = {
    "model_type": "granitemoehybrid", "hidden_size": 4096, "num_hidden_layers": 40, "num_attention_heads": 32,
    "num_key_value_heads": 8, "mamba_n_heads": 128, "mamba_d_head": 64, "mamba_d_state": 128, "mamba_n_groups": 1,
    "mamba_d_conv": 4, "layer_types": ["attention" if i in (5, 15, 25, 35) else "mamba" for i in range(40)],
}  # fmt: skip
QWEN3_NEXT = {
    "model_type": "qwen3_next", "hidden_size": 2048, "num_hidden_layers": 48, "num_attention_heads": 16,
    "num_key_value_heads": 2, "head_dim": 256, "linear_num_value_heads": 32, "linear_num_key_heads": 16,
    "linear_key_head_dim": 128, "linear_value_head_dim": 128, "linear_conv_kernel_dim": 4,
}  # fmt: skip
NEMOTRON_H_8B = {
    "model_type": "nemotron_h", "hidden_size": 4096, "num_hidden_layers": 52, "num_attention_heads": 32,
    "num_key_value_heads": 8, "attention_head_dim": 128, "mamba_num_heads": 128, "mamba_head_dim": 64,
    "ssm_state_size": 128, "n_groups": 8, "conv_kernel": 4,
    "hybrid_override_pattern": "M-M-M-M*-M-M-M-M-M*-M-M-M-M-M*-M-M-M-M-M*-M-M-M-M-M-",
}  # fmt: skip
FALCON_H1_7B = {
    "model_type": "falcon_h1", "hidden_size": 3072, "num_hidden_layers": 44, "num_attention_heads": 12,
    "num_key_value_heads": 2, "head_dim": 128, "mamba_d_ssm": 3072, "mamba_n_heads": 24, "mamba_d_head": 128,
    "mamba_d_state": 256, "mamba_n_groups": 1, "mamba_d_conv": 4,
}  # fmt: skip


def cache_mib(config, **settings):
    return vllm_cache_bytes(hf_shape(config, ()), replace(VLLM, **settings)) / MIB


@pytest.mark.parametrize(
    ("config", "settings", "published_mib"),
    [
        (LLAMA_3_8B, {}, 1024),
        (LLAMA_3_8B, {"slots": 8, "context_tokens": 4096}, 4096),
        (LLAMA_3_8B, {"cache_type_k": "fp8", "cache_type_v": "fp8"}, 512),
        (QWEN3_8B, {"context_tokens": 40960}, 5760),
        (QWEN3_30B_A3B, {"context_tokens": 32768}, 3072),
        (QWEN2_7B, {"context_tokens": 32768}, 1792),  # 56 KiB a token: its window is switched off
        (DEEPSEEK_V2_LITE, {"context_tokens": 32768}, 972),  # one latent vector, no values
        # Windows: vLLM keeps the window and two batches, the one that runs and the next, in blocks.
        (GEMMA_2_9B, {"context_tokens": 32768}, 21 * 8 * (32768 + 4095 + 4096 + 32) / 1024),
        (MISTRAL_7B, {"context_tokens": 32768}, 32 * 4 * (4095 + 4096 + 32) / 1024),
        # 52 and 10 layers make six groups and one, of ten: two layers are padding.
        (GEMMA_3_27B, {"context_tokens": 32768}, 10 * 8 * (32768 + 6 * (1023 + 4096 + 32)) / 1024),
        (GPT_OSS_20B, {"context_tokens": 32768}, 12 * 2 * (32768 + 127 + 4096 + 32) / 1024),
    ],
)
def test_vllms_cache_holds_every_slots_whole_context(config, settings, published_mib):
    assert cache_mib(config, **settings) == pytest.approx(published_mib, rel=0.002)


# Bytes of one request of 8192 and of 32768 tokens by vLLM 0.32's own planner (get_kv_cache_groups and
# _max_memory_usage_bytes_from_groups, given these hyper-parameters, two batches of 2048 in flight, prefix caching).
BY_VLLM = [
    (LLAMA_3_8B, 1073741824, 4294967296),
    (QWEN3_30B_A3B, 805306368, 3221225472),
    (DEEPSEEK_V2_LITE, 254803968, 1019215872),
    (GEMMA_2_9B, 2821324800, 7049183232),
    (GEMMA_3_27B, 3195535360, 5208801280),
    (GPT_OSS_20B, 305528832, 909508608),
    (MISTRAL_7B, 1075838976, 1075838976),
    (JAMBA, 167510016, 570949632),
    (GRANITE_4_H_SMALL, 443023360, 851968000),
    (QWEN3_NEXT, 363331584, 986185728),
    (MAMBA2_2_7B, 339673088, 339673088),
]


@pytest.mark.parametrize(("config", "short_bytes", "long_bytes"), BY_VLLM)
def test_the_cache_is_what_vllms_own_planner_asks_for_and_a_block(config, short_bytes, long_bytes):
    for tokens, asked in ((8192, short_bytes), (32768, long_bytes)):
        told = cache_mib(config, context_tokens=tokens) * MIB
        # The block that is never given out is as long as a state where there are states.
        assert asked <= told <= asked * (1.51 if config is MAMBA2_2_7B else 1.08)


@pytest.mark.parametrize(
    ("config", "layers", "state_values", "kept_per_token"),
    [
        (MAMBA2_2_7B, 64, 2 * 3 * (5120 + 256) + 4 * 5120 * 128, 0),
        (JAMBA, 28, 2 * 3 * 8192 + 4 * 8192 * 16, 4096),
        (GRANITE_4_H_SMALL, 36, 2 * 3 * (8192 + 256) + 4 * 8192 * 128, 4096),
        (QWEN3_NEXT, 36, 2 * 3 * 8192 + 4 * 32 * 128 * 128, 2048),
        (NEMOTRON_H_8B, 24, 2 * 3 * (8192 + 2048) + 4 * 8192 * 128, 4096),
        (FALCON_H1_7B, 44, 2 * 3 * (3072 + 512) + 4 * 3072 * 256, 1024),
    ],
)
def test_a_layer_with_a_state_keeps_the_state_that_its_paper_says(
    config, layers, state_values, kept_per_token
):
    shape = hf_shape(config, ())
    stateful = [layer for layer in shape.layers if layer.state]
    assert len(stateful) == layers
    assert {2 * layer.conv_state + 4 * layer.state for layer in stateful} == {state_values}
    kept = {2 * (layer.key_width + layer.value_width) for layer in shape.layers if layer.keeps}
    assert kept == ({kept_per_token} if kept_per_token else set())


def test_a_states_page_makes_the_blocks_of_tokens_as_long_as_it_is():
    """Jamba, one slot: 4 layers with keys and 28 with states, in eight groups of four with pages of one size."""
    page = 16 * 4096 * 9  # the first multiple of a block that holds a state of 573,440 bytes
    blocks = -(-8192 // (16 * 9)) + 7 * 2 + 1
    assert cache_mib(JAMBA) == pytest.approx(blocks * 4 * page / MIB, abs=0.01)


def test_two_cards_share_heads_and_repeat_what_cannot_be_shared():
    one, two, sixteen = (cache_mib(LLAMA_3_8B, cards=cards) for cards in (1, 2, 16))
    assert two == pytest.approx(one / 2, rel=0.01)
    assert sixteen == pytest.approx(one / 8, rel=0.01)  # eight heads on sixteen cards: each has one
    assert cache_mib(DEEPSEEK_V2_LITE, cards=2) == cache_mib(DEEPSEEK_V2_LITE)


def test_a_kind_that_is_not_known_is_counted_with_keys_and_states_in_every_layer():
    told = {key: value for key, value in JAMBA.items() if not key.startswith("attn_")} | {
        "model_type": "jumbo"
    }
    layers = hf_shape(told, ()).layers
    assert all(layer.keeps and layer.state for layer in layers)
    assert cache_mib(told) > cache_mib(JAMBA)


def test_an_encoder_keeps_nothing_and_its_32_bit_weights_are_halved(tmp_path):
    """The header of all-MiniLM-L6-v2's own file: 90,856,960 bytes of data."""
    (tmp_path / "config.json").write_text(json.dumps({
        "model_type": "bert", "hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12,
        "intermediate_size": 1536, "vocab_size": 30522, "max_position_embeddings": 512}))  # fmt: skip
    header = (HERE / "all-minilm-l6-v2.header.json").read_bytes().rstrip()
    with (tmp_path / "model.safetensors").open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + 90_856_960)
    found = predict(tmp_path, replace(VLLM, context_tokens=512))
    assert found.cache_bytes_per_card == 0
    assert found.worst.cache_mib == 0
    assert found.worst.weights_mib == 44  # 86.6 MiB of 32-bit numbers, less the 64-bit positions
    assert found.context_tokens_max == 512


def weights(dtype="BF16", layers=2):
    tensors = {
        "model.embed_tokens.weight": (dtype, (1024, 1024)),
        "lm_head.weight": (dtype, (1024, 1024)),
    }
    return tensors | {
        f"model.layers.{i}.mlp.up_proj.weight": (dtype, (4096, 1024)) for i in range(layers)
    }


TINY = {
    "model_type": "llama", "hidden_size": 1024, "num_hidden_layers": 2, "num_attention_heads": 8, "vocab_size": 1024,
    "intermediate_size": 4096,
}  # fmt: skip


def test_weights_are_the_bytes_of_all_shards(folder):
    assert predict(folder(TINY, weights(), shards=3), VLLM).worst.weights_mib == 2 + 2 + 16


def test_a_head_that_is_the_embeddings_once_more_is_counted_once(folder):
    assert (
        predict(folder(TINY | {"tie_word_embeddings": True}, weights()), VLLM).worst.weights_mib
        == 2 + 16
    )


def test_quantised_weights_are_counted_as_they_are_stored(folder):
    """AWQ and GPTQ pack eight 4-bit values into an I32, beside 16-bit scales; FP8 takes a byte."""
    packed = {"model.embed_tokens.weight": ("F16", (1024, 1024))}
    for i in range(2):
        packed[f"model.layers.{i}.mlp.up_proj.qweight"] = ("I32", (1024, 512))
        packed[f"model.layers.{i}.mlp.up_proj.scales"] = ("F16", (8, 4096))
    assert predict(folder(TINY, packed), VLLM).worst.weights_mib == 2 + 4 + 1
    assert predict(folder(TINY, weights("F8_E4M3")), VLLM).worst.weights_mib == 10


def test_two_cards_take_half_of_the_weights_each_and_room_to_talk(folder):
    path = folder(TINY, weights())
    one, two = predict(path, VLLM), predict(path, replace(VLLM, cards=2))
    assert len(two.cards) == 2
    assert two.worst.weights_mib == 11  # 20 / 2, and two hundredths
    assert two.worst.context_mib > one.worst.context_mib


def test_vllm_makes_room_for_adapters_of_the_largest_rank(folder, tmp_path):
    path, adapter = folder(TINY, weights()), tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text('{"r": 8}')
    header = json.dumps(
        {"a": {"dtype": "BF16", "shape": [1024, 1024], "data_offsets": [0, 2097152]}}
    ).encode()
    (adapter / "adapter_model.safetensors").write_bytes(
        len(header).to_bytes(8, "little") + header + bytes(2097152)
    )
    found = predict(
        path, replace(VLLM, adapters=(adapter,), adapter_rank_max=64, adapters_at_once=2)
    )
    assert found.worst.adapters_mib == 2 * 64 // 8 * 2


@pytest.mark.parametrize("block", [16, 64, 128])
@pytest.mark.parametrize(
    ("tokens", "slots", "layers"), [(8192, 1, 32), (8192, 32, 32), (5000, 3, 40), (100, 1, 2)]
)
def test_every_slot_has_its_whole_context_however_long_the_blocks_are(
    folder, block, tokens, slots, layers
):
    """One block is never given out; a request that needs it would wait for ever."""
    path = folder(LLAMA_3_8B | {"num_hidden_layers": layers}, weights())
    told = predict(path, replace(VLLM, context_tokens=tokens, slots=slots))
    block_bytes = block * layers * 2 * 8 * 128 * 2
    assert told.cache_bytes_per_card // block_bytes >= slots * -(-tokens // block) + 1


def test_its_processes_count_as_host_memory_beside_the_weights_that_pass_through(folder):
    path = folder(TINY, weights())
    one, two = predict(path, VLLM), predict(path, replace(VLLM, cards=2))
    assert one.host_mib == 3 * 768 + 20
    assert two.host_mib - one.host_mib == 768  # a worker for each card


def test_without_graphs_less_is_taken(folder):
    path = folder(TINY, weights())
    assert (
        predict(path, replace(VLLM, graphs=False)).worst.total_mib
        < predict(path, VLLM).worst.total_mib
    )
