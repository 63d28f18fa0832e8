"""The order of a whole run, and `stack`: the second house, as `make up` makes it, that the tests attack.

Cheap before dear, so that a slip shows in seconds: tidy, unit, contract, integration, then the running stack:
reachability, e2e, hostile, and chaos last, because it breaks things.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
UP_SECONDS_MAX = 1500
DOWN_SECONDS_MAX = 180
# Set by `make test`: hostile tests then attack the stack; by themselves they start the edge alone.
STACK_URL = "LARES_TEST_URL"


@dataclass(frozen=True)
class Stack:
    """Where the second house answers, and where its secrets and settings lie."""

    project: str = "lares-test"
    host: str = "lares.test"
    http_port: int = 8480
    https_port: int = 8443
    net: str = "10.90"
    state: Path = ROOT / ".lares-test"

    @property
    def url(self) -> str:
        """Its address, which resolves only if the client is told that `host` is 127.0.0.1."""
        return f"https://{self.host}:{self.https_port}"

    def container(self, service: str) -> str:
        """Return the id of a service's container."""
        label = "label=com.docker.compose"
        # The hash is on Compose's own containers alone; the other labels are also in its images.
        filters = [
            f"{label}.project={self.project}",
            f"{label}.service={service}",
            f"{label}.config-hash",
        ]
        command = ["docker", "ps", "-aq", *(part for f in filters for part in ("--filter", f))]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def needs_stack(item: pytest.Item) -> bool:
    """Whether a test runs against the second house."""
    if any(item.get_closest_marker(name) for name in ("stack", "e2e", "chaos")):
        return True
    return bool(item.get_closest_marker("hostile") and os.environ.get(STACK_URL))


def phase(item: pytest.Item) -> int:
    """Return the place of a test in a whole run."""
    if item.get_closest_marker("bench"):
        return 9
    if item.get_closest_marker("chaos"):
        return 8
    if needs_stack(item):
        if item.get_closest_marker("hostile"):
            return 7
        return 6 if item.get_closest_marker("e2e") else 5
    if item.get_closest_marker("integration") or item.get_closest_marker("hostile"):
        return 4
    folder = item.path.relative_to(ROOT).parts[:2]
    return {("tests", "tidy"): 1, ("tests", "contract"): 3}.get(folder, 2)


# Last, so that every folder's own hook has given its markers.
@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests in order, and give each that needs it the running stack."""
    for item in items:
        names = getattr(item, "fixturenames", None)
        if names is not None and needs_stack(item) and "stack" not in names:
            names.insert(0, "stack")
    items.sort(key=phase)


def make(verb: str, seconds_max: int, quiet: bool) -> int:
    """Run a make verb, shown as it goes or kept in a log."""
    if not quiet:
        return subprocess.run(["make", verb], cwd=ROOT, timeout=seconds_max).returncode
    log = ROOT / ".pytest_cache" / f"{verb}.log"
    log.parent.mkdir(exist_ok=True)
    with log.open("w") as out:
        return subprocess.run(
            ["make", verb], cwd=ROOT, timeout=seconds_max, stdout=out, stderr=subprocess.STDOUT
        ).returncode


@pytest.fixture(scope="session")
def stack(pytestconfig: pytest.Config) -> Iterator[Stack]:
    """The running second house. One that runs already is used and left; else it is brought up and erased after.

    LARES_TEST_STACK=project:http_port:https_port:net:state names another one, which must be running.
    """
    other = os.environ.get("LARES_TEST_STACK")
    if other:
        project, http_port, https_port, net, state = other.split(":")
        yield Stack(
            project, "lares.test", int(http_port), int(https_port), net=net, state=Path(state)
        )
        return
    found = make("test-stack-status", 60, quiet=True) == 0
    if not found:
        capture = pytestconfig.pluginmanager.getplugin("capturemanager")
        with capture.global_and_fixture_disabled():
            print(flush=True)
            code = make("test-stack-up", UP_SECONDS_MAX, quiet=False)
        if code != 0:
            make("test-stack-down", DOWN_SECONDS_MAX, quiet=True)
            pytest.fail("the test stack did not come up: see its own message above", pytrace=False)
    yield Stack()
    if not found:
        make("test-stack-down", DOWN_SECONDS_MAX, quiet=True)
