"""What a run was worth, in numbers: waits by class, switches, loading, use, fairness."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

from .arrivals import Job
from .home import CLASSES, SLO_S
from .world import Driver, Totals, World


@dataclass
class Run:
    """One policy on one seed's arrivals."""

    policy: str
    seed: int
    jobs: list[Job]
    totals: Totals
    card_mib: int


def play(
    policy: str, seed: int, jobs: list[Job], world: World, make: Callable[[World], Driver]
) -> Run:
    """Run the arrivals through a policy. Each must be served or refused exactly once by the end, or it raises."""
    totals = world.run(jobs, make(world))
    lost = [job.id for job in jobs if (job.done_at is None) == (job.refused_at is None)]
    if lost:
        raise RuntimeError(f"{policy}, seed {seed}: {len(lost)} requests never ended: {lost[:5]}")
    return Run(policy, seed, jobs, totals, world.card_mib)


def wait_s(job: Job) -> float:
    """Return the seconds to the first token; one that was refused has waited for ever."""
    return float("inf") if job.first_at is None else job.first_at - job.at


def total_s(job: Job) -> float:
    """Return the seconds to the end."""
    return float("inf") if job.done_at is None else job.done_at - job.at


def percentile(samples: Iterable[float], share: float) -> float:
    """Return the value below which `share` of the samples lie; 0 of none."""
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def jain(shares: Iterable[float]) -> float:
    """Return Jain's index: 1 when all have the same, 1/n when one has all."""
    given = list(shares)
    squares = sum(share * share for share in given)
    return sum(given) ** 2 / (len(given) * squares) if squares else 1.0


def caller_speeds(jobs: Iterable[Job]) -> list[float]:
    """Return each caller's mean of (time alone on a ready model) / (time it took): 1 is never having waited."""
    speeds: dict[str, list[float]] = {}
    for job in jobs:
        speeds.setdefault(job.caller, []).append(job.work_s / total_s(job))
    return [sum(of) / len(of) for of in speeds.values()]


def summary(runs: list[Run]) -> dict[str, Any]:
    """Return the numbers of all seeds together: waits pooled, counts as means of a run."""
    jobs = [job for run in runs for job in run.jobs]
    count = len(runs)
    seconds = sum(run.totals.ended_at for run in runs)
    found: dict[str, Any] = {"policy": runs[0].policy, "seeds": [run.seed for run in runs]}
    for name in CLASSES:
        mine = [job for job in jobs if job.service_class == name]
        waits = [wait_s(job) for job in mine]
        totals = [total_s(job) for job in mine]
        found[name] = {
            "requests": len(mine),
            "wait_p50": round(percentile(waits, 0.5), 2),
            "wait_p95": round(percentile(waits, 0.95), 2),
            "wait_max": round(max(waits, default=0.0), 1),
            "total_p50": round(percentile(totals, 0.5), 2),
            "total_p95": round(percentile(totals, 0.95), 2),
            "within_slo": round(sum(w <= SLO_S[name] for w in waits) / max(1, len(waits)), 4),
            "refused": sum(job.refused_at is not None for job in mine),
        }
    sums = {key: sum(asdict(run.totals)[key] for run in runs) for key in asdict(runs[0].totals)}
    found |= {
        "switches": round((sums["starts"] + sums["wakes"]) / count, 1),
        "evictions": round((sums["stops"] + sums["sleeps"]) / count, 1),
        "taken_back": round(sums["takebacks"] / count, 1),
        "loading": round(sums["loading_s"] / seconds, 4),
        "busy": round(sums["busy_s"] / seconds, 4),
        "vram_used": round(sums["used_mib_s"] / seconds / runs[0].card_mib, 4),
        "fairness": round(sum(jain(caller_speeds(run.jobs)) for run in runs) / count, 4),
        "over_commits": sums["over_commits"],
        "over_mib_max": max(run.totals.over_mib_max for run in runs),
        "hours": round(seconds / count / 3600, 2),
    }
    return found


def line(found: dict[str, Any]) -> str:
    """Return a run's numbers as one line for a person who tunes."""
    parts = [f"{found['policy']:<24}"]
    for name in CLASSES:
        one = found[name]
        share = one["within_slo"] * 100
        parts.append(f"{name[0]} {one['wait_p50']:.1f}/{one['wait_p95']:.1f} {share:.0f}%")
    parts.append(
        f"sw {found['switches']:.0f} load {found['loading'] * 100:.1f}% busy {found['busy'] * 100:.0f}%"
        f" jain {found['fairness']:.3f} over {found['over_commits']}"
    )
    return "  ".join(parts)
