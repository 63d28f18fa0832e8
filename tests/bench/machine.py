"""What a measurement was made on: a number without its machine says nothing."""

import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


def describe() -> dict[str, Any]:
    """Return the processor, its cores, the memory, the load and the time."""
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "architecture": platform.machine(),
        "processor": _first("/proc/cpuinfo", "model name") or _first("/proc/cpuinfo", "Model"),
        "cores": len(os.sched_getaffinity(0)),
        "memory_mib": int((_first("/proc/meminfo", "MemTotal") or "0").split()[0]) // 1024,
        "kernel": platform.release(),
        "load_1m": round(os.getloadavg()[0], 2),
    }


def _first(path: str, key: str) -> str | None:
    for line in Path(path).read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return None


def pss_mib(pid: int) -> float:
    """Return the proportional memory of a process and its children."""
    total = 0
    for process in (pid, *_children(pid)):
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
    return round(total / 1024, 1)


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += [int(child), *_children(int(child))]
    return found
