"""Chooses the reader by the setting, or by what the machine has."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from node_agent.cards.amd import AmdReader
from node_agent.cards.errors import CardsError
from node_agent.cards.nvidia import NvidiaReader
from node_agent.cards.owners import Owners
from node_agent.cards.seen import CardReader
from node_agent.cards.simulated import SimulatedReader, Use, parse_cards


def open_reader(
    kind: str = "auto",
    *,
    simulated: Sequence[str] = (),
    use: Use = "declared",
    faults: Path | None = None,
    proc_root: Path = Path("/proc"),
    cgroup_root: Path = Path("/sys/fs/cgroup"),
    sys_root: Path = Path("/sys"),
    node: str = "",
) -> CardReader:
    """Return the reader for `kind`: auto, nvidia, amd, simulated, or simulated:24576x2. Raises CardsError.

    `auto` looks once what the machine has: NVIDIA's driver, AMD's, else simulated cards where some are declared. A
    driver that comes later, or goes, is the reader's business: it is asked anew at every reading.
    """
    owners = Owners(proc_root, cgroup_root)
    name, _, size = kind.partition(":")
    if size and name == "simulated":
        simulated = [size.replace("[", "").replace("]", "")]
    elif size:
        raise CardsError(f"{kind[:40]!r} names no way to read cards.")
    if name == "auto":
        name = _found(simulated, proc_root, sys_root)
    if name == "nvidia":
        # Imported where it is wanted: a node without such a card does not pay its memory.
        import pynvml

        return NvidiaReader(pynvml, owners)
    if name == "amd":
        return AmdReader(owners, sys_root, node)
    if name == "simulated":
        return SimulatedReader(parse_cards(simulated), owners, use=use, faults=faults)
    raise CardsError(f"{kind[:40]!r} names no way to read cards.")


def _found(simulated: Sequence[str], proc_root: Path, sys_root: Path) -> str:
    if (proc_root / "driver/nvidia/version").exists() or Path("/dev/nvidiactl").exists():
        return "nvidia"
    vendors = (sys_root / "class/drm").glob("card*/device/vendor")
    if any(path.read_text().strip() == "0x1002" for path in vendors):
        return "amd"
    if simulated:
        return "simulated"
    raise CardsError(
        "This machine shows neither an NVIDIA nor an AMD card.",
        fix="Install the driver, or declare simulated cards in LARES_NODE_SIMULATED_CARDS.",
    )
