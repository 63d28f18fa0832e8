"""More than 100,000 random events: a random house is lived in, with faults, and must never do what may never be done.

What is looked at after every plan stands in core_world (`check`, `_booked`, `_fences`) and core_fuzz (`at_rest`): no fence
twice, no place beyond the slots, no request in two places, no card and no host over its budget in truth, one member of a
group at a time, the same plan twice; and once all faults are over: everybody has an answer, and nothing is left over.

LARES_FUZZ_SEEDS lives through so many seeds instead of 60; LARES_FUZZ_FIRST is the first. A failing seed names itself.
"""

import os
from collections import Counter

import pytest
from core_fuzz import fuzz

FIRST = int(os.environ.get("LARES_FUZZ_FIRST", "1000"))
SEEDS = int(os.environ.get("LARES_FUZZ_SEEDS", "60"))
SEEDS_TELLING = 40
SHARES = 4  # of the seeds, so that a failure stands beside others that pass
EVENTS_MIN = 100_000 / 60  # a seed, on average

_lived: Counter[str] = Counter()


@pytest.mark.timeout(max(120, SEEDS * 10))
@pytest.mark.parametrize("share", range(SHARES))
def test_a_house_that_is_lived_in_keeps_all_its_promises(share: int) -> None:
    for seed in range(FIRST + share, FIRST + SEEDS, SHARES):
        world = fuzz(seed)
        _lived["events"] += world.events
        _lived.update(world.counts)


def test_the_houses_saw_enough_and_everything_happened_in_them() -> None:
    if _lived["events"] == 0:
        pytest.skip("counts what the tests before it lived through")
    # Houses differ in how much happens in them: only of many is the average told.
    if SEEDS < SEEDS_TELLING:
        pytest.skip(f"{SEEDS} houses are too few to see everything in them")
    assert _lived["events"] >= EVENTS_MIN * SEEDS
    happened = {"Grant", "Refuse", "Revoke", "Preempt", "Hold", "Start", "Wake", "Sleep", "Stop"}
    missing = happened - set(_lived)
    assert not missing, f"never happened: {missing}; {_lived}"
