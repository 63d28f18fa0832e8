"""Drive wrk inside a container's network, so that no port forwarder stands between it and what is measured."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

SCRIPT = """
for name, value in pairs(HEADERS) do wrk.headers[name] = value end
function done(summary, latency, requests)
  local bad = summary.errors.connect + summary.errors.read + summary.errors.write
    + summary.errors.status + summary.errors.timeout
  io.write(string.format('\\nRESULT {"requests":%d,"us":%d,"bad":%d,"p50":%d,"p95":%d,"p99":%d}\\n',
    summary.requests, summary.duration, bad, latency:percentile(50), latency:percentile(95), latency:percentile(99)))
end
"""


@dataclass(frozen=True)
class Measured:
    """One run of wrk."""

    p50_ms: float
    p95_ms: float
    p99_ms: float
    per_second: float


def measure(
    pid: int,
    url: str,
    headers: dict[str, str],
    folder: Path,
    *,
    seconds: int,
    connections: int,
    hosts: dict[str, str],
) -> Measured:
    """Load `url` from within the network of process `pid`. Fails when a single answer was not a good one."""
    if shutil.which("wrk") is None:
        pytest.fail("wrk is missing: apt-get install wrk", pytrace=False)
    script, names = folder / "wrk.lua", folder / "hosts"
    table = ", ".join(
        f"[{json.dumps(name)}] = {json.dumps(value)}" for name, value in headers.items()
    )
    # The session is in this file and not in argv, which everybody on the machine can read.
    script.touch(mode=0o600)
    script.write_text(f"local HEADERS = {{ {table} }}\n{SCRIPT}")
    names.write_text(
        "127.0.0.1 localhost\n" + "".join(f"{ip} {name}\n" for name, ip in hosts.items())
    )
    load = ["wrk", "-t", "1", "-c", str(connections), "-d", f"{seconds}s", "-s", str(script), url]
    inside = f"mount --bind {shlex.quote(str(names))} /etc/hosts && exec {shlex.join(load)}"
    done = subprocess.run(
        ["nsenter", "-t", str(pid), "-n", "unshare", "-m", "sh", "-c", inside],
        capture_output=True,
        text=True,
        timeout=seconds + 30,
        check=False,
    )
    line = next((line for line in done.stdout.splitlines() if line.startswith("RESULT ")), None)
    assert line is not None, done.stdout + done.stderr
    told = json.loads(line.removeprefix("RESULT "))
    assert told["bad"] == 0, f"{url}: {told}"
    return Measured(
        told["p50"] / 1000,
        told["p95"] / 1000,
        told["p99"] / 1000,
        told["requests"] / (told["us"] / 1e6),
    )
