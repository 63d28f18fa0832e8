"""Host memory: all of the machine's, and what each container holds, read where the kernel keeps them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

FILE_BYTES_MAX = 16 * 1024
MIB = 2**20


@dataclass(frozen=True)
class Ram:
    """The machine's memory. `used_mib` is what is not available to a new program."""

    total_mib: int
    used_mib: int


def ram(meminfo: Path = Path("/proc/meminfo")) -> Ram:
    """Return the machine's memory as the kernel counts it."""
    table = _table(_text(meminfo).replace(":", ""))
    total, available = table.get("MemTotal", 0) // 1024, table.get("MemAvailable", 0) // 1024
    return Ram(total, max(0, total - available))


class Cgroups:
    """The host's control groups, mounted read-only; both versions and both drivers."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._unified = (root / "cgroup.controllers").exists()
        self._folders: dict[str, Path] = {}

    def memory_mib(self, container_id: str) -> int | None:
        """Return what a running container's processes hold, without the lent page cache; None when it cannot be read.

        Mapped files count: llama.cpp maps its weights, and gives them back when it sleeps.
        """
        folder = self._folder(container_id)
        if folder is None:
            return None
        table = _table(_text(folder / "memory.stat"))
        names = ("anon", "file_mapped") if self._unified else ("total_rss", "total_mapped_file")
        if names[0] not in table:
            self._folders.pop(container_id, None)
            return None
        return sum(table.get(name, 0) for name in names) // MIB

    def forget(self, container_id: str) -> None:
        """Drop what is remembered of a container that is gone."""
        self._folders.pop(container_id, None)

    def _folder(self, container_id: str) -> Path | None:
        known = self._folders.get(container_id)
        if known is not None:
            return known
        base = self._root if self._unified else self._root / "memory"
        for candidate in (f"docker/{container_id}", f"system.slice/docker-{container_id}.scope"):
            if (base / candidate).is_dir():
                self._folders[container_id] = base / candidate
                return base / candidate
        # An engine with a parent group of its own (--cgroup-parent).
        for found in base.glob(f"*/*{container_id}*"):
            self._folders[container_id] = found
            return found
        return None


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(FILE_BYTES_MAX).decode("ascii", "replace")
    except OSError:
        # The container ended between being listed and being read.
        return ""


def _table(text: str) -> dict[str, int]:
    table: dict[str, int] = {}
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        number = value.strip().split(" ")[0]
        if number.isdigit():
            table[name] = int(number)
    return table
