"""Of those that could go, which together: enough for what is short, at the least cost."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

from gpu_scheduler.core.model import Instance

EXACT_MAX = 7  # of so many every set is looked at


@dataclass(frozen=True)
class Pick:
    """An instance that is to make room, by sleeping or by ending."""

    instance: Instance
    stop: bool


# (cost, last used, id, what it gives back, who goes and how)
Priced = list[tuple[float, float, str, int, Pick]]


def cheapest(priced: Priced, short: int) -> Priced:
    """Of those that are enough together, by price: greedily, less what the dearer make needless; or one alone."""
    if short <= 0:
        return []
    if len(priced) <= EXACT_MAX:
        return _best(priced, short)
    single = next((entry for entry in priced if entry[3] >= short), None)
    chosen: Priced = []
    for entry in priced:
        chosen.append(entry)
        short -= entry[3]
        if short <= 0:
            break
    for entry in sorted(chosen, key=lambda entry: -entry[0]):
        if short + entry[3] <= 0:
            chosen.remove(entry)
            short += entry[3]
    if single is not None and single[0] <= sum(entry[0] for entry in chosen):
        return [single]
    return chosen


def _best(priced: Priced, short: int) -> Priced:
    """The cheapest of all sets that are enough; there is one."""
    sets = (some for size in range(1, len(priced) + 1) for some in combinations(priced, size))
    enough = (some for some in sets if sum(entry[3] for entry in some) >= short)
    return list(min(enough, key=lambda some: sum(entry[0] for entry in some)))
