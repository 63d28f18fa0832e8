"""Cards that are only played, for tests, demos and nodes without one: a declared size, and use by what really runs.

`use` says what an instance uses: `declared`, its footprint while it is awake and `asleep_mib` while it sleeps;
`measured`, what its container's processes really hold of the host's memory; `scaled`, its footprint in the measure in
which its container holds `ram_mib`: so a small model plays a large one, and a real sleep really frees. What is used may
exceed the card: that is the over-commit which must never be seen.

Faults are read from a file at every reading, so that they come and go while everything runs.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from node_agent.cards.errors import CardsError
from node_agent.cards.owners import Owners
from node_agent.cards.resident import Resident
from node_agent.cards.seen import Seen

Use = Literal["declared", "measured", "scaled"]
CARDS_MAX = 16
REMNANTS_MAX = 1024
_Mib = Annotated[int, Field(ge=0, le=100_000_000)]
_Seconds = Annotated[float, Field(ge=0, le=600)]


class Faults(BaseModel):
    """What goes wrong, all at once. Cards by id; instances by id, `*` for all."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    foreign_mib: dict[str, _Mib] = {}
    error: dict[
        str, Annotated[float, Field(ge=-1, le=10)]
    ] = {}  # 0.3: uses 30 % more than declared
    unreadable: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()  # the driver lists them no more
    unattributed: bool = False  # the driver tells nobody's share
    slow_seconds: _Seconds = 0
    remnant_mib: _Mib = 0  # stays when memory is freed ...
    remnant_seconds: _Seconds = 0  # ... for so long


@dataclass(frozen=True)
class _Remnant:
    card: str
    instance_id: str
    mib: int
    until: float


def parse_cards(words: Sequence[str]) -> tuple[tuple[str, int], ...]:
    """Return (id, MiB) of cards told as `sim-0:24576`, or as `24576x2` for two of them. Raises CardsError."""
    found: list[tuple[str, int]] = []
    for word in words:
        if match := re.fullmatch(r"(\d{1,8})(?:x(\d{1,2}))?", word):
            found += [(f"sim-{len(found) + i}", int(match[1])) for i in range(int(match[2] or 1))]
        elif match := re.fullmatch(r"([A-Za-z0-9][A-Za-z0-9._-]{0,63}):(\d{1,8})", word):
            found.append((match[1], int(match[2])))
        else:
            raise CardsError(f"{word[:40]!r} is no simulated card; sim-0:24576 is one of 24 GiB.")
    if not 1 <= len(found) <= CARDS_MAX or len({card for card, _ in found}) < len(found):
        raise CardsError(f"Simulated cards must be 1 to {CARDS_MAX} with different ids.")
    return tuple(found)


class SimulatedReader:
    """All played cards."""

    def __init__(
        self,
        cards: Sequence[tuple[str, int]],
        owners: Owners,
        *,
        use: Use = "declared",
        faults: Path | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        if use not in get_args(Use):
            raise CardsError(
                f"{use[:40]!r} is no way to play use; declared, measured and scaled are."
            )
        self._cards, self.owners, self._use = tuple(cards), owners, use
        self._faults_path, self._now = faults, now
        self._held: dict[tuple[str, str], int] = {}
        self._remnants: list[_Remnant] = []

    def look(self, residents: Sequence[Resident]) -> tuple[Seen, ...]:
        """Return all cards. Raises CardsError for a file of faults that cannot be read."""
        faults = self._faults()
        if faults.slow_seconds:
            time.sleep(faults.slow_seconds)
        used = {
            (card, resident.instance_id): self._mib(resident, faults)
            for resident in residents
            for card in resident.cards
        }
        self._leave(used, faults)
        now = self._now()
        self._remnants = [remnant for remnant in self._remnants if remnant.until > now]
        awake = {resident.instance_id for resident in residents}
        return tuple(
            self._seen(index, card, mib, used, awake, faults)
            for index, (card, mib) in enumerate(self._cards)
            if card not in faults.gone
        )

    def close(self) -> None:
        """Nothing is held."""

    def _faults(self) -> Faults:
        if self._faults_path is None:
            return Faults()
        try:
            with self._faults_path.open("rb") as file:
                return Faults.model_validate_json(file.read(65_536))
        except FileNotFoundError:
            return Faults()
        except (OSError, ValidationError) as error:
            raise CardsError(f"The file of faults cannot be used: {str(error)[:200]}") from error

    def _mib(self, resident: Resident, faults: Faults) -> int:
        held = (
            self.owners.memory_mib(resident.container_id or "") if self._use != "declared" else None
        )
        if self._use == "measured":
            return (held or 0) // max(len(resident.cards), 1)
        if self._use == "scaled" and resident.ram_mib:
            mib = resident.footprint_mib * (held or 0) // resident.ram_mib
        else:
            mib = resident.asleep_mib if resident.phase == "asleep" else resident.footprint_mib
        return round(mib * (1 + faults.error.get(resident.instance_id, faults.error.get("*", 0.0))))

    def _leave(self, used: dict[tuple[str, str], int], faults: Faults) -> None:
        """Where less is used than before, keep some of it as a remnant if that is the fault of the hour."""
        if faults.remnant_mib and faults.remnant_seconds:
            until = self._now() + faults.remnant_seconds
            for (card, instance), before in self._held.items():
                freed = before - used.get((card, instance), 0)
                if freed > 0 and len(self._remnants) < REMNANTS_MAX:
                    left = min(freed, faults.remnant_mib)
                    self._remnants.append(_Remnant(card, instance, left, until))
        self._held = used

    def _seen(
        self,
        index: int,
        card: str,
        total: int,
        used: dict[tuple[str, str], int],
        awake: set[str],
        faults: Faults,
    ) -> Seen:
        ours = {instance: mib for (at, instance), mib in used.items() if at == card}
        foreign = faults.foreign_mib.get(card, 0)
        for remnant in self._remnants:
            if remnant.card == card and remnant.instance_id in awake:
                ours[remnant.instance_id] = ours.get(remnant.instance_id, 0) + remnant.mib
            elif remnant.card == card:
                foreign += remnant.mib  # of an instance that is gone: nobody's any more
        return Seen(
            id=card,
            index=index,
            name=f"simulated card of {total} MiB",
            vendor="simulated",
            total_mib=total,
            used_mib=sum(ours.values()) + foreign,
            processes=None,
            ours=None if faults.unattributed else ours,
            error="This simulated card plays one that cannot be read."
            if card in faults.unreadable
            else None,
        )
