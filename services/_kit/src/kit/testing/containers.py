"""Throw-away containers for tests, published on a free loopback port, removed whatever happens."""

from __future__ import annotations

import asyncio
import atexit
import os
import secrets
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest

LABEL = "lares.test.pid"
T = TypeVar("T")


def run_apart(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine on a loop of its own, in a thread: a fixture must not touch the test's loop."""
    outcome: list[T | BaseException] = []

    def thread() -> None:
        try:
            outcome.append(asyncio.run(work()))
        except BaseException as error:
            outcome.append(error)

    worker = threading.Thread(target=thread)
    worker.start()
    worker.join()
    result = outcome[0]
    if isinstance(result, BaseException):
        raise result
    return result


def docker(*arguments: str, check: bool = True) -> str:
    """Run the engine's client and return its stdout."""
    done = subprocess.run(
        ["docker", *arguments], capture_output=True, text=True, timeout=120, check=False
    )
    if check and done.returncode != 0:
        raise RuntimeError(f"docker {arguments[0]}: {done.stderr.strip()}")
    return done.stdout


def require_image(image: str) -> None:
    """Fail the test, never skip it, when the engine or an image is missing, and say how to get it."""
    try:
        found = docker("image", "ls", "-q", image)
    except (OSError, RuntimeError) as error:
        pytest.fail(f"no container engine ({error}): run `make setup` as root", pytrace=False)
    if not found.strip():
        pytest.fail(f"image {image} is not built: run `make test-stack-up`", pytrace=False)


class Container:
    """One container of this test run."""

    def __init__(self, image: str, port: int, *arguments: str) -> None:
        require_image(image)
        _remove_orphans()
        # A port chosen here survives a restart of the container; one chosen by the engine does not.
        self.port = _free_port()
        self.host = "127.0.0.1"
        self.name = f"t-lares-{image.split('/')[-1].split(':')[0]}-{secrets.token_hex(4)}"
        atexit.register(self.remove)
        docker(
            *("run", "-d", "--name", self.name, "--label", f"{LABEL}={os.getpid()}"),
            *("-p", f"127.0.0.1:{self.port}:{port}"),
            *arguments,
            image,
        )

    def restart(self) -> None:
        """Stop it with its own signal and start it again, data kept."""
        docker("restart", "-t", "20", self.name)

    def kill(self) -> None:
        """SIGKILL it; it stays down until `start`."""
        docker("kill", self.name)

    def start(self) -> None:
        """Start it again after `kill`."""
        docker("start", self.name)

    def logs(self) -> str:
        """Return everything it wrote."""
        done = subprocess.run(
            ["docker", "logs", self.name], capture_output=True, text=True, check=False
        )
        return done.stdout + done.stderr

    def exec(self, *arguments: str, user: str | None = None) -> str:
        """Run a command in it and return its stdout."""
        return docker("exec", *(("-u", user) if user else ()), self.name, *arguments)

    def remove(self) -> None:
        """Remove it and its data."""
        docker("rm", "-f", "-v", self.name, check=False)
        atexit.unregister(self.remove)


def wait_until(ready: Callable[[], bool], what: Callable[[], str], seconds: float = 60.0) -> None:
    """Return when `ready`; fail with what `what` says after `seconds`."""
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            pytest.fail(what(), pytrace=False)
        time.sleep(0.1)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def _remove_orphans() -> None:
    # A test run that was killed leaves its containers; their label says whose they were.
    listed = docker(
        "ps",
        "-a",
        "--filter",
        f"label={LABEL}",
        "--format",
        '{{.Names}} {{.Label "' + LABEL + '"}}',
    )
    for line in listed.splitlines():
        name, _, pid = line.partition(" ")
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            docker("rm", "-f", "-v", name, check=False)
