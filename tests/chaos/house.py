"""The machine under the house: kill its processes as a power cut would, and watch them come back by themselves."""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

ROOT = Path(__file__).resolve().parents[2]
ONE_SHOT = frozenset({"migrate"})


def docker(*arguments: str, stdin: bytes | None = None) -> str:
    """Run the engine's client and return its stdout."""
    done = subprocess.run(
        ["docker", *arguments], input=stdin, capture_output=True, timeout=120, check=False
    )
    assert done.returncode == 0, f"docker {arguments[0]}: {done.stderr.decode()[-2000:]}"
    return done.stdout.decode()


class House:
    """One running stack, by its Compose project."""

    def __init__(self, stack: Any) -> None:
        self.stack = stack
        self.notes: list[str] = []

    def note(self, line: str) -> None:
        """Keep a line for the report that is printed in the end."""
        self.notes.append(line)

    def container(self, service: str) -> str:
        """Return the id of a service's container. The hash tells it from scratch containers of the same image."""
        label = "label=com.docker.compose"
        wanted = (
            f"{label}.project={self.stack.project}",
            f"{label}.service={service}",
            f"{label}.config-hash",
        )
        found = docker("ps", "-aq", *(part for one in wanted for part in ("--filter", one))).split()
        assert len(found) == 1, f"{service}: {found}"
        return found[0]

    def inspect(self, service: str) -> dict[str, Any]:
        return json.loads(docker("inspect", self.container(service)))[0]

    def services(self) -> list[str]:
        """Return every service that is meant to run all the time."""
        label = "com.docker.compose"
        rows = docker(
            *("ps", "-a", "--filter", f"label={label}.project={self.stack.project}"),
            *("--filter", f"label={label}.config-hash"),
            *("--format", '{{.Label "' + label + '.service"}}'),
        ).split()
        return sorted(set(rows) - ONE_SHOT)

    def pid(self, service: str) -> int:
        """Return the process that the container is, 0 when it is down."""
        return int(self.inspect(service)["State"]["Pid"])

    def kill(self, service: str) -> int:
        """SIGKILL its first process from outside, as the kernel would. `docker kill` would also forbid the restart."""
        pid = self.pid(service)
        assert pid > 1, f"{service} does not run"
        os.kill(pid, signal.SIGKILL)
        return pid

    def is_ready(self, service: str) -> bool:
        """Run the container's own health probe now, instead of waiting for its next turn."""
        probe = self.inspect(service)["Config"]["Healthcheck"]["Test"]
        command = ["sh", "-c", probe[1]] if probe[0] == "CMD-SHELL" else probe[1:]
        done = subprocess.run(
            ["docker", "exec", self.container(service), *command],
            capture_output=True,
            timeout=30,
            check=False,
        )
        return done.returncode == 0

    def back(self, service: str, before: int, seconds: float) -> float:
        """Wait until it runs as another process than `before` and its probe passes; return how long that took."""
        begun = time.monotonic()

        def returned() -> bool:
            return self.pid(service) not in (0, before) and self.is_ready(service)

        wait_for(returned, seconds, f"{service} did not come back")
        return time.monotonic() - begun

    def stop(self, service: str) -> None:
        docker("stop", "-t", "2", self.container(service))

    def start(self, service: str, seconds: float = 60) -> None:
        docker("start", self.container(service))
        wait_for(lambda: self.is_ready(service), seconds, f"{service} did not start")

    def restart(self, service: str) -> None:
        docker("restart", "-t", "20", self.container(service))

    def health(self) -> dict[str, str]:
        """Return what the engine says of each container's health."""
        return {
            service: self.inspect(service)["State"].get("Health", {}).get("Status", "none")
            for service in self.services()
        }

    def secret(self, service: str, name: str) -> str:
        return (Path(self.stack.state) / "secrets" / service / name).read_text().strip()

    def valkey(self, user: str, folder: str, commands: bytes) -> str:
        """Send commands to Valkey as one of its users. The password goes through stdin, never through argv."""
        login = f"AUTH {user} {self.secret(folder, 'valkey_password')}\n".encode()
        cli = ("valkey-cli", "-s", "/run/valkey/valkey.sock")
        return docker("exec", "-i", self.container("valkey"), *cli, stdin=login + commands)

    def invitation(self) -> str:
        """Return an invitation's token, made on the machine."""
        identity = self.container("identity")
        link = docker("exec", identity, "python", "-m", "identity", "invite", "--role", "member")
        return link.strip().rpartition("#")[2]

    def authority(self) -> ssl.SSLContext:
        """Return the trust in the house's own certificate authority."""
        reply = httpx.get(
            f"http://127.0.0.1:{self.stack.http_port}/lares-ca.crt",
            headers={"host": f"{self.stack.host}:{self.stack.http_port}"},
            trust_env=False,
        )
        reply.raise_for_status()
        return ssl.create_default_context(cadata=reply.text)


def wait_for(check: Callable[[], bool], seconds: float, what: str) -> None:
    """Return when `check` holds; fail with `what` after `seconds`. An error of the engine counts as "not yet"."""
    deadline = time.monotonic() + seconds
    last = ""
    while time.monotonic() < deadline:
        try:
            if check():
                return
        except (AssertionError, OSError, subprocess.TimeoutExpired) as error:
            last = str(error)
        time.sleep(0.3)
    pytest.fail(f"{what} within {seconds:.0f} s. {last}", pytrace=False)
