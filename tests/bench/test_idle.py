"""What the house costs while nobody talks to it: a Pi is always on."""

from __future__ import annotations

import time
from typing import Any

import pytest

from .report import record
from .stack import containers, engine_cpu_seconds

pytestmark = [pytest.mark.stack, pytest.mark.bench]

SECONDS = 60
SHARE_MAX = 0.15


def test_the_idle_house_is_measured(stack: Any):
    house = containers(stack.project)
    begun = time.monotonic()
    before = {one.service: one.cpu_seconds() for one in house}
    engine_before = engine_cpu_seconds()
    time.sleep(SECONDS)
    took = time.monotonic() - begun
    spent = {one.service: (one.cpu_seconds() - before[one.service]) / took for one in house}
    # A process that ended in between would count backwards: only those of both readings are compared.
    engine_after = engine_cpu_seconds()
    both = engine_before.keys() & engine_after.keys()
    engine = sum(engine_after[pid] - engine_before[pid] for pid in both) / took
    rows = [
        {"container": service, "% of a core": round(100 * share, 2)}
        for service, share in sorted(spent.items(), key=lambda item: -item[1])
    ]
    rows.append(
        {"container": "(engine, all houses on the machine)", "% of a core": round(100 * engine, 2)}
    )
    total = sum(spent.values())
    record(
        "idle",
        {"idle CPU of the whole stack <= 15 % of one core": f"{100 * total:.1f} %"},
        rows,
        seconds=SECONDS,
    )
    assert total <= SHARE_MAX
