"""What the engine is told to make: its walls, its cards, its labels."""

from __future__ import annotations

from typing import Any

import pytest
from contracts.gpunode import CardReading
from hypothesis import given
from hypothesis import strategies as st
from node_agent import containers, servers
from node_agent.catalogue import Model
from node_agent.containers import Labels, labels_of

from .conftest import MODEL

LABELS = Labels("a/1", "small", "forge", "f" * 32, 7, ("GPU-1", "GPU-2"), 3, "{}")


def card(vendor: str, index: int) -> CardReading:
    return CardReading(id=f"GPU-{index}", index=index, name="card", vendor=vendor, total_mib=1, used_mib=0)  # type: ignore[arg-type]  # fmt: skip


def body(cards: list[CardReading], **model: Any) -> dict[str, Any]:
    entry = Model.model_validate({**MODEL, **model})
    told = servers.server("small", entry, address="10.87.3.2", version="dev", cache_mib=None)
    return containers.container_body(
        LABELS,
        entry,
        told,
        address="10.87.3.2",
        cards=cards,
        weights_host="/srv/models/",
        card_groups=(44, 105),
    )


def test_its_walls() -> None:
    told = body([card("simulated", 0)], cpus=1.5, pids_max=100)
    host = told["HostConfig"]
    assert host["ReadonlyRootfs"]
    assert host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert host["RestartPolicy"] == {"Name": "no"}
    assert host["Memory"] == host["MemorySwap"] == 2048 * 2**20
    assert host["PidsLimit"] == 100
    assert host["NanoCpus"] == 1_500_000_000
    assert host["NetworkMode"] == "lares-model-forge-3"
    assert not {"Privileged", "Binds", "PidMode", "IpcMode", "CapAdd", "PortBindings"} & set(host)
    assert told["User"] == "10045:10045"
    assert all("size=" in options for options in host["Tmpfs"].values())
    assert "Devices" not in host
    assert "DeviceRequests" not in host


def test_what_vllm_compiles_can_be_loaded_and_nothing_else_is_run_from_memory() -> None:
    vllm = {
        "engine": "vllm",
        "image": "v",
        "files": {"model": "m"},
        "vram_mib": 9,
        "kv_cache_mib": 5,
        "sleep": {},
    }
    options = body([], **vllm)["HostConfig"]["Tmpfs"]
    assert options["/tmp"].startswith("exec,")
    assert "noexec" in options["/run/lares"]
    # The engine adds noexec itself where nothing is said.
    assert "exec" not in body([])["HostConfig"]["Tmpfs"]["/tmp"]


def test_only_its_own_files_are_mounted_and_none_can_be_written() -> None:
    mounts = body([], files={"model": "qwen.gguf", "draft": "small/draft.gguf"})["HostConfig"][
        "Mounts"
    ]
    assert [(one["Source"], one["Target"], one["ReadOnly"]) for one in mounts] == [
        ("/srv/models/qwen.gguf", "/models/qwen.gguf", True),
        ("/srv/models/small/draft.gguf", "/models/small/draft.gguf", True),
    ]


def test_it_is_given_the_cards_that_the_scheduler_chose_and_no_other() -> None:
    nvidia = body([card("nvidia", 0), card("nvidia", 2)])
    (request,) = nvidia["HostConfig"]["DeviceRequests"]
    assert request["DeviceIDs"] == ["GPU-0", "GPU-2"]
    amd = body([card("amd", 1)])
    paths = [one["PathOnHost"] for one in amd["HostConfig"]["Devices"]]
    assert paths == ["/dev/kfd", "/dev/dri/renderD129"]
    assert amd["HostConfig"]["GroupAdd"] == ["44", "105"]
    assert "ROCR_VISIBLE_DEVICES=0" in amd["Env"]
    assert "DeviceRequests" not in amd["HostConfig"]
    assert "Devices" not in body([card("amd", 1)], devices="none")["HostConfig"]


@pytest.mark.parametrize("inside", [True, False])
def test_its_network_has_no_way_out_and_the_host_is_on_it_only_if_the_agent_is(
    inside: bool,
) -> None:
    told = containers.network_body("forge", 3, "10.87", inside)
    assert told["Internal"] is True
    options = told["Options"]
    assert (options.get("com.docker.network.bridge.inhibit_ipv4") == "true") is inside
    assert told["IPAM"]["Config"][0]["Subnet"] == "10.87.3.0/29"
    if inside:
        assert len(options["com.docker.network.bridge.name"]) <= 15


def test_labels_are_read_as_they_were_written() -> None:
    assert labels_of(LABELS.words()) == LABELS


@given(
    st.sampled_from(sorted(LABELS.words())),
    st.one_of(st.none(), st.sampled_from(["", "x", "-1", "999"])),
)
def test_damaged_labels_are_nobodys_or_harmless(name: str, value: str | None) -> None:
    words = LABELS.words()
    if value is None:
        del words[name]
    else:
        words[name] = value
    read = labels_of(words)
    assert read is None or (0 <= read.net < containers.NETWORKS_MAX and read.fence >= 0)
    if value is None:
        assert read is None
