"""Placeholder of `node` until the readers are here: overwrite it."""

from dataclasses import dataclass

from contracts.gpunode import InstancePhase


@dataclass(frozen=True)
class Resident:
    """One of our running containers, for attributing memory to it. Sizes per card."""

    instance_id: str
    container_id: str
    cards: tuple[str, ...]
    phase: InstancePhase
    footprint_mib: int
    asleep_mib: int
    ram_mib: int
