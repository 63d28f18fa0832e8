"""Host memory, as the kernel counts it. What each container holds is read in cards/owners.py."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

FILE_BYTES_MAX = 16 * 1024


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


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(FILE_BYTES_MAX).decode("ascii", "replace")
    except OSError:
        return ""


def _table(text: str) -> dict[str, int]:
    table: dict[str, int] = {}
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        number = value.strip().split(" ")[0]
        if number.isdigit():
            table[name] = int(number)
    return table
