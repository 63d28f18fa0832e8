"""Which domain a container belongs to, and what memory it may use: as each service says of itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit import logs

log = logs.get(__name__)

MIB = 1024 * 1024
SERVICES_MAX = 200


@dataclass(frozen=True)
class Place:
    """One container's place in the house."""

    domain: str
    budget_bytes: int | None


# Containers made of Debian's packages have no folder of their own to say it in.
PACKAGED = {
    "caddy": Place("edge", 64 * MIB),
    "egress-proxy": Place("edge", 64 * MIB),
    "postgres": Place("data", 160 * MIB),
    "valkey": Place("data", 32 * MIB),
}
ELSEWHERE = Place("other", None)


def read(services: Path) -> dict[str, Place]:
    """Return the place of every container that a service.yaml speaks of, and of the packaged ones."""
    import yaml

    places = dict(PACKAGED)
    for path in sorted(services.glob("*/service.yaml"))[:SERVICES_MAX]:
        try:
            told: dict[str, Any] = yaml.safe_load(path.read_text())
            domain = str(told["domain"])
            places[str(told["name"])] = Place(domain, _bytes(told))
            for worker, said in (told.get("workers") or {}).items():
                places[str(worker)] = Place(domain, _bytes(said))
        except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
            # One broken description must not hide the state of the whole house.
            log.warning("house.unreadable", file=path.parent.name, error_type=type(error).__name__)
    return places


def _bytes(told: dict[str, Any]) -> int | None:
    mib = told.get("memory_budget_mib")
    return None if mib is None else int(mib) * MIB
