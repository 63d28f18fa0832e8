"""What egress.yaml may say, and the rules that are made of it."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "networks" / "egress.yaml"
MACHINE = "192.168.1.5,172.17.0.0/16"


def render(tmp_path: Path, entry: Any) -> subprocess.CompletedProcess[str]:
    """Run the renderer as set-up does, with the shipped list and one of the house's own."""
    own = tmp_path / "egress.yaml"
    own.write_text(yaml.safe_dump({"clients": {"model-gateway": entry}}))
    command = ["setup/render_egress.py", "10.89", str(SHIPPED), str(own)]
    options = [f"--machine={MACHINE}", f"--pairs={tmp_path / 'pairs'}"]
    return subprocess.run(
        [sys.executable, *command, *options], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_an_address_at_home_is_granted_to_its_client_on_its_port_alone(tmp_path: Path) -> None:
    done = render(tmp_path, {"lan": ["192.168.1.20:11434", "10.0.0.7:8000", "192.168.1.20:11434"]})
    assert done.returncode == 0, done.stderr
    allowed = [line for line in done.stdout.splitlines() if line.startswith("http_access")]
    granted = [line for line in allowed if "client_model-gateway" in line]
    assert granted == [
        "http_access allow client_model-gateway lan_model-gateway_0 lan_model-gateway_0_port CONNECT",
        "http_access allow client_model-gateway lan_model-gateway_0 lan_model-gateway_0_port plain_http",
        "http_access allow client_model-gateway lan_model-gateway_1 lan_model-gateway_1_port CONNECT",
        "http_access allow client_model-gateway lan_model-gateway_1 lan_model-gateway_1_port plain_http",
    ]
    assert "acl client_model-gateway src 10.89.5.10/32" in done.stdout
    assert "acl lan_model-gateway_0 dstdomain -n 192.168.1.20\n" in done.stdout
    assert "acl lan_model-gateway_0_port port 11434\n" in done.stdout
    assert (tmp_path / "pairs").read_text() == "10.0.0.7 8000\n192.168.1.20 11434\n"


def test_a_domain_is_granted_by_connect_to_443_and_never_inward(tmp_path: Path) -> None:
    done = render(tmp_path, {"domains": ["models.example.org"]})
    assert (
        "http_access allow client_model-gateway domains_model-gateway CONNECT https_port !inward"
        in done.stdout.splitlines()
    )


def test_the_shipped_list_opens_nothing_at_home(tmp_path: Path) -> None:
    done = render(tmp_path, {})
    assert done.returncode == 0, done.stderr
    assert "model-gateway" not in done.stdout
    assert "plain_http" not in done.stdout
    assert (tmp_path / "pairs").read_text() == ""


@pytest.mark.parametrize(
    "said",
    [
        "192.168.1.20",
        "192.168.1.20:",
        "192.168.1.20:0",
        "192.168.1.20:65536",
        "192.168.1.20:011",
        "192.168.1.020:80",
        "192.168.1.256:80",
        "192.168.1:80",
        "192.168.1.0/24:80",
        "192.168.1.20:80 http_access allow all",
        "192.168.1.20:80\n",
        "gpu.lan:11434",
        "http://192.168.1.20:11434",
        "[fd00::20]:11434",
        11434,
        None,
        "127.0.0.1:11434",
        "0.0.0.0:11434",
        "169.254.169.254:80",
        "203.0.113.10:443",
        "100.64.0.1:80",
        "224.0.0.1:80",
        "10.89.10.2:5432",
        "10.89.99.1:80",
        "172.17.0.2:80",
        "192.168.1.5:22",
    ],
)
def test_what_is_no_server_on_the_home_network_is_refused_and_named(
    tmp_path: Path, said: Any
) -> None:
    done = render(tmp_path, {"lan": ["192.168.1.20:11434", said]})
    assert done.returncode == 1
    assert f"{said!r} under model-gateway" in done.stderr
    assert not done.stdout
    assert not (tmp_path / "pairs").exists()


def test_this_machines_own_networks_are_called_so(tmp_path: Path) -> None:
    assert (
        "172.17.0.0/16, which is this machine's own"
        in render(tmp_path, {"lan": ["172.17.0.2:80"]}).stderr
    )


def test_the_seventeenth_address_is_refused(tmp_path: Path) -> None:
    listed = [f"192.168.1.20:{port}" for port in range(8000, 8017)]
    assert render(tmp_path, {"lan": listed[:16]}).returncode == 0
    assert "more than 16" in render(tmp_path, {"lan": listed}).stderr


@pytest.mark.parametrize("entry", [{"lans": []}, {"lan": "192.168.1.20:11434"}, {"domains": "a.b"}])
def test_a_mistyped_entry_is_refused(tmp_path: Path, entry: dict[str, Any]) -> None:
    assert render(tmp_path, entry).returncode == 1
