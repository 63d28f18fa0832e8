"""The models file: checked to the last key, read again when it changes, every field of it described."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import gpu_models_reference
import pytest
import yaml
from node_agent import catalogue, servers
from node_agent.catalogue import Catalogue, Model, Part, Sleep, Weights
from node_agent.errors import CatalogueInvalid

from .conftest import LLM, MODEL, House

ROOT = Path(__file__).resolve().parents[3]
VLLM = {"engine": "vllm", "image": "v", "files": {"model": "m"}, "sleep": {}}


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def refused(tmp_path: Path, model: dict[str, Any]) -> str:
    text = yaml.safe_dump({"version": 1, "models": {"a": model}})
    with pytest.raises(CatalogueInvalid) as error:
        catalogue.read(written(tmp_path / "models.yaml", text), {})
    return error.value.reason


def test_the_file_that_is_shipped_is_in_order() -> None:
    read = catalogue.read(ROOT / "gpu-node" / "models.yaml", {"LARES_VERSION": "dev"})
    offered = {name for name, model in read.models.items() if model.enabled}
    # What is offered without the owner's doing needs neither a card nor a download.
    assert offered == {"lares-small", "minilm-l6-v2", "whisper-base"}
    for name, model in read.models.items():
        told = servers.server(name, model, address="10.87.0.2", version="dev", cache_mib=None)
        assert told.paths, name


@pytest.mark.parametrize("part", [Catalogue, Model, Weights, Sleep])
def test_every_field_is_described(part: type[Part]) -> None:
    missing = [name for name, field in part.model_fields.items() if not field.description]
    assert not missing
    document = (ROOT / "docs" / "gpu-models.md").read_text()
    assert all(f"| `{name}` |" in document for name in part.model_fields)


def test_the_reference_is_as_the_code_says() -> None:
    assert (ROOT / "docs" / "gpu-models.md").read_text() == gpu_models_reference.render(), (
        "run `make docs`"
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kind": "cat"}, "models.a.kind"),
        ({"vram": 5}, "models.a.vram"),
        ({"slots": 0}, "models.a.slots"),
        ({"user": "0:0"}, "models.a.user"),
        ({"user": "root"}, "models.a.user"),
        ({"files": {"model": "/etc/passwd"}}, "below the folder of weights"),
        ({"files": {"model": "../x.gguf"}}, "below the folder of weights"),
        ({"engine": "vllm", "image": None}, "needs an image"),
        ({"engine": "custom", "image": "a"}, "needs a port and a ready_path"),
        ({"sleep": {"method": "vllm"}}, "vLLM's sleep mode"),
        ({**VLLM}, "needs kv_cache_mib"),
        ({**VLLM, "vram_mib": None, "devices": "none"}, "needs kv_cache_mib"),
        ({"sleep": {"method": "idle"}, "engine": "embeddings"}, "needs llama.cpp"),
        ({"vram_mib": None}, "vram_mib must be said"),
        ({"cards": ["a"], "cards_needed": 2}, "fewer cards"),
        ({"environment": {"CUDA_VISIBLE_DEVICES": "0"}}, "the scheduler chooses the cards"),
        ({"environment": {"A B": "0"}}, "not a variable's name"),
        ({"image": "bad image"}, "models.a.image"),
        ({"paths": ["v1"]}, "models.a.paths"),
    ],
)
def test_what_makes_no_sense_is_refused_and_named(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    assert said in refused(tmp_path, {**MODEL, **change})


def test_a_key_that_stands_twice_is_refused(tmp_path: Path) -> None:
    text = "version: 1\nmodels:\n  a: {kind: chat, kind: speech}\n"
    with pytest.raises(CatalogueInvalid, match="twice"):
        catalogue.read(written(tmp_path / "models.yaml", text), {})


def test_only_the_known_variable_is_filled_in(tmp_path: Path) -> None:
    text = yaml.safe_dump({"version": 1, "models": {"a": {**MODEL, "image": "lares/x:${HOME}"}}})
    with pytest.raises(CatalogueInvalid, match="HOME"):
        catalogue.read(written(tmp_path / "models.yaml", text), {"LARES_VERSION": "dev"})


async def test_a_change_is_read_and_a_wrong_one_leaves_the_old_in_force(house: House) -> None:
    async with house.agent():
        house.write(a=MODEL, b={**MODEL, "slots": 7})
        await house.node.shelf.look()
        assert [one.slots for one in (await house.state()).models] == [2, 7]
        house.catalogue.write_text("version: 1\nmodels: {small: {kind: chat}}")
        await house.node.shelf.look()
        state = await house.state()
        assert [one.slots for one in state.models] == [2, 7]
        assert "models.small.engine" in (state.error or "")
        assert "stays in force" in (state.error or "")
        house.write(small=MODEL)
        await house.node.shelf.look()
        state = await house.state()
        assert (len(state.models), state.error) == (1, None)


async def test_a_model_whose_image_or_file_is_missing_is_told_of_with_the_reason(
    house: House,
) -> None:
    house.write(
        small=MODEL,
        absent={**MODEL, "image": "example/absent:1"},
        weightless={**MODEL, "files": {"model": "qwen.gguf"}},
        off={**MODEL, "enabled": False},
    )
    async with house.agent():
        errors = {one.model: one.error for one in (await house.state()).models}
        assert errors["small"] is None
        assert "example/absent:1 is not on this node" in (errors["absent"] or "")
        assert "qwen.gguf" in (errors["weightless"] or "")
        assert "off" not in errors
        house.engine.images["example/absent:1"] = "sha256:9"
        await house.node.shelf.weigh()
        errors = {one.model: one.error for one in (await house.state()).models}
        assert errors["absent"] is None


async def test_a_measured_peak_belongs_to_image_weights_and_settings_alone(house: House) -> None:
    async def fingerprint() -> str:
        await house.node.shelf.look()
        await house.node.shelf.weigh()
        return house.node.shelf.offers["small"].declared.fingerprint

    async with house.agent():
        first = await fingerprint()
        house.write(small={**MODEL, "pinned": True, "idle_stop_seconds": 5, "vram_mib": 999})
        assert await fingerprint() == first
        house.write(small={**MODEL, "context_tokens": 4096})
        assert await fingerprint() != first
        house.write(small=MODEL)
        assert await fingerprint() == first
        house.engine.images[LLM] = "sha256:rebuilt"
        assert await fingerprint() != first


def test_every_part_of_weights_that_are_split_is_mounted() -> None:
    files = Weights(model="big/m-00001-of-00003.gguf", draft="d.gguf")
    assert files.all == (
        "big/m-00001-of-00003.gguf",
        "big/m-00002-of-00003.gguf",
        "big/m-00003-of-00003.gguf",
        "d.gguf",
    )


def test_the_words_that_are_filled_in_leave_other_braces_alone() -> None:
    model = Model.model_validate(
        {**MODEL, "engine": "custom", "image": "a", "port": 9, "ready_path": "/h",
         "files": {"model": "m"}, "sleep": {}, "command": ["{address}:{port}", '{"a": {b}}', "{weights}"]}
    )  # fmt: skip
    told = servers.server("a", model, address="10.87.3.2", version="dev", cache_mib=None)
    assert told.command == ("10.87.3.2:9", '{"a": {b}}', "/models/m")


def test_vllm_is_given_its_cache_in_bytes_and_never_a_share_of_the_card() -> None:
    model = Model.model_validate(
        {"kind": "chat", "engine": "vllm", "image": "v", "files": {"model": "m"}, "context_tokens": 8192,
         "slots": 4, "cards_needed": 2, "sleep": {"method": "vllm"}}
    )  # fmt: skip
    told = servers.server("a", model, address="10.87.3.2", version="dev", cache_mib=512)
    words = " ".join(told.command)
    assert f"--kv-cache-memory-bytes {512 * 2**20}" in words
    assert "--tensor-parallel-size 2" in words
    assert told.command[0] == "/models/m"
    # vLLM looks whether this share is free before it starts, also where it decides nothing.
    assert "--gpu-memory-utilization 0.01" in words
    assert told.environment["VLLM_SERVER_DEV_MODE"] == "1"
    assert not re.search(r"sleep|wake|rpc", " ".join(told.paths))


def test_llama_cpp_is_given_the_context_of_all_its_slots() -> None:
    model = Model.model_validate(
        {"kind": "chat", "engine": "llama.cpp", "image": "l", "context_tokens": 4096, "slots": 3, "kv_type": "q8_0",
         "cards_needed": 2,
         "files": {"model": "m.gguf", "mmproj": "p.gguf", "loras": ["x.gguf"]}, "sleep": {"method": "idle"}}
    )  # fmt: skip
    told = servers.server("a", model, address="10.87.3.2", version="dev", cache_mib=None)
    words = " ".join(told.command)
    for part in ("--ctx-size 12288", "--parallel 3", "--cache-type-k q8_0", "--mmproj /models/p.gguf",
                 "--lora /models/x.gguf", "--sleep-idle-seconds 3",
                 "--ubatch-size 512", "--cache-ram 256", "--tensor-split 1,1"):  # fmt: skip
        assert part in words


async def test_a_cache_whose_size_is_said_is_what_is_booked(house: House) -> None:
    weights = house.settings.weights_path / "m"
    weights.mkdir(parents=True)
    config = {"model_type": "llama", "hidden_size": 1024, "num_hidden_layers": 2, "num_attention_heads": 8,
              "vocab_size": 1024, "intermediate_size": 4096}  # fmt: skip
    (weights / "config.json").write_text(json.dumps(config))
    header = json.dumps({"a": {"dtype": "BF16", "shape": [4], "data_offsets": [0, 8]}}).encode()
    (weights / "w.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    entry = {"kind": "chat", "engine": "vllm", "image": LLM, "files": {"model": "m"}, "context_tokens": 8192,
             "slots": 32}  # fmt: skip
    async with house.agent():
        house.write(small=entry, told={**entry, "kv_cache_mib": 700})
        await house.node.shelf.look()
        footprints = {
            name: offer.declared.footprint for name, offer in house.node.shelf.offers.items()
        }
        predicted, said = footprints["small"], footprints["told"]
        assert predicted is not None
        assert said is not None
        assert predicted.cache_mib > 2000
        assert said.cache_mib == 700
        assert said.total_mib == predicted.total_mib - predicted.cache_mib + 700
