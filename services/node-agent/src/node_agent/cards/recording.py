"""Records what a real card's library or kernel says, so that it can be replayed in tests: whoever has a card can add it.

Of NVML each call with its answer is kept, struct by struct; of AMD's driver the files that were read. Nothing of other
programs is in it but process numbers and how much memory they have; serial numbers of cards are made unreadable.
"""

from __future__ import annotations

import ctypes
import hashlib
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from node_agent.cards.amd import AmdReader
from node_agent.cards.nvidia import NvidiaReader
from node_agent.cards.owners import Owners

READINGS_MAX = 600
_UUID = re.compile(r"(GPU|MIG)-[0-9a-fA-F-]{36}")


class RecordingNvml:
    """Stands before the module pynvml and writes down what passes."""

    def __init__(self, library: Any) -> None:
        self._library = library
        self._names: dict[int, str] = {}
        self.calls: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        told = getattr(self._library, name)
        return self._recorded(name, told) if name.startswith("nvml") and callable(told) else told

    def _recorded(self, name: str, ask: Callable[..., Any]) -> Callable[..., Any]:
        def asked(*arguments: Any) -> Any:
            key = f"{name}({','.join(str(self._plain(argument)) for argument in arguments)})"
            try:
                told = ask(*arguments)
            except self._library.NVMLError as error:
                self.calls[key] = {"nvml_error": error.value}
                raise
            if name in (
                "nvmlDeviceGetHandleByIndex",
                "nvmlDeviceGetMigDeviceHandleByIndex",
                "nvmlEventSetCreate",
            ):
                self._names[_address(told)] = key
                self.calls[key] = {"handle": key}
            else:
                self.calls[key] = self._plain(told)
            return told

        return asked

    def _plain(self, told: Any) -> Any:
        """A value as JSON can hold it: handles by the call that made them, structs by their fields."""
        if isinstance(told, list | tuple):
            return [self._plain(one) for one in told]
        if isinstance(told, str):
            return _UUID.sub(_hidden, told)
        if told is None or isinstance(told, int | float):
            return told
        if (address := _address(told)) in self._names:
            return self._names[address]
        fields = [field[0] for field in getattr(told, "_fields_", [])] or list(vars(told))
        return {field: self._plain(getattr(told, field)) for field in fields}


def _address(handle: Any) -> int:
    try:
        return int(ctypes.cast(handle, ctypes.c_void_p).value or 0)
    except (ctypes.ArgumentError, TypeError):
        return -1


def _hidden(match: re.Match[str]) -> str:
    digest = hashlib.sha256(match[0].encode()).hexdigest()
    return f"{match[1]}-{digest[:8]}-{digest[8:12]}-{digest[12:16]}-{digest[16:20]}-{digest[20:32]}"


def record_nvidia(library: Any, readings: int, seconds: float) -> list[dict[str, Any]]:
    """Return the calls of so many readings, so many seconds apart."""
    recording = RecordingNvml(library)
    reader, found = NvidiaReader(recording, Owners()), list[dict[str, Any]]()
    for number in range(min(readings, READINGS_MAX)):
        if number:
            time.sleep(seconds)
        recording.calls = {}
        error = None
        try:
            reader.look(())
        except library.NVMLError as failure:
            error = str(failure)
        found.append({"calls": recording.calls, "error": error})
    return found


_AMD_FILES = (
    "class/drm/card*/device/*", "class/drm/card*/device/hwmon/hwmon*/*", "class/kfd/kfd/topology/nodes/*/*",
    "class/drm/card*/device/drm/renderD*/dev",
)  # fmt: skip
_AMD_NAMES = re.compile(
    r"vendor|device|product_name|unique_id|mem_info_\w+|gpu_busy_percent|apu_thermal_cap"
    r"|power1_\w+|temp1_\w+|in1_\w+|name|gpu_id|properties|dev"
)


def record_amd(sys_root: Path, readings: int, seconds: float) -> list[dict[str, Any]]:
    """Return the files that AmdReader reads of /sys, so many times."""
    found: list[dict[str, Any]] = []
    for number in range(min(readings, READINGS_MAX)):
        if number:
            time.sleep(seconds)
        AmdReader(Owners(), sys_root).look(
            ()
        )  # raises where there is no such card: nothing is recorded then
        files: dict[str, str] = {}
        for pattern in _AMD_FILES:
            for path in sorted(sys_root.glob(pattern)):
                if _AMD_NAMES.fullmatch(path.name) and path.is_file():
                    told = path.read_text(errors="replace")[:4096]
                    if path.name == "unique_id":
                        told = hashlib.sha256(told.encode()).hexdigest()[:16]
                    files[str(path.relative_to(sys_root))] = told
        places = {
            str(path.relative_to(sys_root)): path.resolve().name
            for path in sys_root.glob("class/drm/card*/device")
        }
        found.append({"files": files, "addresses": places})
    return found
