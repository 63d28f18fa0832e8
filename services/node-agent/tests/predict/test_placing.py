"""Where the parts lie: cards, host memory, and what comes along."""

from dataclasses import replace

import pytest
from node_agent.predict import PredictError, Serving, WeightsMissing, WeightsUnreadable, predict

KEYS = {
    "context_length": 8192, "embedding_length": 1024, "block_count": 8, "feed_forward_length": 4096,
    "attention.head_count": 8, "attention.head_count_kv": 8, "vocab_size": 32768,
}  # fmt: skip
TENSORS = {"token_embd.weight": (32768, 1024), "output.weight": (32768, 1024)} | {
    f"blk.{i}.ffn_up.weight": (4096, 1024) for i in range(8)
}
EIGHT = Serving(context_tokens=8192, vendor="simulated")


def test_layers_that_are_not_on_the_card_are_in_host_memory_with_their_cache(gguf):
    path = gguf("llama", KEYS, TENSORS)
    whole, half = predict(path, EIGHT), predict(path, replace(EIGHT, gpu_layers=5))
    assert (whole.worst.weights_mib, whole.worst.cache_mib, whole.host_mib) == (64 + 64, 256, 64)
    # The last four and the head: llama.cpp counts the head as a layer.
    assert (half.worst.weights_mib, half.worst.cache_mib, half.host_mib) == (
        32 + 64,
        128,
        64 + 32 + 128,
    )


def test_nothing_on_the_card_takes_nothing_of_it(gguf):
    found = predict(gguf("llama", KEYS, TENSORS), replace(EIGHT, gpu_layers=0, vendor="nvidia"))
    assert found.worst.total_mib == 0


def test_a_cache_that_stays_in_host_memory_takes_nothing_of_the_card(gguf):
    found = predict(gguf("llama", KEYS, TENSORS), replace(EIGHT, cache_on_card=False))
    assert (found.worst.cache_mib, found.host_mib) == (0, 64 + 256)


def test_an_architecture_that_is_not_known_is_never_counted_too_low(gguf):
    """Windows it may have are not believed, and states that it names are counted in every layer beside the keys."""
    known = predict(
        gguf("gemma3", KEYS | {"attention.sliding_window": 512}, TENSORS), EIGHT
    ).worst.cache_mib
    windows = KEYS | {
        "attention.sliding_window": 512,
        "attention.sliding_window_pattern": [True] * 8,
    }
    assert known < predict(gguf("gemma9", windows, TENSORS), EIGHT).worst.cache_mib == 256
    states = {
        "ssm.state_size": 128,
        "ssm.inner_size": 8192,
        "ssm.conv_kernel": 4,
        "ssm.group_count": 1,
    }
    assert predict(gguf("gemma9-h", KEYS | states, TENSORS), EIGHT).worst.cache_mib == 256 + 33


def test_two_cards_share_the_layers_and_the_last_has_the_head(gguf):
    found = predict(gguf("llama", KEYS, TENSORS), replace(EIGHT, cards=2))
    first, second = found.cards
    assert first.weights_mib + second.weights_mib == 128
    assert (first.cache_mib, second.cache_mib) == (5 * 32, 3 * 32)
    assert found.worst == second
    assert second.compute_mib > first.compute_mib


def test_cards_share_as_they_are_told_to(gguf):
    found = predict(gguf("llama", KEYS, TENSORS), replace(EIGHT, cards=2, tensor_split=(2.0, 1.0)))
    assert [card.cache_mib for card in found.cards] == [6 * 32, 2 * 32]


def test_experts_can_stay_in_host_memory(gguf):
    experts = {f"blk.{i}.ffn_up_exps.weight": (4, 4096, 1024) for i in range(8)}
    path = gguf("qwen3moe", KEYS | {"expert_count": 4, "expert_used_count": 2}, TENSORS | experts)
    whole, some = predict(path, EIGHT), predict(path, replace(EIGHT, cpu_moe_layers=3))
    assert whole.worst.weights_mib - some.worst.weights_mib == 3 * 32
    assert some.host_mib - whole.host_mib == 3 * 32


def test_a_draft_model_a_projector_and_adapters_come_along(gguf):
    draft = gguf("llama", KEYS | {"block_count": 2}, name="draft.gguf")
    vision = {f"clip.vision.{key}": value for key, value in {
        "image_size": 448, "patch_size": 14, "embedding_length": 1024, "feed_forward_length": 4096,
        "attention.head_count": 16}.items()}  # fmt: skip
    projector = gguf(
        "clip", {}, {"v.blk.0.ffn_up.weight": (4096, 1024)}, name="mmproj.gguf", **vision
    )
    adapter = gguf("llama", {}, {"blk.0.attn_q.weight.lora_a": (1024, 1024)}, name="lora.gguf")
    path = gguf("llama", KEYS, TENSORS)
    alone = predict(path, EIGHT).worst
    along = predict(
        path, replace(EIGHT, draft=draft, projector=projector, adapters=(adapter, adapter))
    ).worst
    assert along.adapters_mib == pytest.approx(
        64 + 8 + 2 + 2, abs=2
    )  # draft's cache, projector, adapters
    assert along.compute_mib > alone.compute_mib + 64


def test_a_projector_for_pictures_of_any_size_is_counted_with_the_largest(gguf):
    """Qwen2.5-VL's: 4096 tokens of four patches; llama.cpp itself told a user to expect 1136 MiB."""
    keys = {
        "embedding_length": 1280,
        "feed_forward_length": 3420,
        "image_size": 560,
        "patch_size": 14,
    }
    vision = {f"clip.vision.{key}": value for key, value in keys.items()}
    whole = gguf("clip", {}, name="mmproj.gguf", clip__projector_type="qwen2.5vl_merger", **vision)
    path = gguf("llama", KEYS, TENSORS)
    more = (
        predict(path, replace(EIGHT, projector=whole)).worst.compute_mib
        - predict(path, EIGHT).worst.compute_mib
    )
    assert more == pytest.approx(1136, rel=0.1)


def test_a_projector_that_hears_is_counted_with_half_a_minute(gguf):
    keys = {"embedding_length": 1280, "feed_forward_length": 5120, "attention.head_count": 20}
    sound = {f"clip.audio.{key}": value for key, value in keys.items()}
    ears = gguf("clip", {}, name="mmproj.gguf", **sound)
    path = gguf("llama", KEYS, TENSORS)
    assert (
        predict(path, replace(EIGHT, projector=ears)).worst.compute_mib
        > predict(path, EIGHT).worst.compute_mib + 500
    )


def test_more_than_the_model_was_trained_for_is_noted(gguf):
    found = predict(gguf("llama", KEYS, TENSORS), replace(EIGHT, context_tokens=16384))
    assert "Trained for 8192" in found.worst.notes[0]


def test_a_split_file_is_read_whole_whichever_part_is_named(gguf):
    first = gguf(
        "llama",
        KEYS,
        {"token_embd.weight": (32768, 1024)},
        "m-00001-of-00002.gguf",
        split__tensors__count=2,
    )
    second = gguf("llama", {}, {"blk.0.ffn_up.weight": (4096, 1024)}, "m-00002-of-00002.gguf")
    assert (
        predict(first, EIGHT).worst.weights_mib
        == predict(second, EIGHT).worst.weights_mib
        == 64 + 8
    )
    second.unlink()
    with pytest.raises(WeightsMissing, match="00002"):
        predict(first, EIGHT)


def test_what_a_slot_takes_grows_with_the_slots(gguf):
    path = gguf("llama", KEYS, TENSORS)
    assert (
        predict(path, replace(EIGHT, slots=4)).worst.cache_mib
        == 4 * predict(path, EIGHT).worst.cache_mib
    )


@pytest.mark.parametrize(
    "settings",
    [
        {"context_tokens": 0}, {"context_tokens": 1 << 40}, {"slots": 0}, {"slots": 10_000}, {"cards": 99},
        {"batch_tokens": -1}, {"cards": 2, "tensor_split": (1.0,)}, {"cache_type_k": "q3_k"},
    ],
)  # fmt: skip
def test_settings_beyond_all_bounds_are_refused_with_a_code(gguf, settings):
    with pytest.raises(PredictError) as caught:
        predict(gguf("llama", KEYS, TENSORS), replace(EIGHT, **settings))
    assert caught.value.code.startswith("node.")


def test_what_is_no_weights_is_refused_with_a_code(tmp_path):
    (tmp_path / "model.bin").write_bytes(b"x")
    with pytest.raises(WeightsMissing):
        predict(tmp_path / "none.gguf", EIGHT)
    with pytest.raises(WeightsMissing):
        predict(tmp_path / "none", EIGHT)
    with pytest.raises(WeightsMissing):
        predict(tmp_path, EIGHT)
    with pytest.raises(WeightsUnreadable):
        predict(tmp_path / "model.bin", EIGHT)


@pytest.mark.parametrize("key", ["embedding_length", "block_count"])
def test_a_header_that_says_too_little_is_refused(gguf, key):
    with pytest.raises(WeightsUnreadable):
        predict(gguf("llama", {name: value for name, value in KEYS.items() if name != key}), EIGHT)
