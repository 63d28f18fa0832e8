"""Choose the numbers of inference/scheduling.yaml: a random search with the real core on the tuning seeds alone.

`.venv/bin/python -m tests.bench.gpu_sim.tune 40 [seed]` tries 40 policies, each without and with staging, and prints
every one that is better than all before. What it minimises is how far the floors are missed, then how many switches
are made; the reported seeds are never looked at here.
"""

from __future__ import annotations

import math
import random
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

from gpu_scheduler.core import Policy
from gpu_scheduler.core.model import ServiceClass
from gpu_scheduler.policy import read

from .arrivals import TUNING_SEEDS, arrivals
from .home import CLASSES
from .lares import Lares
from .measure import line, play, summary
from .peers import ResidentsFirst
from .policies import SCHEDULING
from .world import World

FEWER_SWITCHES, WORSE, VOICE_SHARE = 0.70, 1.10, 0.95
# knob -> the range that is searched; class:field for a class's own.
KNOBS: dict[str, tuple[float, float]] = {
    "interactive:patience_s": (2, 30),
    "agent:patience_s": (2, 60),
    "batch:patience_s": (0.2, 25),
    "interactive:priority": (1, 60),
    "agent:priority": (0.5, 20),
    "voice:protect_s": (3, 120),
    "voice:drain_after_s": (0.1, 90),
    "voice:preempt_after_s": (0.05, 3),
    "agent:drain_after_s": (20, 600),
    "interactive:drain_after_s": (10, 600),
    "protect_over_s": (0.5, 40),
    "switch_cost": (0.01, 1),
    "patience_least_s": (0.1, 6),
    "patience_loads": (0.2, 3),
    "unneeded_below": (0.01, 0.2),
}


def changed(policy: Policy, knobs: dict[str, float]) -> Policy:
    """Return the policy with some numbers changed."""
    classes = dict(policy.classes)
    top: dict[str, Any] = {}
    for knob, value in knobs.items():
        kind, _, name = knob.rpartition(":")
        if kind:
            service_class = ServiceClass(kind)
            classes[service_class] = replace(classes[service_class], **{name: value})
        else:
            top[name] = value
    return replace(policy, classes=classes, **top)


def missed(found: dict[str, Any], peer: dict[str, Any], staging: bool) -> float:
    """Return by how much the floors are missed, as a sum of logarithms, and a little for what is beyond them."""
    over = [math.log(found["switches"] / (FEWER_SWITCHES * peer["switches"]))]
    for name in CLASSES:
        over.append(math.log(found[name]["wait_p95"] / (WORSE * peer[name]["wait_p95"])))
    if staging:
        over.append(10 * (VOICE_SHARE - found["voice"]["within_slo"]))
    return sum(max(0.0, one) for one in over) + 0.05 * sum(over)


def tried(knobs: dict[str, float], staging: bool) -> dict[str, Any]:
    """Play the tuning seeds with a policy."""
    policy = changed(read(SCHEDULING), knobs)
    make = partial(Lares, policy=policy, staging=staging)
    return summary([play("Lares", seed, arrivals(seed), World(), make) for seed in TUNING_SEEDS])


def main(count: int, seed: int) -> None:
    """Search, beginning at what the file says."""
    chance = random.Random(seed)
    peers = []
    for staging in (False, True):
        make = partial(ResidentsFirst, staging=staging)
        runs = [play("B", one, arrivals(one), World(), make) for one in TUNING_SEEDS]
        peers.append(summary(runs))
        print(line(peers[-1]), flush=True)
    best: list[tuple[float, dict[str, float]]] = []
    with ProcessPoolExecutor(2) as pool:
        for number in range(count):
            knobs = _next(chance, best) if number else {}
            found = list(pool.map(tried, (knobs, knobs), (False, True)))
            score = sum(
                missed(one, peer, staging)
                for one, peer, staging in zip(found, peers, (False, True), strict=True)
            )
            best = sorted([*best, (score, knobs)], key=lambda entry: entry[0])[:6]
            if best[0][1] is knobs:
                print(number, round(score, 3), {k: round(v, 2) for k, v in knobs.items()})
                print("\n".join(map(line, found)), flush=True)


def _next(chance: random.Random, best: list[tuple[float, dict[str, float]]]) -> dict[str, float]:
    """Return a neighbour of one of the best; each third one is new altogether."""
    base = chance.choice(best)[1] if chance.random() < 0.67 else {}
    knobs: dict[str, float] = {}
    for knob, (low, high) in KNOBS.items():
        if not base or knob not in base:
            knobs[knob] = math.exp(chance.uniform(math.log(low), math.log(high)))
        else:
            step = chance.gauss(0, 0.3) if chance.random() < 0.4 else 0.0
            knobs[knob] = min(high, max(low, base[knob] * math.exp(step)))
    return knobs


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1)
