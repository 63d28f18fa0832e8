"""Predictions against llama.cpp's own allocations, and against figures that others published.

llama_cpp.json holds what llama.cpp of October 2026 (in xllamacpp 2026.10) says it would allocate for each
architecture's own hyper-parameters: cache to a hundredth of a MiB, and the compute buffer where it could be had.
"""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from node_agent.predict import Serving, predict
from node_agent.predict.cache import llama_layer_bytes
from node_agent.predict.compute import llama_compute_bytes
from node_agent.predict.gguf_file import read_gguf
from node_agent.predict.gguf_shape import gguf_shape

MIB = 1024 * 1024
MEASURED = json.loads((Path(__file__).parent / "llama_cpp.json").read_text())
WAYS = {
    "1x4096": Serving(context_tokens=4096),
    "1x32768": Serving(context_tokens=32768),
    "4x8192": Serving(context_tokens=8192, slots=4),
    "4x8192 unified": Serving(context_tokens=8192, slots=4, unified_cache=True),
    "1x32768 q8_0": Serving(context_tokens=32768, cache_type_k="q8_0", cache_type_v="q8_0"),
    "1x32768 all windows": Serving(context_tokens=32768, full_window_cache=True),
    "1x32768 plain": Serving(context_tokens=32768, flash_attention=False),
}


def shape_of(gguf, name):
    told = MEASURED[name]
    keys = told["keys"]
    embeddings = {"token_embd.weight": (told["vocabulary"], keys["embedding_length"])}
    return gguf_shape(read_gguf(gguf(told["architecture"], keys, embeddings)))


@pytest.mark.parametrize("name", MEASURED)
def test_the_cache_is_what_llama_cpp_allocates(gguf, name):
    shape = shape_of(gguf, name)
    for way, (cache_mib, _) in MEASURED[name]["measured"].items():
        assert sum(llama_layer_bytes(shape, WAYS[way])) / MIB == pytest.approx(
            cache_mib, abs=0.01
        ), way


@pytest.mark.parametrize("name", MEASURED)
def test_the_compute_buffer_is_never_less_than_llama_cpps_and_seldom_much_more(gguf, name):
    shape = shape_of(gguf, name)
    for way, (_, compute_mib) in MEASURED[name]["measured"].items():
        if compute_mib is None:
            continue
        predicted = llama_compute_bytes(shape, WAYS[way], head=True) / MIB
        assert predicted >= 0.995 * compute_mib, way
        # A card unpacks one layer of a quantised cache for long batches; the processor that was measured on does not.
        unpacked = (
            max(layer.key_width + layer.value_width for layer in shape.layers) * 32768 * 2 / MIB
        )
        assert predicted <= 1.15 * compute_mib + 12 + (unpacked if "q8_0" in way else 0), way


@pytest.mark.parametrize(
    ("name", "serving", "published_mib"),
    [
        # llama.cpp's well-known log lines: Llama 3 8B, "KV self size = 1024.00 MiB" at 8192; Mistral 7B, 4096.
        ("llama-3-8b", Serving(context_tokens=8192), 1024),
        ("mistral-7b-v0.1", Serving(context_tokens=32768), 4096),
        # 144 KiB a token: 2 x 36 layers x 8 heads x 128 x 2 bytes; hidden / heads would give the same by chance,
        ("qwen3-8b", Serving(context_tokens=40960), 5760),
        # but not here: 2048 / 32 would be 64 and half of it.
        ("qwen3-30b-a3b", Serving(context_tokens=32768), 3072),
        # DeepSeek V2's latent: 576 values a token and layer, against 16 x (192 + 128) uncompressed.
        ("deepseek-v2-lite", Serving(context_tokens=32768), 972),
        # Mamba keeps the same at any length.
        ("mamba-2.8b", Serving(context_tokens=1_000_000), 24),
        # Jamba's paper: 4 GB of cache at 256K in 16 bits, where Mixtral takes 32.
        ("jamba-v0.1", Serving(context_tokens=262_144), 4096 + 17),
    ],
)
def test_the_cache_is_what_others_published(gguf, name, serving, published_mib):
    cache = sum(llama_layer_bytes(shape_of(gguf, name), serving)) / MIB
    assert cache == pytest.approx(published_mib, abs=1)


def test_llama_3_8b_takes_what_its_log_said_of_the_compute_buffer(gguf):
    """258.50 MiB with flash attention and 560.00 MiB without at 8192, in many a log of 2024."""
    shape = shape_of(gguf, "llama-3-8b")
    fast = Serving(context_tokens=8192)
    assert 258.5 <= llama_compute_bytes(shape, fast, head=True) / MIB <= 320
    assert (
        560
        <= llama_compute_bytes(shape, replace(fast, flash_attention=False), head=True) / MIB
        <= 640
    )


def test_a_window_saves_what_it_saves_and_full_layers_what_they_do_not(gguf):
    """Gemma 3 27B at 32768: ten full layers of 256 MiB, and 52 of 1536 tokens instead of 32768."""
    shape = shape_of(gguf, "gemma-3-27b")
    full = sum(llama_layer_bytes(shape, WAYS["1x32768 all windows"])) / MIB
    assert full == 15872
    assert sum(llama_layer_bytes(shape, WAYS["1x32768"])) / MIB == 10 * 256 + 52 * 12


def test_the_parts_of_a_whole_model_are_put_together(gguf):
    """SmolLM2-135M's hyper-parameters: 180 MiB of cache at 8192, and every tensor on the card but none twice."""
    keys = {
        "context_length": 8192, "embedding_length": 576, "block_count": 30, "feed_forward_length": 1536,
        "attention.head_count": 9, "attention.head_count_kv": 3,
    }  # fmt: skip
    tensors = {"token_embd.weight": (49152, 576), "output_norm.weight": (576,)}
    tensors |= {f"blk.{i}.ffn_up.weight": (1536, 576) for i in range(30)}
    found = predict(gguf("llama", keys, tensors), Serving(context_tokens=8192, vendor="simulated"))
    assert found.worst.cache_mib == 180
    # The words' vectors are the head, too: on the card as the head, in host memory as vectors.
    assert found.worst.weights_mib == 54 + 51
    assert found.host_mib == 54
    assert found.worst.context_mib == 0
    assert found.context_tokens_max == 8192


@pytest.mark.integration
def test_a_real_model_out_of_its_image_is_predicted_as_it_was_measured(tmp_path, image_file):
    """SmolLM2-135M-Instruct Q4_1: 92.10 MiB by llama.cpp's own log, cache 180.00, compute 109.64 at 8192."""
    path = image_file("lares/local-llm:dev", "/models/default.gguf", tmp_path / "smollm2.gguf")
    found = predict(path, Serving(context_tokens=8192, vendor="simulated")).worst
    assert found.weights_mib == 93
    assert found.cache_mib == 180
    assert 110 <= found.compute_mib <= 115
