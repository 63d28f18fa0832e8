"""Of whom a reader is asked: the instances that live on this node's cards."""

from __future__ import annotations

from dataclasses import dataclass

from contracts.gpunode import InstancePhase


@dataclass(frozen=True)
class Resident:
    """A live instance: whose use of the cards is to be told. Sizes per card and as predicted or measured before."""

    instance_id: str
    container_id: str | None
    cards: tuple[str, ...]
    phase: InstancePhase
    footprint_mib: int
    asleep_mib: int = 0
    ram_mib: int = 0  # of the host, while it is resident
