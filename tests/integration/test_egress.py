"""egress-proxy lets each container ask for its own domains on port 443 and its own servers at home, and nothing else.

The running proxy is asked from inside its clients' network namespaces; a server in a namespace of its own stands for
the outside. The rules are rendered by the real renderer from a list of the test.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.house import ROOT, Container, containers, run
from tests.integration.outside import (
    HOME_HOST_SIDE,
    HOME_NEIGHBOUR,
    HOME_SERVER,
    HTTP_PORT,
    OUTSIDE,
    outside,
)

pytestmark = [pytest.mark.integration, pytest.mark.stack]

PROJECT = os.environ.get("LARES_TEST_PROJECT", "lares-test")
STATE = ROOT / {"lares-test": ".lares-test", "lares": ".lares"}.get(PROJECT, f".{PROJECT}")
ALLOWED, OTHERS, INWARD = "models.allowed.example", "certificates.example", "inward.allowed.example"
# A name for the server at home, granted as a domain: the address is granted, the name is not.
HOME_NAME = "gpu.allowed.example"
TLS_PORT = 8443

LIST = f"""
clients:
  model-gateway:
    domains: [{ALLOWED}, {INWARD}, {HOME_NAME}]
    lan: ["{HOME_SERVER}:{HTTP_PORT}", "{HOME_SERVER}:{TLS_PORT}"]
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


@contextmanager
def replaced(contents: dict[Path, str]) -> Iterator[None]:
    """Write into files, and write back what they held: a bind mount follows the file, not its name."""
    before = {path: path.read_text() if path.exists() else None for path in contents}
    try:
        for path, text in contents.items():
            path.write_text(text)
        yield
    finally:
        for path, text_before in before.items():
            if text_before is None:
                path.unlink()
            else:
                path.write_text(text_before)


def reread(one: Container) -> None:
    """Let the proxy and the firewall take up what the files say."""
    run("docker", "exec", one.id, "squid", "-f", "/etc/lares/squid.conf", "-k", "reconfigure")
    run(str(ROOT / "setup/firewall.sh"), str(STATE))


@pytest.fixture(scope="module")
def proxy(house: dict[str, Container], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The running proxy with the test's list, and names for the stand-in; both are taken back at the end."""
    one = house["egress-proxy"]
    hosts = Path(run("docker", "inspect", "--format", "{{.HostsPath}}", one.id).strip())
    net = one.environment["LARES_BIND"].rsplit(".", 2)[0]
    folder = tmp_path_factory.mktemp("egress")
    (folder / "egress.yaml").write_text(LIST)
    lists = [str(ROOT / "networks/egress.yaml"), str(folder / "egress.yaml")]
    renderer = ["/usr/bin/python3", str(ROOT / "setup/render_egress.py")]
    rules = run(*renderer, net, *lists, f"--pairs={folder / 'lan.list'}")
    names = f"{OUTSIDE} {ALLOWED} {OTHERS} elsewhere.example\n10.0.0.1 {INWARD}\n{HOME_SERVER} {HOME_NAME}\n"
    # This machine's own address, as if it had come to be one after the list was checked.
    pairs = (folder / "lan.list").read_text() + f"{HOME_HOST_SIDE} {HTTP_PORT}\n"
    contents = {
        STATE / "rendered/egress/acl.conf": rules,
        STATE / "rendered/lan.list": pairs,
        hosts: f"{hosts.read_text()}\n{names}",
    }
    try:
        with outside(), replaced(contents):
            reread(one)
            yield one.environment["LARES_BIND"]
    finally:
        reread(one)


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
        f"CONNECT {HOME_SERVER}:443",
        f"CONNECT {HOME_SERVER}:22",
        f"GET http://{HOME_SERVER}/",
        f"GET ftp://{HOME_SERVER}:{HTTP_PORT}/",
        f"GET https://{HOME_SERVER}:{HTTP_PORT}/",
        f"CONNECT {HOME_NEIGHBOUR}:{HTTP_PORT}",
        f"GET http://{HOME_NEIGHBOUR}:{HTTP_PORT}/",
        f"CONNECT {HOME_HOST_SIDE}:{HTTP_PORT}",
        f"CONNECT {HOME_NAME}:443",
        f"CONNECT {HOME_NAME}:{HTTP_PORT}",
        f"GET http://{HOME_NAME}:{HTTP_PORT}/",
    ],
)
def test_what_is_not_granted_is_refused(
    house: dict[str, Container], proxy: str, request_line: str
) -> None:
    status = ask(house["model-gateway"], proxy, request_line)
    assert status in {"403", "400"}, status


def test_a_client_reaches_its_own_server_at_home_in_http_and_by_connect(
    house: dict[str, Container], proxy: str
) -> None:
    gateway = house["model-gateway"]
    assert ask(gateway, proxy, f"GET http://{HOME_SERVER}:{HTTP_PORT}/v1") == "200 outside"
    assert ask(gateway, proxy, f"CONNECT {HOME_SERVER}:{TLS_PORT}") == "200 outside"


@pytest.mark.parametrize(
    "request_line",
    [f"GET http://{HOME_SERVER}:{HTTP_PORT}/v1", f"CONNECT {HOME_SERVER}:{TLS_PORT}"],
)
def test_a_server_at_home_of_another_client_is_refused(
    house: dict[str, Container], proxy: str, request_line: str
) -> None:
    assert ask(house["caddy"], proxy, request_line) == "403"


def test_the_firewall_opens_the_granted_address_and_port_and_never_this_machine(
    house: dict[str, Container], proxy: str
) -> None:
    granted = {(HOME_SERVER, HTTP_PORT), (HOME_SERVER, TLS_PORT)}
    others = {(HOME_SERVER, 443), (HOME_SERVER, 80), (HOME_NEIGHBOUR, HTTP_PORT)}
    host = (HOME_HOST_SIDE, HTTP_PORT)
    with socket.create_server(host):
        assert house["egress-proxy"].reaches(granted | others | {host}) == granted
    # Around the proxy there is no way at all.
    assert not house["model-gateway"].reaches(granted)
