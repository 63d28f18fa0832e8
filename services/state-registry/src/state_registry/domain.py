"""Readings, and what changed between two of them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from contracts.system import ContainerChanged, ContainerList, ContainerState

from state_registry.house import ELSEWHERE, Place

CONTAINERS_MAX = 200
GONE = "gone"


@dataclass(frozen=True)
class Reading:
    """What the reader saw at one moment."""

    sampled_at: datetime
    containers: tuple[ContainerState, ...]


def reading(snapshot: Mapping[str, Any], places: Mapping[str, Place]) -> Reading:
    """Return the snapshot with each container in its place. Raises ValueError for what is no snapshot."""
    try:
        rows = snapshot["containers"][:CONTAINERS_MAX]
        containers = [_container(row, places.get(row["name"], ELSEWHERE)) for row in rows]
        sampled_at = datetime.fromisoformat(snapshot["sampled_at"])
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a snapshot: {type(error).__name__}") from error
    return Reading(sampled_at, tuple(sorted(containers, key=lambda one: (one.domain, one.name))))


def _container(row: Mapping[str, Any], place: Place) -> ContainerState:
    finished = row["state"] == "exited" and row["one_shot"] and row["exit_code"] == 0
    return ContainerState(
        name=row["name"],
        domain=place.domain,
        state="finished" if finished else row["state"],
        health=row["health"],
        started_at=row["started_at"],
        restarts=row["restarts"],
        memory_bytes=row["memory_bytes"],
        budget_bytes=place.budget_bytes,
        cpu_percent=row["cpu_percent"],
    )


def listed(last: Reading | None, now: datetime, stale_seconds: float) -> ContainerList:
    """Return what is served: the last reading with its age, which says when it is too old to believe."""
    if last is None:
        return ContainerList(containers=(), stale=True)
    age = max(0.0, (now - last.sampled_at).total_seconds())
    return ContainerList(
        containers=last.containers,
        sampled_at=last.sampled_at,
        age_seconds=round(age, 1),
        stale=age > stale_seconds,
    )


def changes(
    announced: Mapping[str, ContainerChanged], containers: tuple[ContainerState, ...]
) -> list[ContainerChanged]:
    """Return what must be announced so that everybody knows what `containers` says.

    Memory and CPU change all the time and are no news; a state, a health, a restart, a coming and a going are.
    """
    now = {one.name: brief(one) for one in containers}
    came = [change for name, change in now.items() if announced.get(name) != change]
    left = [
        ContainerChanged(name=name, state=GONE)
        for name, change in announced.items()
        if name not in now and change.state != GONE
    ]
    return came + left


def brief(container: ContainerState) -> ContainerChanged:
    """Return the part of a container's state whose change is news."""
    return ContainerChanged(
        name=container.name,
        state=container.state,
        health=container.health,
        restarts=container.restarts,
    )
