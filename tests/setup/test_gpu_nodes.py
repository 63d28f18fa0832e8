"""What set-up makes for GPU nodes: the token that is carried by hand, and the ways that are opened."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from node_agent import joining

ROOT = Path(__file__).resolve().parents[2]


def token(*said: str) -> str:
    command = [sys.executable, str(ROOT / "setup/gpu_token.py"), *said]
    environment = {"SECRET": "s" * 43}
    return subprocess.run(
        command, env=environment, check=True, capture_output=True, text=True
    ).stdout


@pytest.mark.parametrize("authority", ["-", "0f" * 32])
def test_the_node_reads_what_the_house_prints(authority: str) -> None:
    said = token("forge", "192.168.1.20", "192.168.1.10", "pi.local", "443", "80", authority)
    read = joining.read_token(said)
    assert (read.node, read.address, read.house, read.host) == (
        "forge", "192.168.1.20", "192.168.1.10", "pi.local",
    )  # fmt: skip
    assert (read.https_port, read.http_port, read.secret) == (443, 80, "s" * 43)
    assert read.authority_sha256 == (None if authority == "-" else authority)


def test_the_secret_is_never_on_a_command_line() -> None:
    """Everybody on the machine reads those."""
    for script in ("setup/gpu-node.sh", "gpu-node/setup/up.sh"):
        for line in (ROOT / script).read_text().splitlines():
            if "gpu_token.py" in line:
                assert line.strip().startswith("token=$(SECRET=$secret ")
            assert "joining $JOIN" not in line


RENDER = """
set -euo pipefail
LARES_ROOT=$PWD LARES_NET=10.89
fail() { echo "$*" >&2; exit 1; }
source setup/render.sh
"""


def render(state: Path) -> tuple[str, str]:
    environment = {"PATH": os.environ["PATH"], "LARES_STATE": str(state)}
    subprocess.run(["bash", "-c", RENDER], cwd=ROOT, env=environment, check=True, timeout=60)
    return (
        (state / "rendered/egress/acl.conf").read_text(),
        (state / "rendered/lan.list").read_text(),
    )


def test_a_node_is_reached_by_its_two_callers_on_its_one_port_and_by_nobody_else(
    tmp_path: Path,
) -> None:
    (tmp_path / "gpu-nodes").write_text(
        "forge 192.168.1.20 -\nanvil 192.168.1.21 aa:bb:cc:dd:ee:ff\n"
    )
    rules, pairs = render(tmp_path)
    assert pairs == "192.168.1.20 8443\n192.168.1.21 8443\n"
    clients = {line.split()[1] for line in rules.splitlines() if line.startswith("acl client_")}
    assert clients == {"client_caddy", "client_gpu-scheduler", "client_model-gateway"}
    for client, address in (("gpu-scheduler", "10.89.5.12"), ("model-gateway", "10.89.5.10")):
        assert f"acl client_{client} src {address}/32" in rules
        assert f"acl lan_{client}_1 dstdomain -n 192.168.1.21\n" in rules


def test_a_house_without_nodes_opens_nothing(tmp_path: Path) -> None:
    rules, pairs = render(tmp_path)
    assert pairs == ""
    assert "gpu-scheduler" not in rules


def test_sixteen_nodes_are_sixteen_servers_though_each_has_two_callers(tmp_path: Path) -> None:
    lines = [f"n{number} 192.168.1.{number + 20} -\n" for number in range(16)]
    (tmp_path / "gpu-nodes").write_text("".join(lines))
    assert len(render(tmp_path)[1].splitlines()) == 16
