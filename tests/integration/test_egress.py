"""egress-proxy lets each container ask for its own domains on port 443, and for nothing else.

The running proxy is asked from inside its clients' network namespaces; a server in a namespace of its own stands for
the outside. The rules are rendered by the real renderer from a list of the test.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.house import ROOT, Container, containers, run
from tests.integration.outside import OUTSIDE, outside

pytestmark = [pytest.mark.integration, pytest.mark.stack]

PROJECT = os.environ.get("LARES_TEST_PROJECT", "lares-test")
STATE = ROOT / {"lares-test": ".lares-test", "lares": ".lares"}[PROJECT]
ALLOWED, OTHERS, INWARD = "models.allowed.example", "certificates.example", "inward.allowed.example"

LIST = f"""
clients:
  model-gateway: {{domains: [{ALLOWED}, {INWARD}]}}
  caddy: {{domains: [{OTHERS}]}}
"""

CONNECT = """
import socket, sys
proxy, what = sys.argv[1], sys.argv[2]
with socket.create_connection((proxy, 3128), 5) as link:
    link.settimeout(8)
    link.sendall(what.encode().decode("unicode_escape").encode())
    answer = b""
    while len(answer) < 4096 and not answer.endswith(b"outside"):
        part = link.recv(4096)
        answer += part
        # A refusal is complete with its head; only a tunnel has more to come.
        if not part or (b"\\r\\n\\r\\n" in answer and b" 200 " not in answer[:16]): break
status = answer.split(b" ", 2)[1].decode() if answer.startswith(b"HTTP/") else "none"
print(status, "outside" if answer.endswith(b"outside") else "")
"""


def ask(client: Container, proxy: str, request_line: str) -> str:
    """Send one request to the proxy as a client; return the status, and "outside" if the outside answered."""
    request = f"{request_line} HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n"
    return run(
        "nsenter", "-t", str(client.pid), "-n", "/usr/bin/python3", "-c", CONNECT, proxy, request
    ).strip()


@pytest.fixture(scope="module")
def house(stack: object) -> dict[str, Container]:
    return {one.service: one for one in containers(PROJECT)}


@pytest.fixture(scope="module")
def proxy(house: dict[str, Container]) -> Iterator[str]:
    """The running proxy with the test's list, and names for the stand-in; both are taken back at the end."""
    one = house["egress-proxy"]
    rules = STATE / "rendered/egress/acl.conf"
    hosts = Path(run("docker", "inspect", "--format", "{{.HostsPath}}", one.id).strip())
    net = one.environment["LARES_BIND"].rsplit(".", 2)[0]
    extra = STATE / "tmp/egress-test.yaml"
    extra.parent.mkdir(exist_ok=True)
    extra.write_text(LIST)
    rules_before, hosts_before = rules.read_text(), hosts.read_text()
    rendered = run(
        "/usr/bin/python3",
        str(ROOT / "setup/render_egress.py"),
        net,
        str(ROOT / "networks/egress.yaml"),
        str(extra),
    )
    try:
        # Written into the same files: a bind mount follows the file, not its name.
        rules.write_text(rendered)
        hosts.write_text(
            f"{hosts_before}\n{OUTSIDE} {ALLOWED} {OTHERS} elsewhere.example\n10.0.0.1 {INWARD}\n"
        )
        run("docker", "exec", one.id, "squid", "-f", "/etc/lares/squid.conf", "-k", "reconfigure")
        with outside():
            yield one.environment["LARES_BIND"]
    finally:
        rules.write_text(rules_before)
        hosts.write_text(hosts_before)
        extra.unlink()
        subprocess.run(
            ["docker", "exec", one.id, "squid", "-f", "/etc/lares/squid.conf", "-k", "reconfigure"],
            check=False,
        )


def test_a_client_reaches_its_own_domain(house: dict[str, Container], proxy: str) -> None:
    assert ask(house["model-gateway"], proxy, f"CONNECT {ALLOWED}:443") == "200 outside"


def test_a_domain_of_another_client_is_refused(house: dict[str, Container], proxy: str) -> None:
    assert ask(house["model-gateway"], proxy, f"CONNECT {OTHERS}:443") == "403"
    assert ask(house["caddy"], proxy, f"CONNECT {OTHERS}:443") == "200 outside"


@pytest.mark.parametrize(
    "request_line",
    [
        "CONNECT elsewhere.example:443",
        f"CONNECT {OUTSIDE}:443",
        f"CONNECT {ALLOWED}.elsewhere.example:443",
        f"CONNECT {ALLOWED}:80",
        f"CONNECT {ALLOWED}:8883",
        f"GET http://{ALLOWED}/",
        f"GET https://{ALLOWED}/",
        f"POST http://{ALLOWED}:443/",
        f"CONNECT {INWARD}:443",
        "CONNECT 127.0.0.1:443",
        "CONNECT localhost:443",
        "CONNECT [::1]:443",
        "CONNECT 169.254.169.254:443",
        "GET http://127.0.0.1:3128/squid-internal-mgr/info",
    ],
)
def test_what_is_not_granted_is_refused(
    house: dict[str, Container], proxy: str, request_line: str
) -> None:
    status = ask(house["model-gateway"], proxy, request_line)
    assert status in {"403", "400"}, status
