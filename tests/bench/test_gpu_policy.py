"""What the scheduler's policy is worth: the real core against llama-swap-like scheduling, on the same arrivals.

In virtual time (tests/bench/gpu_sim); the traces are read from LARES_BENCH_DATA, else ../shared/data. Writes
results/gpu_policy.json. Numbers were chosen on TUNING_SEEDS; what is told here is of REPORTED_SEEDS.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from typing import Any

import pytest

from .gpu_sim.arrivals import HOURS, REPORTED_SEEDS, TUNING_SEEDS, where
from .gpu_sim.home import CARD_MIB, CLASSES, MODELS, PEERS_MIB, RAM_BUDGET_MIB, USES
from .gpu_sim.measure import Run, summary
from .gpu_sim.policies import (
    B_STAGED,
    ERROR,
    FIFO,
    INFINITE,
    LARES,
    LARES_STAGED,
    WRONG,
    B,
    one,
    wrong,
)
from .report import record

pytestmark = [
    pytest.mark.bench,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not where().exists(), reason=f"no traces at {where()}: LARES_BENCH_DATA"),
]
POLICIES = (FIFO, B, LARES, B_STAGED, LARES_STAGED, INFINITE)


def played() -> dict[str, list[Run]]:
    """Return each policy's runs of all reported seeds."""
    assert not set(TUNING_SEEDS) & set(REPORTED_SEEDS)
    names = [name for name in (*POLICIES, *WRONG) for _ in REPORTED_SEEDS]
    seeds = [seed for _ in (*POLICIES, *WRONG) for seed in REPORTED_SEEDS]
    runs: dict[str, list[Run]] = {}
    with ProcessPoolExecutor(2) as pool:
        for run in pool.map(_play, names, seeds):
            runs.setdefault(run.policy, []).append(run)
    return runs


def _play(name: str, seed: int) -> Run:
    return wrong(name, seed) if name in WRONG else one(name, seed)


def row(found: dict[str, Any]) -> dict[str, Any]:
    """Return one line of the table: wait to the first token p50/p95, total p50/p95, share within the class's limit."""
    told: dict[str, Any] = {"policy": found["policy"]}
    for name in CLASSES:
        of = found[name]
        told[f"{name}: wait"] = f"{of['wait_p50']:.1f}/{of['wait_p95']:.1f}"
        told[f"{name}: total"] = f"{of['total_p50']:.1f}/{of['total_p95']:.1f}"
        told[f"{name}: in time"] = f"{of['within_slo']:.1%}"
    return told | {
        "switches": found["switches"],
        "evictions": found["evictions"],
        "loading": f"{found['loading']:.1%}",
        "busy": f"{found['busy']:.1%}",
        "VRAM used": f"{found['vram_used']:.1%}",
        "fairness": found["fairness"],
        "refused": sum(found[name]["refused"] for name in CLASSES),
        "over-commits": found["over_commits"],
    }


def against(ours: dict[str, Any], peer: dict[str, Any]) -> dict[str, float]:
    """Return what changes from the peer to us: switches and each class's p95, as shares of the peer's."""
    return {
        "switches": round(ours["switches"] / peer["switches"] - 1, 3),
        **{
            name: round(ours[name]["wait_p95"] / max(peer[name]["wait_p95"], 0.01) - 1, 3)
            for name in CLASSES
        },
    }


def floors(found: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Return how each floor stands."""
    told: dict[str, str] = {}
    for how, ours, peer in (("cold", LARES, B), ("with staging", LARES_STAGED, B_STAGED)):
        change = against(found[ours], found[peer])
        told[f"{how}: switches fewer than B's by >= 30 %"] = f"{-change.pop('switches'):.0%}"
        told[f"{how}: no class's p95 worse than B's by more than 10 %"] = ", ".join(
            f"{name} {value:+.0%}" for name, value in change.items()
        )
    share = found[LARES_STAGED]["voice"]["within_slo"]
    told["with staging: voice within 4 s >= 95 %"] = f"{share:.1%}"
    over = {name: found[name]["over_commits"] for name in WRONG}
    told[f"over-commits while predictions err by up to {ERROR:.0%}: 0"] = ", ".join(
        f"{name} {count}" for name, count in over.items()
    )
    return told


def spread(runs: dict[str, list[Run]]) -> list[dict[str, Any]]:
    """Return for each seed what changes from B to us: how far from the sum of all a single house may be."""
    return [
        {"seed": mine.seed, "how": how} | against(summary([mine]), summary([theirs]))
        for how, ours, peer in (("cold", LARES, B), ("with staging", LARES_STAGED, B_STAGED))
        for mine, theirs in zip(runs[ours], runs[peer], strict=True)
    ]


def test_it_switches_less_than_who_serves_residents_first_and_voice_is_in_time():
    runs = played()
    found = {name: summary(of) for name, of in runs.items()}
    record(
        "gpu_policy",
        floors(found),
        [row(found[name]) for name in (*POLICIES, *WRONG)],
        hours=HOURS,
        tuning_seeds=TUNING_SEEDS,
        reported_seeds=REPORTED_SEEDS,
        card_mib=CARD_MIB,
        peers_mib=PEERS_MIB,
        ram_budget_mib=RAM_BUDGET_MIB,
        models=[vars(model) for model in MODELS.values()],
        uses=[vars(use) for use in USES],
        of_each_seed=spread(runs),
    )
    for ours in (LARES, LARES_STAGED, *WRONG[1:]):
        assert found[ours]["over_commits"] == 0
    # A little below what was reached. Agents wait longer than with B, and with staging by more than the floor allows.
    for ours, peer, agents in ((LARES, B, 0.15), (LARES_STAGED, B_STAGED, 0.28)):
        change = against(found[ours], found[peer])
        assert change["switches"] <= -0.29
        assert change["voice"] <= -0.10
        assert max(change["interactive"], change["batch"]) <= 0.12
        assert change["agent"] <= agents
    assert found[LARES_STAGED]["voice"]["within_slo"] >= 0.92
    assert found[LARES]["voice"]["within_slo"] >= found[B]["voice"]["within_slo"] + 0.12
