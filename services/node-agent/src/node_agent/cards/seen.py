"""What a reader sees of a card, before it is known whose processes are whose, and of whom it wants to know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from node_agent.cards.owners import Owners
from node_agent.cards.resident import Resident

MIB = 1024 * 1024
Vendor = Literal["nvidia", "amd", "simulated"]


@dataclass(frozen=True)
class Process:
    """A process that has memory on a card. `mib` is None where the driver does not say how much."""

    pid: int
    mib: int | None


@dataclass(frozen=True)
class Seen:
    """One card. `used_mib` is all that cannot be had, the driver's own reserve included."""

    id: str
    index: int
    name: str
    vendor: Vendor
    total_mib: int
    used_mib: int
    processes: tuple[Process, ...] | None = ()  # None: the driver lists none
    ours: Mapping[str, int] | None = None  # instance id -> MiB, where the reader knows it by itself
    utilisation_percent: float | None = None
    watts: float | None = None
    temperature_c: float | None = None
    error: str | None = None


class CardReader(Protocol):
    """Reads all cards of one kind. Blocks; is called by one thread, one call at a time. Raises on failure."""

    owners: Owners

    def look(self, residents: Sequence[Resident]) -> tuple[Seen, ...]:
        """Return all cards as they are now."""
        ...

    def close(self) -> None:
        """Let go of the driver."""
        ...


def mib_up(bytes_: int) -> int:
    """Bytes in MiB, rounded up: use is never told too low."""
    return -(-bytes_ // MIB)
