"""How long until the house answers: from nothing but its images, after a stop, and when it runs already."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from .report import record
from .stack import ROOT

pytestmark = [pytest.mark.stack, pytest.mark.bench]

WARM_SECONDS_MAX = 60.0


def settings_of(stack: Any) -> dict[str, str]:
    """Return the settings of a house as set-up recorded them: a purge takes the record away."""
    lines = (Path(stack.state) / "env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def timed(script: str, *arguments: str, env: dict[str, str]) -> float:
    """Run one of set-up's scripts; return how long it took."""
    begun = time.monotonic()
    done = subprocess.run(
        [str(ROOT / "setup" / script), *arguments],
        env={**os.environ, **env, "YES": "1"},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return round(time.monotonic() - begun, 1)


def test_the_start_is_measured(stack: Any):
    env = settings_of(stack)
    rows: list[dict[str, Any]] = []

    def note(what: str, seconds: float) -> None:
        rows.append({"start": what, "seconds until every container is healthy": seconds})

    # Twice: what counts as built must not be a surprise of another checkout's cache.
    timed("up.sh", env=env)
    timed("down.sh", "purge", env=env)
    note("cold: images only; secrets, volumes, migrations made", timed("up.sh", env=env))
    timed("down.sh", env=env)
    warm = timed("up.sh", env=env)
    note("warm: after `make down`, data kept", warm)
    note("running: nothing to do", timed("up.sh", env=env))
    record("start", {"warm `make up` <= 60 s": f"{warm:.0f} s"}, rows)
    assert warm <= WARM_SECONDS_MAX
