"""Processes of the house for a bench: started as their images start them, watched for what they use."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Put before each process, for a machine that others use too: `chrt -f 5`. The result says so.
PREFIX = os.environ.get("LARES_BENCH_PREFIX", "").split()
PRIORITY = " ".join(PREFIX) or "any process"


@contextlib.contextmanager
def process(
    *words: str, env: Mapping[str, str] | None = None, log: Path = Path(os.devnull)
) -> Iterator[subprocess.Popen[bytes]]:
    """A Python process with the house's sources on its path, ended with the block. `log`: where it writes to."""
    path = os.pathsep.join(str(one) for one in sorted(ROOT.glob("services/*/src")))
    with log.open("ab") as written:
        running = subprocess.Popen(
            [*PREFIX, sys.executable, *words],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": path, **(env or {})},
            stdout=written,
        )
    try:
        yield running
    finally:
        running.terminate()
        running.wait(20)


def raise_priority(pid: int) -> None:
    """Where the others have one, give a process that the engine started the highest priority that it may have there."""
    if PREFIX:
        subprocess.run(["renice", "-n", "-20", "-p", str(pid)], check=True, capture_output=True)


def cpu_seconds(pid: int) -> float:
    """Return what a process has used of the processor."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
