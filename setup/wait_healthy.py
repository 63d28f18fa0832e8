"""Wait until every container of a house is healthy; print a table; exit 1 when the time is over.

    wait_healthy.py lares 300

The engine looks only every 30 seconds, so while it still says "starting" the container's own probe is run here.
Standard library only: it runs on the host.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import Any

ROUND_SECONDS = 1.0
PROBE_SECONDS_MAX = 10


def containers(project: str) -> list[dict[str, Any]]:
    """Return what the engine says of each container of the house."""
    listed = subprocess.run(
        [
            "docker",
            "ps",
            "-aq",
            "--filter",
            f"label=com.docker.compose.project={project}",
            "--filter",
            "label=com.docker.compose.oneoff=False",
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    if not listed:
        return []
    shown = subprocess.run(
        ["docker", "inspect", *listed], capture_output=True, text=True, check=False
    )
    return json.loads(shown.stdout or "[]")


def probe(container: dict[str, Any]) -> bool:
    """Run the container's own healthcheck once."""
    test = (container["Config"].get("Healthcheck") or {}).get("Test") or ["NONE"]
    command = ["sh", "-c", test[1]] if test[0] == "CMD-SHELL" else test[1:]
    if not command:
        return False
    try:
        return (
            subprocess.run(
                ["docker", "exec", container["Id"], *command],
                capture_output=True,
                check=False,
                timeout=PROBE_SECONDS_MAX,
            ).returncode
            == 0
        )
    except subprocess.TimeoutExpired:
        return False


def judge(container: dict[str, Any]) -> tuple[bool, str]:
    """Return whether the container has arrived, and the word for where it is."""
    state = container["State"]
    one_shot = "Healthcheck" not in container["Config"]
    if one_shot:
        done = state["Status"] == "exited" and state["ExitCode"] == 0
        return done, "done" if done else f"{state['Status']} ({state['ExitCode']})"
    if state["Status"] != "running":
        return False, f"{state['Status']} ({state['ExitCode']})"
    health = (state.get("Health") or {}).get("Status", "none")
    if health == "starting" and probe(container):
        health = "healthy"
    return health == "healthy", health


def main(project: str, seconds_max: float) -> int:
    began = time.monotonic()
    arrived: dict[str, float] = {}
    while True:
        words: dict[str, str] = {}
        for container in containers(project):
            name = container["Config"]["Labels"].get(
                "com.docker.compose.service", container["Name"]
            )
            if name in arrived:
                continue
            ready, words[name] = judge(container)
            if ready:
                arrived[name] = time.monotonic() - began
                print(
                    f"  {words.pop(name):<12} {name:<16} after {arrived[name]:4.0f} s", flush=True
                )
        if arrived and not words:
            return 0
        if time.monotonic() - began > seconds_max:
            for name, word in sorted(words.items()):
                print(f"  {word:<12} {name:<16} still, after {seconds_max:.0f} s", flush=True)
            return 1
        time.sleep(ROUND_SECONDS)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], float(sys.argv[2])))
