"""The edge's configuration is one that Caddy takes, in each of the ways it can be set."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
CADDY = Path(sys.executable).with_name("caddy")


def adapted(tmp_path: Path, **settings: str) -> dict[str, Any]:
    env = {
        "HOME": str(tmp_path),
        "LARES_HOST": "lares.test",
        "LARES_FORWARD_AUTH_URL": "http://10.0.0.1:8000",
        "LARES_IDENTITY_URL": "http://10.0.0.2:8000",
        "LARES_DASHBOARD_URL": "http://10.0.0.3:8000",
        "LARES_MCP_GATEWAY_URL": "http://10.0.0.4:8000",
        "LARES_GPU_SCHEDULER_URL": "http://10.0.0.5:8000",
        **settings,
    }
    file = ROOT / "edge" / "caddy" / "Caddyfile"
    argv = [str(CADDY), "adapt", "--validate", "--config", str(file), "--adapter", "caddyfile"]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    # Its own notes and the configuration share the output; the configuration is the line that has the apps.
    return json.loads(next(line for line in done.stdout.splitlines() if '"apps"' in line))


def issuers(config: dict[str, Any]) -> set[str]:
    policies = config["apps"]["tls"]["automation"]["policies"]
    named = [p for p in policies if "lares.test" in p.get("subjects", [])]
    return {issuer["module"] for policy in named or policies for issuer in policy["issuers"]}


@pytest.mark.parametrize("email", ["", "ada@example.org"])
def test_acme_is_one_setting_with_or_without_an_address(tmp_path: Path, email: str):
    config = adapted(tmp_path, LARES_TLS="acme", LARES_ACME_EMAIL=email)
    assert issuers(config) == {"acme"}


def test_without_a_setting_the_house_is_its_own_authority(tmp_path: Path):
    assert issuers(adapted(tmp_path)) == {"internal"}


def test_the_administration_is_off_and_nothing_listens_on_every_address(tmp_path: Path):
    config = adapted(tmp_path, LARES_BIND="10.0.0.9")
    assert config["admin"]["disabled"] is True
    listened = [a for s in config["apps"]["http"]["servers"].values() for a in s["listen"]]
    assert sorted(listened) == ["10.0.0.9:8080", "10.0.0.9:8443"]


def test_a_way_of_trusting_that_is_not_known_is_refused(tmp_path: Path):
    with pytest.raises(AssertionError):
        adapted(tmp_path, LARES_TLS="off")
