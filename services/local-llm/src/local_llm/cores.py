"""How many threads the model gets."""

import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def quota_cores(cgroup: Path = CGROUP) -> float | None:
    """Return the container's CPU limit in cores (cgroup v2 or v1), or None when it has none."""
    try:
        quota, period = (cgroup / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota = (cgroup / "cpu/cpu.cfs_quota_us").read_text().strip()
            period = (cgroup / "cpu/cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    return None if quota in ("max", "-1") else int(quota) / int(period)


def choose_threads(wanted: int, cores: int, quota: float | None) -> int:
    """Return `wanted`, or all usable cores but one when it is 0.

    One core stays free because the model's threads wait for each other at every layer: when one of them shares its
    core, all stand still (two contended threads were measured at a fifteenth of one free thread's speed).
    """
    if wanted > 0:
        return wanted
    usable = cores if quota is None else min(cores, int(quota))
    return max(1, usable - 1)


def available_cores() -> int:
    """Return the cores this process may run on."""
    return len(os.sched_getaffinity(0))
