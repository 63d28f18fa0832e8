"""The walls of what runs on a GPU node, read from what compose would start there, with and without an NVIDIA card."""

import functools
import json
import os
import subprocess
from typing import Any

import pytest
import settings_reference
import tree
from kit.settings import CommonSettings, describe

FOLDER = tree.ROOT / "gpu-node"
TOLD = {
    "LARES_NODE": "forge", "LARES_NODE_ADDRESS": "192.168.1.20", "LARES_NODE_STATE": "/state", "LARES_DOCKER_GID": "990",
    "LARES_NODE_WEIGHTS": "/weights", "LARES_NODE_CATALOGUE": "/catalogue",
}  # fmt: skip
WITH_CARD = pytest.mark.parametrize("nvidia", [False, True], ids=["no card", "nvidia"])


@functools.cache
def services(nvidia: bool) -> dict[str, Any]:
    files = ["-f", "compose.yaml", *(["-f", "compose.nvidia.yaml"] if nvidia else [])]
    command = ["docker", "compose", *files, "--env-file", "/dev/null", "--profile", "joining"]
    env = {key: value for key, value in os.environ.items() if not key.startswith("LARES_")}
    done = subprocess.run(
        [*command, "config", "--format", "json"], cwd=FOLDER, env=env | TOLD, capture_output=True, text=True
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["services"]


@WITH_CARD
@pytest.mark.parametrize("name", ["node-agent", "joining"])
def test_it_is_walled_like_a_container_of_the_house(name: str, nvidia: bool) -> None:
    told = services(nvidia)[name]
    assert told["read_only"] is True
    assert told["cap_drop"] == ["ALL"]
    assert told["security_opt"] == ["no-new-privileges:true"]
    assert told["user"] == "10043:10043"
    assert not told.get("privileged")
    assert not told.get("cap_add")
    assert not told.get("network_mode")
    assert all(float(told[key]) > 0 for key in ("mem_limit", "cpus", "pids_limit"))
    assert told["logging"]["options"]["max-size"]
    assert told["dns"] == ["127.0.0.1"]


@WITH_CARD
def test_the_agent_alone_has_the_engine_and_publishes_one_port_on_one_address(nvidia: bool) -> None:
    holders = {
        name
        for name, told in services(nvidia).items()
        if any("docker.sock" in volume["source"] for volume in told.get("volumes") or [])
    }
    assert holders == {"node-agent"}
    published = [
        (name, port["host_ip"], port["published"])
        for name, told in services(nvidia).items()
        for port in told.get("ports") or []
    ]
    assert published == [("node-agent", "192.168.1.20", "8443")]


def test_what_the_agent_may_write_to_is_its_certificate_and_its_plea_to_the_host() -> None:
    volumes = services(False)["node-agent"]["volumes"]
    writable = {volume["target"] for volume in volumes if not volume.get("read_only")}
    assert writable == {"/run/docker.sock", "/var/lib/lares/node", "/run/lares-host"}


def test_the_one_that_joins_sees_neither_models_nor_processes_nor_weights() -> None:
    told = services(False)["joining"]
    assert [volume["target"] for volume in told["volumes"]] == ["/var/lib/lares/node"]
    assert not told.get("pid")
    assert not told.get("group_add")
    assert not told.get("ports")
    assert not any("JOIN" in key or "TOKEN" in key for key in told.get("environment") or {})


def test_an_nvidia_card_is_for_reading_and_for_no_computing() -> None:
    told = services(True)["node-agent"]
    (device,) = told["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["utility"]
    assert told["environment"]["NVIDIA_DRIVER_CAPABILITIES"] == "utility"
    assert "deploy" not in services(False)["node-agent"]


def test_the_agent_knows_every_variable_that_it_is_given() -> None:
    classes = settings_reference.settings_classes()["node-agent"]
    known = {described.env for cls in [CommonSettings, *classes] for described in describe(cls).values()}  # fmt: skip
    given = services(False)["node-agent"]["environment"]
    assert {key for key in given if key.startswith("LARES_")} <= known
