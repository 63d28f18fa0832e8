"""The house that `make up` has made: complete, its secrets nowhere else, and a second run changes nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Protocol

import pytest

from tests.integration.house import ROOT, Container, containers, run

pytestmark = [pytest.mark.integration, pytest.mark.stack]

WARM_SECONDS_MAX = 60


class Stack(Protocol):
    project: str
    state: Path


def secrets(stack: Stack) -> dict[str, bytes]:
    """Return every secret that is worth hiding; the public key and the users' hashes are not."""
    root = stack.state / "secrets"
    files = [
        path
        for path in root.rglob("*")
        if path.is_file() and path.name not in {"caller_public_key", "users.acl"}
    ]
    values = {str(path.relative_to(root)): path.read_bytes().strip() for path in files}
    # A key in PEM: its one line of substance.
    return {
        name: value.splitlines()[1] if value.startswith(b"-----") else value
        for name, value in values.items()
    }


def found_in(text: bytes, hidden: dict[str, bytes]) -> set[str]:
    return {name for name, value in hidden.items() if value and value in text}


def house(stack: Stack) -> list[Container]:
    return containers(stack.project)


def test_no_secret_is_in_what_the_engine_tells_of_a_container(stack: Stack) -> None:
    ids = [one.id for one in house(stack)]
    assert found_in(run("docker", "inspect", *ids).encode(), secrets(stack)) == set()


def test_no_secret_is_in_an_image(stack: Stack) -> None:
    hidden = secrets(stack)
    images = run(
        "docker", "inspect", "--format", "{{.Image}}", *[one.id for one in house(stack)]
    ).split()
    for image in set(images):
        told = run("docker", "image", "inspect", image) + run(
            "docker", "history", "--no-trunc", image
        )
        assert found_in(told.encode(), hidden) == set()


def test_no_secret_is_in_the_environment_or_the_arguments_of_a_process(stack: Stack) -> None:
    hidden = secrets(stack)
    for one in house(stack):
        pids = [int(line) for line in run("docker", "top", one.id, "-o", "pid").split()[1:]]
        for pid in pids:
            for file in ("environ", "cmdline"):
                assert found_in(Path(f"/proc/{pid}/{file}").read_bytes(), hidden) == set(), (
                    one.service,
                    file,
                )


def test_no_secret_is_in_a_log(stack: Stack) -> None:
    hidden = secrets(stack)
    for one in house(stack):
        told = subprocess.run(["docker", "logs", one.id], capture_output=True, check=True)
        assert found_in(told.stdout + told.stderr, hidden) == set(), one.service
    for log in (stack.state / "log").iterdir():
        assert found_in(log.read_bytes(), hidden) == set(), log.name


def test_each_container_sees_its_own_secrets_and_no_others(stack: Stack) -> None:
    for one in house(stack):
        seen = Path(f"/proc/{one.pid}/root/run/secrets")
        own = stack.state / "secrets" / one.service
        names = {path.name for path in seen.iterdir()} if seen.exists() else set()
        assert names == ({path.name for path in own.iterdir()} if own.exists() else set()), (
            one.service
        )


def running(stack: Stack) -> dict[str, str]:
    """Return the containers that stay; the one-shot runs again at every start."""
    return {one.service: one.id for one in house(stack) if one.service != "migrate"}


def test_a_second_make_up_changes_no_container_and_is_quick(stack: Stack) -> None:
    before = running(stack)
    began = time.monotonic()
    said = run("make", "-s", "test-stack-up", timeout_s=300)
    assert time.monotonic() - began < WARM_SECONDS_MAX
    assert running(stack) == before
    assert "Lares is up" in said
    assert (
        found_in(
            said.encode(), {n: v for n, v in secrets(stack).items() if n != "identity/setup_token"}
        )
        == set()
    )


def test_the_first_owners_link_is_shown_only_while_there_is_no_owner(stack: Stack) -> None:
    """Without a link is also what a set-up says that could not ask: so the sentence is compared too."""
    token = secrets(stack)["identity/setup_token"].decode()
    one = {one.service: one.id for one in house(stack)}["postgres"]
    asked = ["psql", "-h", "/run/postgresql", "-U", "postgres", "-d", "lares", "-Atc"]
    claimed = run("docker", "exec", one, *asked, "SELECT count(*) FROM edge.setup_claim").strip()
    said = run("make", "-s", "test-stack-up", timeout_s=300)
    if claimed == "0":
        assert f"/setup#{token}" in said
    else:
        assert token not in said
        assert "Sign in with your account." in said


@pytest.mark.parametrize("after_s", [1.0, 4.0])
def test_a_make_up_that_is_killed_can_be_repeated(stack: Stack, after_s: float) -> None:
    with subprocess.Popen(
        ["make", "test-stack-up"], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    ) as killed:  # fmt: skip
        time.sleep(after_s)
        os.killpg(killed.pid, signal.SIGKILL)
    assert "Lares is up" in run("make", "-s", "test-stack-up", timeout_s=300)


def test_plain_compose_up_works_after_it_and_changes_nothing(stack: Stack) -> None:
    before = running(stack)
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/root")}
    done = subprocess.run(
        ["docker", "compose", "--env-file", str(stack.state / "env"), "up", "-d"],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert running(stack) == before
