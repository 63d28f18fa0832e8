"""Secrets are made once, whole, and for one container's user alone."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.integration.house import ROOT, run

pytestmark = pytest.mark.integration

MAKE_SECRETS = """
set -euo pipefail
LARES_ROOT=$PWD
source setup/lib.sh
source setup/settings.sh
LARES_TMP=$LARES_STATE/tmp
mkdir -p "$LARES_TMP"
source setup/secrets.sh
"""


def start(state: Path) -> subprocess.Popen[str]:
    environment = {"PATH": os.environ["PATH"], "LARES_STATE": str(state)}
    return subprocess.Popen(
        ["bash", "-c", MAKE_SECRETS], cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    )  # fmt: skip


def make(state: Path) -> str:
    with start(state) as process:
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 0, said
    return said


def contents(state: Path) -> dict[str, bytes]:
    root = state / "secrets"
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    state = tmp_path_factory.mktemp("house")
    said = make(state)
    for name, value in contents(state).items():
        assert value.decode().strip() not in said, f"{name} was printed"
    return state


def test_each_secret_is_for_its_own_user_alone(state: Path) -> None:
    for path in (state / "secrets").rglob("*"):
        owned = path.stat()
        if path.is_file():
            assert owned.st_mode & 0o777 == 0o600, path
            assert owned.st_uid >= 10010, path
            assert owned.st_uid == path.parent.stat().st_uid, path
        else:
            assert owned.st_mode & 0o777 == 0o700, path


def test_a_second_run_changes_nothing(state: Path) -> None:
    before = contents(state)
    make(state)
    assert contents(state) == before


def test_compose_names_no_secret_that_is_not_made(state: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "LARES_STATE": str(state)}
    asked = subprocess.run(
        ["docker", "compose", "--env-file", "/dev/null", "config", "--format", "json"],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    named = {
        line.split('"')[3]
        for line in asked.splitlines()
        if '"file": "' in line and "/secrets/" in line
    }
    optional = {path for path in named if "/backend_" in path}
    missing = {path for path in named - optional if not Path(path).is_file()}
    assert named
    assert missing == set()


def test_a_password_that_two_containers_need_is_the_same_and_others_differ(state: Path) -> None:
    made = contents(state)
    assert (
        made["memory/db_password"]
        == made["migrate/db_password_svc_memory"]
        == made["memory-worker/db_password"]
        == made["consolidator/db_password"]
    )
    assert made["postgres/superuser_password"] == made["migrate/superuser_password"]
    own = [
        made[f"{service}/db_password"]
        for service in (
            "identity",
            "forward-auth",
            "memory",
            "orchestrator",
            "model-gateway",
            "gpu-scheduler",
        )
    ]
    assert len(set(own)) == len(own)


def test_the_valkey_users_hold_the_hashes_of_the_services_passwords(state: Path) -> None:
    made = contents(state)
    users = made["valkey/users.acl"].decode()
    assert "@SHA256" not in users
    for service in (
        "memory",
        "memory-worker",
        "orchestrator",
        "dashboard",
        "state-registry",
        "gpu-scheduler",
    ):
        password = made[f"{service}/valkey_password"]
        line = next(
            line
            for line in users.splitlines()
            if line.startswith(f"user {service.replace('-', '_')} ")
        )
        assert f"#{hashlib.sha256(password).hexdigest()}" in line
        assert password.decode() not in users


def test_the_public_key_is_that_of_the_signing_key(state: Path) -> None:
    signing = state / "secrets/forward-auth/caller_signing_key"
    public = run("openssl", "pkey", "-in", str(signing), "-pubout")
    copies = {
        name: value
        for name, value in contents(state).items()
        if name.endswith("/caller_public_key")
    }
    assert copies
    assert {value.decode() for value in copies.values()} == {public}


@pytest.mark.parametrize("after_ms", [20, 60, 120, 200, 350])
def test_a_run_that_is_killed_leaves_no_half_secret_and_the_next_completes_it(
    tmp_path: Path, after_ms: int
) -> None:
    with start(tmp_path) as process:
        time.sleep(after_ms / 1000)
        os.killpg(process.pid, signal.SIGKILL)
    kept = {name: value for name, value in contents(tmp_path).items() if not name.endswith(".new")}
    assert all(kept.values()), "an empty secret was left under its final name"
    make(tmp_path)
    after = contents(tmp_path)
    rendered = {"valkey/users.acl"}
    assert {name: after[name] for name in kept.keys() - rendered} == {
        n: kept[n] for n in kept.keys() - rendered
    }
    assert after["memory/db_password"] == after["migrate/db_password_svc_memory"]


def told(certificate: Path, *what: str) -> str:
    return run("openssl", "x509", "-in", str(certificate), "-noout", *what)


def test_the_house_shows_gpu_nodes_a_certificate_per_role_and_one_container_holds_the_authority_s_key(
    state: Path,
) -> None:
    made = contents(state)
    holders = {name for name in made if name.endswith("/node_authority_key")}
    assert holders == {"gpu-scheduler/node_authority_key"}
    assert made["gpu-scheduler/node_authority"] == made["model-gateway/node_authority"]
    authority = state / "secrets/gpu-scheduler/node_authority"
    for service, role in (("gpu-scheduler", "scheduler"), ("model-gateway", "gateway")):
        certificate = state / f"secrets/{service}/node_client_certificate"
        purpose = ("-purpose", "sslclient", "-x509_strict", "-CAfile", str(authority))
        run("openssl", "verify", *purpose, str(certificate))
        assert f"URI:lares:role:{role}" in told(certificate, "-ext", "subjectAltName")
        assert "TLS Web Client Authentication" in told(certificate, "-ext", "extendedKeyUsage")
        key = state / f"secrets/{service}/node_client_key"
        assert told(certificate, "-pubkey") == run("openssl", "pkey", "-in", str(key), "-pubout")


def test_a_certificate_that_is_half_over_or_of_another_authority_is_made_anew(
    state: Path, tmp_path: Path
) -> None:
    house = tmp_path / "house"
    run("cp", "-a", str(state), str(house))
    certificate = house / "secrets/model-gateway/node_client_certificate"
    key, authority = (
        house / "secrets/model-gateway/node_client_key",
        house / "secrets/gpu-scheduler",
    )
    request = run("openssl", "req", "-new", "-key", str(key), "-subj", "/CN=model-gateway")
    signing = (
        "-CA",
        str(authority / "node_authority"),
        "-CAkey",
        str(authority / "node_authority_key"),
    )
    certificate.write_text(run("openssl", "x509", "-req", "-days", "300", *signing, stdin=request))
    digest = (house / "rendered/node-certificates").read_text()
    make(house)
    run("openssl", "x509", "-in", str(certificate), "-noout", "-checkend", str(400 * 86400))
    renewed = (house / "rendered/node-certificates").read_text()
    assert renewed != digest, "the containers would not be told"
    (authority / "node_authority_key").unlink()
    make(house)
    for service in ("gpu-scheduler", "model-gateway"):
        run(
            "openssl", "verify", "-CAfile", str(house / f"secrets/{service}/node_authority"),
            str(house / f"secrets/{service}/node_client_certificate"),
        )  # fmt: skip
