"""The simulator itself: nobody is lost or served twice, and the books of the card are true. Needs no traces."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from gpu_scheduler.core import household

from .arrivals import Job
from .home import CARD_MIB, CLASSES, MODELS
from .lares import Lares
from .measure import jain, play, summary
from .peers import Infinite, ResidentsFirst, StrictFifo
from .world import Driver, World

MINUTES = 10
POLICIES: dict[str, Callable[[World], Driver]] = {
    "B": lambda world: ResidentsFirst(world, staging=False),
    "B with staging": lambda world: ResidentsFirst(world, staging=True),
    "strict FIFO": lambda world: StrictFifo(world, staging=False),
    "infinite": Infinite,
    "Lares": lambda world: Lares(world, household(), staging=False),
    "Lares with staging": lambda world: Lares(world, household(), staging=True),
}


def crowd(seed: int, count: int = 150) -> list[Job]:
    """Return requests for every model at random, more than the card can hold at once."""
    chance = random.Random(seed)
    times = sorted(chance.uniform(0, MINUTES * 60) for _ in range(count))
    return [
        Job(
            f"r{number}",
            at,
            chance.choice(list(MODELS)),
            chance.choice(CLASSES),
            f"caller-{number % 5}",
            first := chance.uniform(0.1, 3),
            first + chance.uniform(0, 6),
        )
        for number, at in enumerate(times)
    ]


@pytest.mark.parametrize("policy", POLICIES)
def test_every_arrival_is_served_or_refused_once_and_the_card_is_never_overfull(policy: str):
    world = World()
    run = play(policy, 1, crowd(1), world, POLICIES[policy])
    assert all((job.done_at is None) != (job.refused_at is None) for job in run.jobs)
    served = [job for job in run.jobs if job.done_at is not None]
    assert len(served) > len(run.jobs) * 0.9
    assert all(job.granted_at >= job.at for job in served)
    assert all(abs(job.done_at - job.granted_at - job.work_s) < 1e-6 for job in served)
    assert run.totals.over_commits == 0
    assert run.totals.peak_mib <= run.card_mib
    # What is on the card at the end is what its containers have.
    assert world.used_mib == sum(box.mib for box in world.boxes.values())


def test_the_same_arrivals_end_in_the_same_way_twice():
    told = [summary([play("B", 3, crowd(3), World(), POLICIES["B"])]) for _ in range(2)]
    assert told[0] == told[1]


def test_a_model_that_is_larger_than_it_was_believed_is_counted_as_an_over_commit():
    world = World()
    world.true_mib["coder"] = CARD_MIB + 1
    world.start("coder", "coder-1")
    assert world.totals.over_commits == 1
    assert world.totals.over_mib_max == 1


def test_the_machine_refuses_what_cannot_be():
    world = World()
    box = world.start("image", "image-1")
    job = crowd(1, 1)[0]
    with pytest.raises(RuntimeError, match="starting"):
        world.serve(job, box)
    with pytest.raises(RuntimeError, match="starting"):
        world.stop(box)


def test_fairness_is_one_when_all_have_the_same_and_one_nth_when_one_has_all():
    assert jain([2.0, 2.0, 2.0]) == pytest.approx(1.0)
    assert jain([5.0, 0.0, 0.0, 0.0]) == pytest.approx(0.25)
