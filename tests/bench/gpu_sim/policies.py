"""Every policy that is reported, by its name: how it is made for a machine."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from pathlib import Path

from gpu_scheduler.policy import read

from .arrivals import arrivals
from .home import MODELS
from .lares import Lares
from .measure import Run, play
from .peers import Infinite, ResidentsFirst, StrictFifo
from .world import Driver, World

SCHEDULING = Path(__file__).resolve().parents[3] / "inference" / "scheduling.yaml"
B, B_STAGED = "B: residents first + LRU", "B with RAM staging"
LARES, LARES_STAGED = "Lares", "Lares with RAM staging"
FIFO, INFINITE = "strict FIFO + LRU", "infinite VRAM"
WRONG = ("B, sizes wrong", "Lares, sizes wrong", "Lares with RAM staging, sizes wrong")
ERROR = 0.3  # a model's true size is its prediction times 1 - ERROR to 1 + ERROR


def makers() -> dict[str, Callable[[World], Driver]]:
    """Return what plays each policy when sizes are known: measured by the runs of the days before."""
    policy = read(SCHEDULING)
    return {
        FIFO: partial(StrictFifo, staging=False),
        B: partial(ResidentsFirst, staging=False),
        LARES: partial(Lares, policy=policy, staging=False),
        B_STAGED: partial(ResidentsFirst, staging=True),
        LARES_STAGED: partial(Lares, policy=policy, staging=True),
        INFINITE: Infinite,
    }


def one(name: str, seed: int) -> Run:
    """Play one policy on one seed's arrivals."""
    return play(name, seed, arrivals(seed), World(), makers()[name])


def wrong(name: str, seed: int) -> Run:
    """Play one policy that knows nothing but predictions, each off by up to `ERROR`; nothing was measured before."""
    chance = random.Random(seed)
    predicted = {model: told.mib for model, told in MODELS.items()}
    true = {
        model: int(mib * chance.uniform(1 - ERROR, 1 + ERROR)) for model, mib in predicted.items()
    }
    staging = "staging" in name
    make: Callable[[World], Driver]
    if name.startswith("B"):
        make = partial(ResidentsFirst, staging=staging, believed_mib=predicted)
    else:
        make = partial(
            Lares,
            policy=read(SCHEDULING),
            staging=staging,
            predicted_mib=predicted,
            measured=False,
        )
    return play(name, seed, arrivals(seed), World(true_mib=true), make)
