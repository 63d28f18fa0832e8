"""The running stack's containers, as the kernel accounts for them."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
# Their weights are the point of them, so the floor of the whole stack leaves them out.
MODELS = frozenset({"local-llm", "embedder"})


@dataclass(frozen=True)
class Container:
    """One running container of the house."""

    service: str
    id: str
    pid: int

    def pids(self) -> list[int]:
        """Return every process in it."""
        listed = subprocess.run(
            ["docker", "top", self.id, "-o", "pid"], capture_output=True, text=True, check=True
        )
        return [int(pid) for pid in listed.stdout.split()[1:]]

    def pss_mib(self) -> float:
        """Return its processes' proportional share of memory."""
        total = 0
        for pid in self.pids():
            try:
                lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            except (FileNotFoundError, ProcessLookupError):
                # A health probe that ended between the listing and the look.
                continue
            total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        return total / 1024

    def cpu_seconds(self) -> float:
        """Return the processor time of its cgroup, whoever ran in it."""
        for line in Path(f"/proc/{self.pid}/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers == "":
                usage = Path("/sys/fs/cgroup") / path.lstrip("/") / "cpu.stat"
                if usage.exists():
                    return int(usage.read_text().split()[1]) / 1e6
            if "cpuacct" in controllers.split(","):
                usage = Path("/sys/fs/cgroup/cpuacct") / path.lstrip("/") / "cpuacct.usage"
                return int(usage.read_text()) / 1e9
        raise RuntimeError(f"no cpu accounting for {self.service}")


def containers(project: str) -> list[Container]:
    """Return the house's running containers, by service."""
    label = "label=com.docker.compose"
    wanted = (f"{label}.project={project}", f"{label}.config-hash")
    listed = subprocess.run(
        ["docker", "ps", "-q", *(part for one in wanted for part in ("--filter", one))],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    shown: list[dict[str, Any]] = json.loads(
        subprocess.run(
            ["docker", "inspect", *listed], capture_output=True, text=True, check=True
        ).stdout
    )
    found = [
        Container(
            one["Config"]["Labels"]["com.docker.compose.service"], one["Id"], one["State"]["Pid"]
        )
        for one in shown
    ]
    return sorted(found, key=lambda one: one.service)


def budgets() -> dict[str, int]:
    """Return each container's memory budget in MiB, as its service.yaml promises it."""
    found: dict[str, int] = {}
    for file in sorted((ROOT / "services").glob("*/service.yaml")):
        told = yaml.safe_load(file.read_text())
        found[told["name"]] = int(told["memory_budget_mib"])
        for name, worker in (told.get("workers") or {}).items():
            found[name] = int(worker["memory_budget_mib"])
    return found


def engine_cpu_seconds() -> dict[int, float]:
    """Return the processor time of the engine's own processes by pid: daemon, containerd, shims, port forwarders."""
    spent: dict[int, float] = {}
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            name = (process / "comm").read_text().strip()
            if name in (
                "dockerd",
                "containerd",
                "containerd-shim",
                "containerd-shim-runc-v2",
                "docker-proxy",
            ):
                fields = (process / "stat").read_text().rsplit(")", 1)[1].split()
                spent[int(process.name)] = sum(int(ticks) for ticks in fields[11:15]) / 100
        except OSError:
            continue
    return spent
