"""Reads AMD cards from what the kernel's amdgpu driver shows in /sys and /proc; no library is needed.

Memory of a process is in the fdinfo of its descriptors of the card (kernel's drm-usage-stats) and, for compute, in
/sys/class/kfd. On a processor with graphics (APU) the dedicated part is small and models lie in the system's memory
(GTT): there the larger part is the card, as ROCm has it, and what is used of both is used of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from node_agent.cards.owners import Owners, read_text
from node_agent.cards.resident import Resident
from node_agent.cards.seen import MIB, Process, Seen, mib_up

CARDS_MAX = 32
DESCRIPTORS_MAX = 4096
_AMD = "0x1002"
_UNITS = {"": 1, "B": 1, "KIB": 1024, "MIB": MIB, "GIB": 1024 * MIB}


class AmdReader:
    """All AMD cards that the kernel shows under `sys_root`."""

    def __init__(self, owners: Owners, sys_root: Path = Path("/sys"), node: str = "") -> None:
        self.owners, self._sys = owners, sys_root
        # A card without a serial number is known by its slot, and slots are the same on every machine.
        self._slot = f"pci-{node}-" if node else "pci-"

    def look(self, residents: Sequence[Resident]) -> tuple[Seen, ...]:
        """Return all cards. Raises OSError when there is no such driver."""
        folders = [
            path / "device"
            for path in sorted((self._sys / "class/drm").iterdir(), key=_number)[: CARDS_MAX * 8]
            if re.fullmatch(r"card\d+", path.name) and _word(path / "device/vendor") == _AMD
        ][:CARDS_MAX]
        if not folders:
            raise FileNotFoundError("No AMD card is shown by the kernel")
        used = self._by_process({folder.resolve().name for folder in folders}, residents)
        return tuple(self._seen(index, folder, used) for index, folder in enumerate(folders))

    def close(self) -> None:
        """Nothing is held."""

    def _seen(self, index: int, folder: Path, used: dict[tuple[str, int], tuple[int, int]]) -> Seen:
        address = folder.resolve().name
        monitor = next(iter(sorted(folder.glob("hwmon/hwmon*"))), folder / "hwmon")
        total, taken = _value(folder / "mem_info_vram_total"), _value(folder / "mem_info_vram_used")
        shared = _is_apu(folder, monitor)
        if shared and total is not None and taken is not None:
            total = max(total, _value(folder / "mem_info_gtt_total") or 0)
            taken += _value(folder / "mem_info_gtt_used") or 0
        serial = _word(folder / "unique_id")
        name = _word(folder / "product_name") or f"AMD {_word(folder / 'device') or 'card'}"
        watts = _value(monitor / "power1_average")
        watts = _value(monitor / "power1_input") if watts is None else watts
        busy, heat = _value(folder / "gpu_busy_percent"), _value(monitor / "temp1_input")
        processes = [
            Process(pid, mib_up(vram + gtt if shared else vram) if pid else None)
            for (pci, pid), (vram, gtt) in used.items()
            if pci == address
        ]
        return Seen(
            id=f"amd-{serial}" if serial else f"{self._slot}{address}",
            index=_render_number(folder, index),
            name=f"{name} (memory shared with the processor)" if shared else name,
            vendor="amd",
            total_mib=(total or 0) // MIB,
            used_mib=mib_up(taken or 0),
            processes=tuple(processes),
            utilisation_percent=float(busy) if busy is not None and 0 <= busy <= 100 else None,
            watts=watts / 1_000_000 if watts is not None else None,
            temperature_c=heat / 1000 if heat is not None else None,
            error=None
            if total and taken is not None
            else "The kernel does not tell this card's memory.",
        )

    def _by_process(
        self, addresses: set[str], residents: Sequence[Resident]
    ) -> dict[tuple[str, int], tuple[int, int]]:
        """Bytes of dedicated and of system memory by card and process, of the residents' processes alone."""
        used: dict[tuple[str, int], tuple[int, int]] = {}
        gpu_ids = self._gpu_ids()
        for resident in residents:
            pids = tuple(self.owners.pids(resident.container_id or ""))
            if not pids:
                # A container whose processes cannot be seen: 0 is nobody's number, so its use is told by difference.
                used |= {(address, 0): (0, 0) for address in addresses}
            for pid in pids:
                for address, (vram, gtt) in _clients(
                    self.owners.proc_root / str(pid) / "fdinfo"
                ).items():
                    if address in addresses:
                        used[(address, pid)] = (vram, gtt)
                for gpu_id, address in gpu_ids.items():
                    compute = _value(self._sys / f"class/kfd/kfd/proc/{pid}/vram_{gpu_id}")
                    if compute is not None and address in addresses:
                        vram, gtt = used.get((address, pid), (0, 0))
                        # Older kernels leave compute out of fdinfo, newer ones count it there too.
                        used[(address, pid)] = (max(vram, compute), gtt)
        return used

    def _gpu_ids(self) -> dict[str, str]:
        """The compute driver's number of each card -> its PCI address."""
        found: dict[str, str] = {}
        nodes = self._sys / "class/kfd/kfd/topology/nodes"
        for node in sorted(nodes.iterdir(), key=_number)[:CARDS_MAX] if nodes.is_dir() else []:
            gpu_id = _word(node / "gpu_id")
            told = dict(
                line.split(maxsplit=1)
                for line in (read_text(node / "properties") or "").splitlines()
                if " " in line
            )
            place = told.get("location_id", "0").strip()
            if gpu_id and gpu_id != "0" and place.isdigit():
                domain, at = int(told.get("domain", "0")), int(place)
                found[gpu_id] = f"{domain:04x}:{at >> 8 & 0xFF:02x}:{at >> 3 & 0x1F:02x}.{at & 7}"
        return found


def _number(path: Path) -> int:
    digits = re.sub(r"\D", "", path.name)
    return int(digits) if digits else 0


def _render_number(folder: Path, otherwise: int) -> int:
    """Which /dev/dri/renderD is the card's, from 128 on: graphics of other makers have theirs between."""
    told = next((_number(path) for path in sorted(folder.glob("drm/renderD*"))), 128 + otherwise)
    return told - 128 if 128 <= told < 128 + CARDS_MAX * 8 else otherwise


def _word(path: Path) -> str:
    return (read_text(path) or "").strip()


def _value(path: Path) -> int | None:
    word = _word(path)
    return int(word) if re.fullmatch(r"-?\d{1,19}", word) else None


def _is_apu(folder: Path, monitor: Path) -> bool:
    """The kernel shows these two of processors with graphics alone."""
    return (folder / "apu_thermal_cap").exists() or _word(monitor / "in1_label") == "vddnb"


def _clients(folder: Path) -> dict[str, tuple[int, int]]:
    """Bytes by PCI address of one process; descriptors that share a client are counted once."""
    clients: dict[tuple[str, str], tuple[int, int]] = {}
    for path in _descriptors(folder):
        told: dict[str, str] = {}
        for line in (read_text(path) or "").splitlines():
            key, _, value = line.partition(":")
            if key.startswith("drm-"):
                told[key] = value.strip()
        if told.get("drm-driver") == "amdgpu" and "drm-pdev" in told:
            client = (told["drm-pdev"], told.get("drm-client-id", path.name))
            clients[client] = (_region(told, "vram"), _region(told, "gtt"))
    found: dict[str, tuple[int, int]] = {}
    for (address, _), (vram, gtt) in clients.items():
        before = found.get(address, (0, 0))
        found[address] = (before[0] + vram, before[1] + gtt)
    return found


def _descriptors(folder: Path) -> Iterable[Path]:
    try:
        return sorted(folder.iterdir())[:DESCRIPTORS_MAX]
    except OSError:
        return []


def _region(told: dict[str, str], region: str) -> int:
    """`drm-resident-vram: 2068 KiB`; older kernels say drm-memory-vram. A bare number is bytes."""
    for key in (f"drm-resident-{region}", f"drm-memory-{region}", f"drm-total-{region}"):
        match = re.fullmatch(r"(\d{1,18})\s*([A-Za-z]*)", told.get(key, ""))
        if match is not None:
            return int(match[1]) * _UNITS.get(match[2].upper(), 1)
    return 0
