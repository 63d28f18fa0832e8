"""One reading after another: list, look closer at what changed, measure, write the file."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit import logs
from kit.clock import Clock
from kit.errors import KitError

from engine_reader.cgroup import NOTHING, Cgroups
from engine_reader.domain import Brief, Details, Sample, briefs, cpu_percent, details
from engine_reader.engine import Engine

log = logs.get(__name__)


@dataclass
class Known:
    """What is remembered of one container between two readings."""

    mark: str
    details: Details
    sample: Sample | None = None


class Reader:
    """Reads the engine and keeps one file up to date."""

    def __init__(
        self, engine: Engine, cgroups: Cgroups, snapshot: Path, heartbeat: Path, clock: Clock
    ) -> None:
        self._engine = engine
        self._cgroups = cgroups
        self._snapshot = snapshot
        self._heartbeat = heartbeat
        self._clock = clock
        self._known: dict[str, Known] = {}
        self._failing: str | None = None

    def beat(self) -> bool:
        """Read once and say whether it worked. A failure is logged when it begins and when it ends."""
        try:
            self.read()
            self._heartbeat.touch()
        except (KitError, OSError) as error:
            what = error.code if isinstance(error, KitError) else type(error).__name__
            if what != self._failing:
                log.warning("engine.unreadable", code=what)
            self._failing = what
            return False
        if self._failing is not None:
            log.info("engine.readable_again")
        self._failing = None
        return True

    def read(self) -> None:
        """Replace the snapshot with a fresh one. Raises EngineUnavailable, EngineDenied, OSError."""
        found = briefs(self._engine.containers())
        rows = [row for brief in found if (row := self._row(brief)) is not None]
        self._known = {
            brief.id: self._known[brief.id] for brief in found if brief.id in self._known
        }
        self._write({"sampled_at": self._clock.now().isoformat(), "containers": rows})

    def _row(self, brief: Brief) -> dict[str, Any] | None:
        known = self._known.get(brief.id)
        if known is None or known.mark != brief.mark:
            inspected = self._engine.inspect(brief.id)
            if inspected is None:
                return None
            before = known.sample if known else None
            known = self._known[brief.id] = Known(brief.mark, details(inspected), before)
        usage = self._cgroups.usage(brief.id) if brief.state == "running" else NOTHING
        now = None
        if usage.cpu_ns is not None:
            now = Sample(usage.cpu_ns, int(self._clock.monotonic() * 1e9))
        percent, known.sample = cpu_percent(known.sample, now), now
        return {
            "name": brief.name,
            "state": brief.state,
            "exit_code": known.details.exit_code,
            "one_shot": known.details.one_shot,
            "health": known.details.health,
            "started_at": known.details.started_at,
            "restarts": known.details.restarts,
            "memory_bytes": usage.memory_bytes,
            "cpu_percent": percent,
        }

    def _write(self, snapshot: dict[str, Any]) -> None:
        # Replaced in one step: whoever reads sees the old reading or the new one, never half of one.
        fresh = self._snapshot.with_suffix(".new")
        fresh.write_text(json.dumps(snapshot, separators=(",", ":")))
        os.replace(fresh, self._snapshot)
