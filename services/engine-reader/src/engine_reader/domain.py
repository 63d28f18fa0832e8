"""From what the engine and the kernel say to what the house is told. Pure: no socket, no file, no clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

SERVICE_LABEL = "com.docker.compose.service"
ONE_OFF_LABEL = "com.docker.compose.oneoff"
CONTAINERS_MAX = 200
NAME_CHARS_MAX = 64


@dataclass(frozen=True)
class Brief:
    """One container, from the list: `mark` changes whenever something changed that only the full answer tells."""

    id: str
    name: str
    state: str
    mark: str


@dataclass(frozen=True)
class Details:
    """What only the full answer tells."""

    health: str | None
    started_at: str | None
    restarts: int
    exit_code: int
    one_shot: bool


@dataclass(frozen=True)
class Sample:
    """CPU time of a container at one moment of a clock that only goes forward."""

    cpu_ns: int
    at_ns: int


def briefs(listed: list[dict[str, Any]]) -> list[Brief]:
    """Return the project's containers, one a service, without those that `compose run` made for a moment.

    While Compose replaces a container, and when it was interrupted at that, there are two: the one that runs counts,
    else the one that was made last.
    """
    found: dict[str, Brief] = {}
    newest: dict[str, tuple[bool, int]] = {}
    for entry in listed[:CONTAINERS_MAX]:
        labels = entry.get("Labels") or {}
        name = str(labels.get(SERVICE_LABEL, ""))[:NAME_CHARS_MAX]
        if not name or labels.get(ONE_OFF_LABEL) == "True":
            continue
        state = str(entry.get("State", "unknown"))
        # The engine's words hold the uptime and the health: they change with a restart and with each minute.
        brief = Brief(str(entry["Id"]), name, state, f"{state} {entry.get('Status', '')}")
        rank = (state == "running", int(entry.get("Created") or 0))
        if name not in found or rank > newest[name]:
            found[name], newest[name] = brief, rank
    return list(found.values())


def details(inspected: dict[str, Any]) -> Details:
    """Return what a full answer tells of one container."""
    state = inspected.get("State") or {}
    health = (state.get("Health") or {}).get("Status")
    started = str(state.get("StartedAt", ""))
    policy = (inspected.get("HostConfig") or {}).get("RestartPolicy") or {}
    return Details(
        health=str(health) if health and health != "none" else None,
        # The engine writes the year 1 for "never".
        started_at=started if started and not started.startswith("0001") else None,
        restarts=int(inspected.get("RestartCount") or 0),
        exit_code=int(state.get("ExitCode") or 0),
        # A container that nobody starts again after a success has a job to finish, and is well when it has.
        one_shot=str(policy.get("Name") or "no") in ("no", "on-failure"),
    )


def cpu_percent(before: Sample | None, now: Sample | None) -> float | None:
    """Return the share of one core that was used between two samples; None when there are not two of one life."""
    if before is None or now is None or now.at_ns <= before.at_ns or now.cpu_ns < before.cpu_ns:
        return None
    return round(100 * (now.cpu_ns - before.cpu_ns) / (now.at_ns - before.at_ns), 2)
