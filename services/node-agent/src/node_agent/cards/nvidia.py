"""Reads NVIDIA cards with NVML (nvidia-ml-py, which loads the driver's libnvidia-ml.so.1 at the first call).

A card that is divided (MIG) is shown as its parts, each a card of its own. What a card does not tell (power in a virtual
machine, temperature of a part) is None; only unreadable memory makes a card unreadable. When the driver goes away (an
update, a reset) the library is begun anew at every reading until it answers.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from node_agent.cards.owners import Owners
from node_agent.cards.resident import Resident
from node_agent.cards.seen import MIB, Process, Seen, mib_up

CARDS_MAX = 32
PARTS_MAX = 16
# XIDs after which a card answers but computes nothing until it is reset, by NVIDIA's list of them: stopped, failed
# controller, failed retirement of memory, fallen off the bus, uncontained memory error, silent GSP, failed start. Errors
# of applications (13, 31, 43, 45, 94 ...) say nothing of the card, and a card that is taken out wrongly stays out.
XIDS_FATAL = frozenset({46, 62, 64, 79, 95, 119, 120, 140, 143})
# NVML's own numbers: after these the library must be begun anew.
_GONE = {
    1,
    9,
    15,
    16,
    17,
    18,
}  # uninitialised, no driver, lost, reset required, system, versions differ


class NvidiaReader:
    """All NVIDIA cards. `library` is the module pynvml, or what replays a recording of it."""

    def __init__(self, library: Any, owners: Owners) -> None:
        self._nvml, self.owners = library, owners
        self._begun = False
        self._events: Any = None
        self._broken: dict[str, str] = {}
        self._last: tuple[Seen, ...] = ()

    def look(self, residents: Sequence[Resident]) -> tuple[Seen, ...]:
        """Return all cards. Raises NVMLError when the driver is not there."""
        del residents  # the driver names processes by itself
        try:
            self._begin()
            count = min(self._nvml.nvmlDeviceGetCount(), CARDS_MAX)
            self._hear(count)
            cards = [card for index in range(count) for card in self._card(index)]
        except self._nvml.NVMLError as error:
            if error.value in _GONE:
                self.close()
            raise
        self._last = tuple(cards)
        return self._last

    def close(self) -> None:
        """Let go of the driver."""
        if self._begun:
            self._begun, self._events = False, None
            with contextlib.suppress(self._nvml.NVMLError):
                self._nvml.nvmlShutdown()

    def _begin(self) -> None:
        if self._begun:
            return
        self._nvml.nvmlInit()
        self._begun = True
        self._broken.clear()  # a driver that was loaded again has reset its cards
        events = self._told(self._nvml.nvmlEventSetCreate)
        for index in range(
            min(self._nvml.nvmlDeviceGetCount(), CARDS_MAX) if events is not None else 0
        ):
            # A card that is lost already is told so by its reading.
            with contextlib.suppress(self._nvml.NVMLError):
                handle = self._nvml.nvmlDeviceGetHandleByIndex(index)
                self._nvml.nvmlDeviceRegisterEvents(
                    handle, self._nvml.nvmlEventTypeXidCriticalError, events
                )
        self._events = events

    def _hear(self, count: int) -> None:
        """Take the errors that the driver has reported since the last reading; without waiting for any."""
        if self._events is None:
            return
        for _ in range(count * 4):
            try:
                event = self._nvml.nvmlEventSetWait_v2(self._events, 0)
                card = str(self._nvml.nvmlDeviceGetUUID(event.device))
            except self._nvml.NVMLError:
                return  # nothing has happened (a time-out), or a card is lost, which its own reading tells
            if event.eventData in XIDS_FATAL:
                self._broken[card] = (
                    f"The driver reported XID {event.eventData}: the card needs a reset."
                )

    def _told(self, ask: Callable[..., Any], *arguments: Any) -> Any:
        """Return what the library tells; None where this card, driver or permission does not allow it."""
        try:
            return ask(*arguments)
        except self._nvml.NVMLError as error:
            if error.value in _GONE:
                raise
            return None

    def _card(self, index: int) -> list[Seen]:
        nvml = self._nvml
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            name, uuid = str(nvml.nvmlDeviceGetName(handle)), str(nvml.nvmlDeviceGetUUID(handle))
            divided = self._told(nvml.nvmlDeviceGetMigMode, handle)
            if divided is not None and divided[0] == 1:
                return self._parts(index, name, handle)
            return [self._seen(index, name, uuid, handle)]
        except nvml.NVMLError as error:
            if error.value not in (15, 16):
                raise
            # This card alone is gone: it is told as it was last, and the others are read all the same.
            lost = f"The driver says of this card: {error}."
            return [replace(card, error=lost) for card in self._last if card.index == index]

    def _parts(self, index: int, name: str, handle: Any) -> list[Seen]:
        nvml, found = self._nvml, list[Seen]()
        for at in range(
            min(self._told(nvml.nvmlDeviceGetMaxMigDeviceCount, handle) or 0, PARTS_MAX)
        ):
            part = self._told(nvml.nvmlDeviceGetMigDeviceHandleByIndex, handle, at)
            if part is not None:
                found.append(
                    self._seen(index, f"{name} MIG {at}", str(nvml.nvmlDeviceGetUUID(part)), part)
                )
        return found

    def _seen(self, index: int, name: str, uuid: str, handle: Any) -> Seen:
        nvml = self._nvml
        # The second version tells what the driver keeps for itself; it is not free in either.
        memory = self._told(nvml.nvmlDeviceGetMemoryInfo, handle, nvml.nvmlMemory_v2)
        memory = memory or self._told(nvml.nvmlDeviceGetMemoryInfo, handle)
        rates = self._told(nvml.nvmlDeviceGetUtilizationRates, handle)
        milliwatts = self._told(nvml.nvmlDeviceGetPowerUsage, handle)
        temperature = self._told(nvml.nvmlDeviceGetTemperature, handle, nvml.NVML_TEMPERATURE_GPU)
        return Seen(
            id=uuid,
            index=index,
            name=name,
            vendor="nvidia",
            total_mib=memory.total // MIB if memory else 0,
            used_mib=mib_up(memory.total - memory.free) if memory else 0,
            processes=self._processes(handle),
            utilisation_percent=float(rates.gpu)
            if rates is not None and 0 <= rates.gpu <= 100
            else None,
            watts=milliwatts / 1000 if milliwatts is not None else None,
            temperature_c=float(temperature) if temperature is not None else None,
            error=self._error(uuid, handle, memory),
        )

    def _error(self, uuid: str, handle: Any, memory: Any) -> str | None:
        if memory is None or memory.total == 0:
            return "The driver does not tell this card's memory."
        if (broken := self._broken.get(uuid)) is not None:
            return broken
        rows = self._told(self._nvml.nvmlDeviceGetRemappedRows, handle)
        if rows is not None and rows[3]:
            return "A defective row of this card's memory could not be replaced."
        return None

    def _processes(self, handle: Any) -> tuple[Process, ...] | None:
        """Both lists: a process that computes and draws is in both, with the same number."""
        lists = [
            self._told(ask, handle)
            for ask in (
                self._nvml.nvmlDeviceGetComputeRunningProcesses,
                self._nvml.nvmlDeviceGetGraphicsRunningProcesses,
            )
        ]
        if lists[0] is None:
            return None
        found: dict[int, int | None] = {}
        for process in [*lists[0], *(lists[1] or [])]:
            told = process.usedGpuMemory
            mib = None if told is None else mib_up(told)
            before = found.get(process.pid, 0)
            found[process.pid] = None if mib is None or before is None else max(mib, before)
        return tuple(Process(pid, mib) for pid, mib in found.items())
