"""What the person who holds the machine does to the test stack."""

from __future__ import annotations

import os
import subprocess


def stack_command(*arguments: str) -> str:
    """Run one of identity's commands inside its container."""
    project = os.environ.get("LARES_TEST_PROJECT", "lares-test")
    labels = (f"com.docker.compose.project={project}", "com.docker.compose.service=identity")
    filters = [word for label in labels for word in ("--filter", f"label={label}")]
    container = _run("docker", "ps", "-q", *filters).split()[0]
    return _run("docker", "exec", container, "python", "-m", "identity", *arguments)


def _run(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
