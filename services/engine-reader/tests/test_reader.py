"""A reading, from control groups of both kinds to the file; and against the real engine."""

import json
import subprocess
import uuid
from pathlib import Path

import pytest
from engine_reader.cgroup import NOTHING, Cgroups, Usage
from engine_reader.engine import Engine
from engine_reader.reader import Reader
from kit.clock import Clock

ID = "b" * 64


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize("folder", [f"docker/{ID}", f"system.slice/docker-{ID}.scope"])
def test_version_1_adds_anonymous_and_mapped_memory(tmp_path: Path, folder: str) -> None:
    write(
        tmp_path / "memory" / folder / "memory.stat",
        "cache 9\ntotal_rss 100\ntotal_mapped_file 20\n",
    )
    write(tmp_path / "cpuacct" / folder / "cpuacct.usage", "5000\n")
    assert Cgroups(tmp_path).usage(ID) == Usage(120, 5000)


@pytest.mark.parametrize("folder", [f"docker/{ID}", f"system.slice/docker-{ID}.scope"])
def test_version_2_keeps_everything_in_one_folder(tmp_path: Path, folder: str) -> None:
    write(tmp_path / "cgroup.controllers", "cpu memory\n")
    write(tmp_path / folder / "memory.stat", "anon 100\nfile 999\nfile_mapped 20\n")
    write(tmp_path / folder / "cpu.stat", "usage_usec 5\nuser_usec 3\n")
    assert Cgroups(tmp_path).usage(ID) == Usage(120, 5000)


def test_a_container_without_control_groups_uses_an_unknown_amount(tmp_path: Path) -> None:
    assert Cgroups(tmp_path).usage(ID) == NOTHING


def test_an_engine_that_is_away_leaves_the_old_file_and_no_heartbeat(tmp_path: Path) -> None:
    snapshot = tmp_path / "containers.json"
    snapshot.write_text("the last reading")
    reader = Reader(
        Engine(tmp_path / "absent.sock", "lares"),
        Cgroups(tmp_path),
        snapshot,
        tmp_path / "heartbeat",
        Clock(),
    )
    assert reader.beat() is False
    assert snapshot.read_text() == "the last reading"
    assert not (tmp_path / "heartbeat").exists()


@pytest.mark.integration
def test_the_real_engine_is_read_and_another_project_is_not_seen(tmp_path: Path) -> None:
    project = f"t-reader-{uuid.uuid4().hex[:8]}"
    label = "com.docker.compose"

    def run(of: str, service: str) -> str:
        command = ["docker", "run", "-d", "--network", "none", "--memory", "64m"]
        command += ["--label", f"{label}.project={of}", "--label", f"{label}.service={service}"]
        command += ["--entrypoint", "sleep", "lares/valkey:dev", "60"]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    ids = [run(project, "mine"), run(f"{project}x", "foreign")]
    try:
        snapshot, heartbeat = tmp_path / "containers.json", tmp_path / "heartbeat"
        engine = Engine(Path("/var/run/docker.sock"), project)
        reader = Reader(engine, Cgroups(Path("/sys/fs/cgroup")), snapshot, heartbeat, Clock())
        assert reader.beat()
        assert reader.beat()
        told = json.loads(snapshot.read_text())
        assert [row["name"] for row in told["containers"]] == ["mine"]
        row = told["containers"][0]
        assert row["state"] == "running"
        assert 0 < row["memory_bytes"] < 64 * 2**20
        assert row["cpu_percent"] is not None
        assert heartbeat.exists()
    finally:
        subprocess.run(["docker", "rm", "-f", *ids], check=True, capture_output=True)
