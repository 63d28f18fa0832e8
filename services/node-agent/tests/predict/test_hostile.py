"""A file of weights is somebody else's: whatever is in it, a prediction or a coded error comes out, in bounded memory."""

import json
import struct
import tracemalloc

import pytest
from gguf import GGML_QUANT_SIZES, GGUFReader
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from node_agent.predict import PredictError, Serving, WeightsUnreadable, predict
from node_agent.predict.gguf_file import HEADER_BYTES_MAX, QUANT_SIZES, Counted, read_gguf
from node_agent.predict.safetensors_file import read_safetensors

SERVING = Serving(context_tokens=4096, slots=2)
KEYS = {
    "context_length": 8192, "embedding_length": 64, "block_count": 2, "feed_forward_length": 128,
    "attention.head_count": 4, "attention.head_count_kv": [2, 4], "attention.sliding_window": 512,
    "rope.freq_base": 10000.0, "attention.causal": True,
}  # fmt: skip
CONFIG = {
    "model_type": "jamba", "hidden_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4, "vocab_size": 100,
    "attn_layer_period": 2, "layer_types": ["mamba", "attention"] * 2, "sliding_window": 5, "mamba_d_state": 16,
}  # fmt: skip
LOOSE = settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
MEMORY_MAX = 24 * 1024 * 1024
flips = st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), min_size=1, max_size=12)


def survives(path):
    """Predict; what comes out must be a footprint or a coded error, and nothing large may have been allocated."""
    tracemalloc.start()
    try:
        came_out = predict(path, SERVING).worst.total_mib >= 0
    except PredictError as error:
        came_out = error.code.startswith("node.") and bool(error.fix)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert came_out
    assert peak < MEMORY_MAX


@LOOSE
@given(flips=flips, cut=st.none() | st.integers(0, 4000))
def test_a_gguf_file_with_flipped_and_missing_bytes_is_survived(gguf, flips, cut):
    path = gguf("gemma2", KEYS, tokenizer__ggml__tokens=["a", "b"], general__name="x" * 5000)
    content = bytearray(path.read_bytes())
    for at, value in flips:
        content[at % len(content)] = value
    path.write_bytes(content[:cut])
    survives(path)


@LOOSE
@given(flips=flips, cut=st.none() | st.integers(0, 4000))
def test_safetensors_with_flipped_and_missing_bytes_are_survived(folder, flips, cut):
    path = folder(
        CONFIG, {"model.layers.0.w": ("BF16", (8, 8)), "model.embed_tokens.weight": ("F16", (4, 8))}
    )
    for name in ("model.safetensors", "config.json"):
        content = bytearray((path / name).read_bytes())
        for at, value in flips:
            content[at % len(content)] = value
        (path / name).write_bytes(content[:cut])
    survives(path)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)


@LOOSE
@given(
    told=st.dictionaries(
        st.sampled_from([
            *CONFIG, "text_config", "attn_layer_indices", "hybrid_override_pattern", "head_dim", "kv_lora_rank",
            "linear_num_value_heads", "num_key_value_heads", "conv_L_cache", "max_window_layers", "use_sliding_window",
            "intermediate_size", "num_experts_per_tok", "moe_intermediate_size", "sliding_window_pattern",
        ]),
        values,
        max_size=6,
    ),
    engine=st.sampled_from(["vllm", "llama.cpp"]),
)  # fmt: skip
def test_a_config_that_says_anything_at_all_is_survived(folder, told, engine):
    path = folder(CONFIG | told, {"model.layers.3.w": ("BF16", (8, 8))})
    try:
        found = predict(path, Serving(engine=engine, context_tokens=4096, cards=2))
        assert found.worst.total_mib >= 0
    except PredictError:
        pass


def header(keys=0, tensors=0, body=b"", version=3):
    return b"GGUF" + struct.pack("<IQQ", version, tensors, keys) + body


def text(words):
    return struct.pack("<Q", len(words)) + words


@pytest.mark.parametrize(
    "content",
    [
        b"", b"GGUF", b"GGML" + bytes(40), header(version=1), header(version=99),
        header(keys=1 << 62), header(tensors=1 << 62), header(keys=1), header(keys=1, body=struct.pack("<Q", 1 << 60)),
        header(keys=1, body=text(b"k") + struct.pack("<I", 77)),
        header(keys=1, body=text(b"k") + struct.pack("<IIQ", 9, 4, 1 << 60)),  # an array of 2^60 numbers
        header(keys=1, body=text(b"k") + struct.pack("<IIQ", 9, 8, 4_000_000)),  # words that are not there
        header(keys=1, body=text(b"k") + struct.pack("<IIQ", 9, 9, 1)),  # an array of arrays
        header(keys=1, body=text(b"general.alignment") + struct.pack("<II", 4, 0)),
        header(tensors=1, body=text(b"t") + struct.pack("<I", 1000)),
        header(tensors=1, body=text(b"t") + struct.pack("<IQIQ", 1, 1 << 62, 1, 0)),  # data beyond the file
    ],
)  # fmt: skip
def test_a_header_that_lies_is_refused_at_once(tmp_path, content):
    path = tmp_path / "m.gguf"
    path.write_bytes(content)
    tracemalloc.start()
    with pytest.raises(WeightsUnreadable):
        read_gguf(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < MEMORY_MAX


def test_a_header_is_not_read_beyond_its_limit(tmp_path):
    """A file of half a terabyte whose first value claims to be a text of a hundred gigabytes."""
    path = tmp_path / "m.gguf"
    path.write_bytes(header(keys=2, body=text(b"k") + struct.pack("<IQ", 8, 100 << 30)))
    with path.open("r+b") as file:
        file.truncate(500 << 30)
    assert HEADER_BYTES_MAX < 100 << 30
    with pytest.raises(WeightsUnreadable):
        read_gguf(path)


def test_parts_that_do_not_belong_together_are_refused(gguf):
    gguf("llama", KEYS, name="m-00001-of-00002.gguf", split__tensors__count=9)
    path = gguf("llama", {}, name="m-00002-of-00002.gguf")
    with pytest.raises(WeightsUnreadable, match="belong together"):
        read_gguf(path)
    with pytest.raises(WeightsUnreadable):
        read_gguf(gguf("llama", KEYS, name="m-00001-of-99999.gguf"))


@pytest.mark.parametrize(
    "content",
    [
        b"", b"\x01", (1 << 62).to_bytes(8, "little") + b"{}", (3).to_bytes(8, "little") + b"[1]",
        (2).to_bytes(8, "little") + b"{x", (20_000_000).to_bytes(8, "little") + bytes(100),
    ],
)  # fmt: skip
def test_safetensors_that_lie_are_refused(tmp_path, content):
    (tmp_path / "m.safetensors").write_bytes(content)
    with pytest.raises(WeightsUnreadable):
        read_safetensors(tmp_path / "m.safetensors")


@pytest.mark.parametrize(
    "told",
    [
        5, {}, {"dtype": "F32", "shape": [1], "data_offsets": [0, 1 << 40]},
        {"dtype": "F32", "shape": [-1], "data_offsets": [0, 0]}, {"dtype": "F32", "shape": 3, "data_offsets": [0, 0]},
        {"dtype": "F32", "shape": [1], "data_offsets": [8, 4]},
    ],
)  # fmt: skip
def test_a_tensor_that_cannot_be_is_refused(tmp_path, told):
    words = json.dumps({"t": told}).encode()
    (tmp_path / "m.safetensors").write_bytes(len(words).to_bytes(8, "little") + words + bytes(16))
    with pytest.raises(WeightsUnreadable):
        read_safetensors(tmp_path / "m.safetensors")


def test_an_index_does_not_lead_out_of_its_folder(folder):
    path = folder(CONFIG, {"model.layers.0.w": ("BF16", (8, 8)), "b": ("F16", (1,))}, shards=2)
    (path / "model.safetensors.index.json").write_text(
        '{"weight_map": {"a": "../secret.safetensors"}}'
    )
    with pytest.raises(WeightsUnreadable, match="outside"):
        predict(path, SERVING)


def test_the_header_says_what_the_gguf_library_reads_in_it(gguf):
    """The library maps the file and needs numpy; what both find must be the same."""
    path = gguf(
        "gemma2", KEYS, {"token_embd.weight": (8, 4), "blk.0.attn_q.weight": (16, 32)},
        tokenizer__ggml__tokens=["a", "bb", "c" * 3000], tokenizer__ggml__scores=[0.5] * 9000,
    )  # fmt: skip
    ours, theirs = read_gguf(path), GGUFReader(path)
    for name, field in theirs.fields.items():
        if name.startswith("GGUF."):
            continue
        told = ours.values[name]
        if isinstance(told, Counted):
            assert told.length == len(field.data)
        elif isinstance(told, tuple):
            assert list(told) == field.contents()
        else:
            assert told == field.contents()
    assert {tensor.name: tensor.bytes for tensor in ours.tensors} == {
        tensor.name: tensor.n_bytes for tensor in theirs.tensors
    }


def test_the_sizes_of_types_are_those_of_the_gguf_library():
    assert {
        int(kind): sizes for kind, sizes in GGML_QUANT_SIZES.items()
    }.items() <= QUANT_SIZES.items()


def test_a_type_that_is_newer_than_the_table_takes_what_lies_before_the_next(gguf):
    path = gguf(
        "llama", KEYS, {"token_embd.weight": (8, 4), "blk.0.w": (64, 64), "blk.1.w": (32, 32)}
    )
    known = read_gguf(path)
    content = path.read_bytes()
    at = content.index(b"blk.0.w") + len(b"blk.0.w") + 4 + 16
    path.write_bytes(content[:at] + struct.pack("<I", 200) + content[at + 4 :])
    assert [t.bytes for t in read_gguf(path).tensors] == [t.bytes for t in known.tensors]
