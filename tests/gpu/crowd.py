"""People who ask the test stack's models all at once, and an eye on the scheduler meanwhile.

Both are programs of their own (inside.py) in the network of the orchestrator, which may reach the gateway and the scheduler.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.gpu.asking import container
from tests.gpu.node import AGENT, GpuNode

INSIDE = Path(__file__).with_name("inside.py")
# The longest that the last answers may take once nobody asks any more.
DRAIN_SECONDS_MAX = 60.0
RUNNING = ("starting", "ready", "draining", "sleeping", "asleep", "waking", "stopping")
Line = dict[str, Any]


def until(
    ready: Callable[[], bool], seconds: float, what: str, *seen: Callable[[], object]
) -> float:
    """Return how long it took until `ready` held; fail with `what`, and what can be `seen` then, after `seconds`."""
    begun = time.monotonic()
    while not ready():
        if time.monotonic() - begun >= seconds:
            told = "; ".join(str(look()) for look in seen)
            raise AssertionError(f"{what} within {seconds:.0f} s. {told}"[:8000])
        time.sleep(0.1)
    return time.monotonic() - begun


class _Program:
    """One of inside.py's verbs, running; its lines as they come. As a context it is ended at the end."""

    def __init__(self, stack: Any, verb: str, *words: str) -> None:
        self.lines: list[Line] = []
        pid = str(container(stack, "orchestrator").pid)
        command = ["nsenter", "-t", pid, "-n", sys.executable, str(INSIDE), verb, *words]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.lines.append(json.loads(line))

    def __enter__(self) -> Any:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.end(0.0 if kind else DRAIN_SECONDS_MAX)

    def end(self, seconds: float) -> None:
        """Let it come to its end. Fails if that takes longer than `seconds`; then it is killed."""
        assert self._process.stdin is not None
        if not self._process.stdin.closed:
            self._process.stdin.close()
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            self._reader.join(5)
            if seconds:
                raise AssertionError(f"not over after {seconds:.0f} s") from None
            return
        self._reader.join(5)
        assert code == 0, f"inside.py ended with {code}"


class Crowd(_Program):
    """`streams` people. Its lines are their answers, each when it has ended."""

    def __init__(self, stack: Any, models: tuple[str, ...], streams: int = 12) -> None:
        gateway = f"http://{stack.net}.30.2:8000"
        super().__init__(stack, "crowd", gateway, ",".join(models), str(streams))

    def whole(self, since: float = 0.0, model: str = "") -> list[Line]:
        """Return the whole answers that were asked for after `since`."""
        return [
            line
            for line in list(self.lines)
            if line["outcome"] == "whole" and line["began"] > since and model in ("", line["model"])
        ]


class Watch(_Program):
    """Looks at `GET /v1/status` twice a second. `status` of a line is None when nobody answered."""

    def __init__(self, stack: Any) -> None:
        super().__init__(stack, "watch", f"http://{stack.net}.32.2:8000")

    @property
    def now(self) -> Line | None:
        """What was shown last; None when the last look found nothing."""
        return self.lines[-1]["status"] if self.lines else None

    def seen(self, true: Callable[[Line], bool], seconds: float, what: str) -> float:
        """Wait for a look that began after now and for which `true` holds; return how long that took."""
        before = len(self.lines)

        def found() -> bool:
            return any(line["status"] and true(line["status"]) for line in self.lines[before + 1 :])

        return until(found, seconds, what, lambda: self.now)

    def over_the_card(self) -> list[Line]:
        """Return every look at a card that was promised or held more than it has."""
        return [
            card
            for line in list(self.lines)
            for card in (line["status"] or {}).get("cards", ())
            if max(card["booked_mib"] + card["foreign_mib"], card["used_mib"]) > card["total_mib"]
        ]


def works(status: Line) -> int:
    """Return how many requests run, wait or hold something, by what the scheduler shows."""
    running = sum(one["running"] for one in status["instances"])
    return running + status["queue_total"] + len(status["leases"])


def agree(status: Line | None, node: GpuNode) -> bool:
    """Whether the scheduler's instances are the containers that the node's engine runs."""
    if status is None:
        return False
    shown = {one["id"] for one in status["instances"] if one["phase"] in RUNNING}
    return shown == set(node.models())


def passed_on(node: GpuNode) -> dict[str, list[str]]:
    """Return how each request that reached the node went, by its correlation id: as node-agent has logged it."""
    found: dict[str, list[str]] = {}
    for line in node.logs().splitlines():
        if '"request.over"' in line:
            said = json.loads(line)
            found.setdefault(said["trace_id"], []).append(said["outcome"])
    return found


def agent_answers(node: GpuNode) -> bool:
    """Whether node-agent takes connections."""
    probe = "import socket; socket.create_connection(('10.86.0.2', 8443), 1)"
    done = subprocess.run(
        node.engine.there("/usr/bin/python3", "-c", probe), capture_output=True, check=False
    )
    return done.returncode == 0 and bool(node.docker("ps", "-q", "--filter", f"name={AGENT}"))
