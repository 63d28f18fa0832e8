"""Recordings of cards, replayed where the library or the kernel would answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pynvml
import pytest
from node_agent.cards import Resident
from node_agent.cards.amd import AmdReader
from node_agent.cards.nvidia import NvidiaReader
from node_agent.cards.owners import Owners

RECORDINGS = Path(__file__).parent / "recordings"


class ReplayedNvml:
    """The module pynvml as a recording has it: its own constants and errors, the recorded answers."""

    def __init__(self, recording: dict[str, Any]) -> None:
        self._readings = [reading["calls"] for reading in recording["readings"]]
        self.at = 0
        self.asked: list[str] = []

    def __getattr__(self, name: str) -> Any:
        real = getattr(pynvml, name)
        if not callable(real) or isinstance(real, type):
            return real

        def answer(*arguments: Any) -> Any:
            key = f"{name}({','.join(str(argument) for argument in arguments)})"
            self.asked.append(key)
            calls = self._readings[self.at]
            assert key in calls, f"the recording has no {key}"
            if isinstance(calls[key], dict) and "nvml_error" in calls[key]:
                raise pynvml.NVMLError(calls[key]["nvml_error"])
            told = _struct(calls[key])
            if name == "nvmlEventSetWait_v2":  # an event is taken once
                calls[key] = {"nvml_error": pynvml.NVML_ERROR_TIMEOUT}
            return told

        return answer


def _struct(told: Any) -> Any:
    if isinstance(told, list):
        return [_struct(one) for one in told]
    if isinstance(told, dict):
        return (
            told["handle"]
            if "handle" in told
            else SimpleNamespace(**{k: _struct(v) for k, v in told.items()})
        )
    return told


@pytest.fixture
def recording() -> Callable[[str], dict[str, Any]]:
    return lambda name: json.loads((RECORDINGS / f"{name}.json").read_text())


@pytest.fixture
def machine(tmp_path: Path) -> SimpleNamespace:
    """A /proc and a cgroup mount to which containers and foreign processes are added."""
    proc, cgroup = tmp_path / "proc", tmp_path / "cgroup"

    def process(pid: int, container_id: str | None) -> None:
        folder = proc / str(pid)
        folder.mkdir(parents=True, exist_ok=True)
        group = (
            f"/system.slice/docker-{container_id}.scope"
            if container_id
            else "/user.slice/session-2.scope"
        )
        (folder / "cgroup").write_text(f"0::{group}\n")
        if container_id:
            held = cgroup / "system.slice" / f"docker-{container_id}.scope"
            held.mkdir(parents=True, exist_ok=True)
            with (held / "cgroup.procs").open("a") as file:
                file.write(f"{pid}\n")

    def memory(container_id: str, mib: int, mapped_mib: int = 0) -> None:
        held = cgroup / "system.slice" / f"docker-{container_id}.scope"
        held.mkdir(parents=True, exist_ok=True)
        (held / "memory.stat").write_text(
            f"anon {mib << 20}\nfile 999999999\nfile_mapped {mapped_mib << 20}\n"
        )

    return SimpleNamespace(
        process=process, memory=memory, owners=Owners(proc, cgroup), proc=proc, cgroup=cgroup
    )


@pytest.fixture
def nvidia(machine, recording) -> Callable[[str], tuple[NvidiaReader, ReplayedNvml]]:
    def make(name: str) -> tuple[NvidiaReader, ReplayedNvml]:
        library = ReplayedNvml(recording(name))
        return NvidiaReader(library, machine.owners), library

    return make


@pytest.fixture
def amd(machine, recording, tmp_path: Path) -> Callable[[str], AmdReader]:
    def make(name: str) -> AmdReader:
        told, root = recording(name)["readings"][0], tmp_path / "sys"
        for link, address in told["addresses"].items():
            (root / "devices" / address).mkdir(parents=True)
            (root / link).parent.mkdir(parents=True, exist_ok=True)
            (root / link).symlink_to(root / "devices" / address)
        for files, base in ((told["files"], root), (told["proc"], machine.proc)):
            for path, text in files.items():
                (base / path).parent.mkdir(parents=True, exist_ok=True)
                (base / path).write_text(text)
        return AmdReader(machine.owners, root)

    return make


@pytest.fixture
def resident() -> Callable[..., Resident]:
    def make(instance_id: str, card: str, **told: Any) -> Resident:
        usual = {"container_id": None, "phase": "ready", "footprint_mib": 9000, "asleep_mib": 500}
        return Resident(instance_id=instance_id, cards=(card,), **(usual | told))

    return make
