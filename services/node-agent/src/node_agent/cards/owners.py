"""Whose process is whose: by the control group that the engine puts a container's processes into.

NVML and the kernel name processes by the numbers of the machine, so the agent must see these: it runs on the host or
with `pid: host`, or is given the host's /proc. Works with cgroup v1 and v2, systemd's and the engine's own naming.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from node_agent.cards.resident import Resident

PROCESSES_MAX = 4096
_CONTAINER = re.compile(r"[0-9a-f]{64}")
# Where a container's group lies under the mount, by the engine's and by systemd's naming.
_GROUPS = (
    "system.slice/docker-{id}.scope",
    "docker/{id}",
    "machine.slice/libpod-{id}.scope",
    "memory/docker/{id}",
    "memory/system.slice/docker-{id}.scope",
)
_FILE_BYTES_MAX = 1 << 20


def read_text(path: Path) -> str | None:
    """Return a small file of /proc or /sys, None when it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(_FILE_BYTES_MAX).decode("utf-8", "replace")
    except OSError:
        return None


class Owners:
    """Looks up containers' processes and memory."""

    def __init__(
        self, proc_root: Path = Path("/proc"), cgroup_root: Path = Path("/sys/fs/cgroup")
    ) -> None:
        self.proc_root, self._cgroup_root = proc_root, cgroup_root

    def instance_of(self, pid: int, residents: Sequence[Resident]) -> tuple[bool, str | None]:
        """Return whether the process could be looked up, and whose instance it is: None is a foreigner's."""
        told = read_text(self.proc_root / str(pid) / "cgroup")
        if told is None:
            return False, None
        containers = set(_CONTAINER.findall(told))
        for resident in residents:
            if resident.container_id is not None and resident.container_id in containers:
                return True, resident.instance_id
        return True, None

    def _group(self, container_id: str) -> Path | None:
        if not _CONTAINER.fullmatch(container_id):
            return None
        paths = (self._cgroup_root / form.format(id=container_id) for form in _GROUPS)
        found = next((path for path in paths if path.is_dir()), None)
        if found is not None:
            return found
        # An engine with a parent group of its own (--cgroup-parent), in either version.
        return next(
            (
                path
                for form in ("*/{id}", "memory/*/{id}")
                for path in self._cgroup_root.glob(form.format(id=container_id))
            ),
            None,
        )

    def pids(self, container_id: str) -> Iterable[int]:
        """The processes of a container."""
        group = self._group(container_id)
        told = read_text(group / "cgroup.procs") if group is not None else None
        return [int(word) for word in (told or "").split()[:PROCESSES_MAX] if word.isdigit()]

    def memory_mib(self, container_id: str) -> int | None:
        """What a container's processes really hold: their own pages and what they have mapped of files.

        By the processes where they can be seen: pages of a file are charged to the control group that touched them
        first, so that of two servers of the same weights one would seem to hold none.
        """
        pages = [
            int(told.split()[1])
            for pid in self.pids(container_id)
            if (told := read_text(self.proc_root / str(pid) / "statm")) is not None
        ]
        if pages:
            return -(-sum(pages) * os.sysconf("SC_PAGE_SIZE") // (1024 * 1024))
        group = self._group(container_id)
        told = read_text(group / "memory.stat") if group is not None else None
        if told is None:
            return None
        stat = dict(line.split(maxsplit=1) for line in told.splitlines() if " " in line)
        # cgroup v2 says anon and file_mapped; v1 says rss and mapped_file.
        own = int(stat.get("anon", stat.get("rss", "0")))
        mapped = int(stat.get("file_mapped", stat.get("mapped_file", "0")))
        return -(-(own + mapped) // (1024 * 1024))
