"""Tells how much of a card each instance uses, also where the driver does not say it.

NVML says N/A for a process's memory under WDDM and in some virtual machines, and a container without the host's
process numbers cannot look them up. Then what is used beyond the foreigners' baseline is the instances': the baseline
is what foreigners used when last everything could be told, and the rest is divided in proportion to the footprints.
"""

from __future__ import annotations

from collections.abc import Sequence

from contracts.gpunode import CardReading, CardUse

from node_agent.cards.owners import Owners
from node_agent.cards.resident import Resident
from node_agent.cards.seen import Seen

CARDS_MAX = 64


class Sharing:
    """Remembers the foreigners' baseline of each card between readings."""

    def __init__(self, owners: Owners) -> None:
        self._owners = owners
        self._baseline: dict[str, int] = {}

    def reading(self, seen: Seen, residents: Sequence[Resident]) -> CardReading:
        """Return the card as the scheduler is told of it: what is ours never exceeds what is used."""
        here = [resident for resident in residents if seen.id in resident.cards]
        ours = dict(seen.ours) if seen.ours is not None else self._attributed(seen, here)
        left, uses = seen.used_mib, []
        for instance_id, mib in sorted(ours.items()):
            uses.append(CardUse(instance_id=instance_id, used_mib=min(mib, left)))
            left -= uses[-1].used_mib
        return CardReading(
            id=seen.id,
            index=seen.index,
            name=seen.name[:200] or "unnamed",
            vendor=seen.vendor,
            total_mib=seen.total_mib,
            used_mib=seen.used_mib,
            ours=tuple(uses),
            utilisation_percent=seen.utilisation_percent,
            watts=seen.watts,
            temperature_c=seen.temperature_c,
            error=seen.error,
        )

    def _attributed(self, seen: Seen, here: Sequence[Resident]) -> dict[str, int]:
        ours: dict[str, int] = {}
        foreign, blind = 0, seen.processes is None
        unmeasured: set[str] = set()
        for process in seen.processes or ():
            known, instance = self._owners.instance_of(process.pid, here)
            if instance is not None and process.mib is not None:
                ours[instance] = ours.get(instance, 0) + process.mib
            elif process.mib is not None and known:
                foreign += process.mib
            else:
                blind = True
                if instance is not None:
                    unmeasured.add(instance)
        if not here:
            self._remember(seen.id, seen.used_mib)
            return {}
        if not blind:
            self._remember(seen.id, seen.used_mib - sum(ours.values()))
            return ours
        baseline = max(self._baseline.get(seen.id, 0), foreign)
        rest = max(seen.used_mib - baseline - sum(ours.values()), 0)
        # Of those the driver names without saying how much, or, where it names nobody, of all that were not measured.
        waiting = [r for r in here if r.instance_id in unmeasured] or [
            r for r in here if r.instance_id not in ours
        ]
        return ours | _divided(rest, waiting)

    def _remember(self, card: str, foreign: int) -> None:
        if card in self._baseline or len(self._baseline) < CARDS_MAX:
            self._baseline[card] = max(foreign, 0)


def _divided(mib: int, residents: Sequence[Resident]) -> dict[str, int]:
    """Divide in proportion to what each is expected to use now; a remainder goes to the largest."""
    shares = {
        r.instance_id: max(r.asleep_mib if r.phase == "asleep" else r.footprint_mib, 1)
        for r in residents
    }
    total = sum(shares.values())
    parts = {instance: mib * share // total for instance, share in shares.items()}
    if parts:
        parts[max(shares, key=lambda instance: shares[instance])] += mib - sum(parts.values())
    return parts
