"""Requests that are too large, ambiguous, for somebody else, or past the door."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import subprocess
import sys
import time

import pytest

from tests.hostile.house import HOST, House, code_of, drain


def test_07_the_verifier_and_the_services_are_reached_through_the_edge_alone(house: House):
    for path in ("/verify", "/v1/introspect", "/v1/session"):
        said = house.browser().get(path, headers={"X-Forwarded-Uri": "/"})
        assert "x-lares-caller" not in said.headers
        assert said.headers["content-type"].startswith("text/html"), "the page, not the verifier"
    if house.parts is None:
        net = os.environ.get("LARES_TEST_NET", "10.90")
        for address in (f"{net}.{number}.2" for number in (1, 2, 3, 4)):
            assert b"x-correlation-id" not in asked_directly(address), address


def asked_directly(address: str) -> bytes:
    """What comes back from a service's own address; each of ours would sign its answer with a correlation id."""
    request = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    try:
        with socket.create_connection((address, 8000), timeout=1) as plain:
            plain.sendall(request)
            return drain(plain).lower()
    except OSError:
        return b""


@pytest.mark.parametrize("service", ["identity", "forward-auth"])
def test_07_a_service_refuses_to_listen_on_every_address(edge: House, service: str):
    part = {"identity": edge.parts.identity, "forward-auth": edge.parts.forward_auth}[service]
    env = {**part.env, "LARES_BIND": "0.0.0.0", "LARES_PORT": "1"}
    done = subprocess.run(part.argv, env=env, capture_output=True, timeout=30)
    assert done.returncode != 0
    assert b"kit.bind_refused" in done.stdout + done.stderr


def test_08_a_verifier_that_is_down_lets_nobody_in(edge: House):
    person = edge.resident()
    edge.parts.forward_auth.stop()
    try:
        before = len(edge.parts.dashboard.seen)
        for path in ("/api/x", "/api/open", "/auth/me"):
            said = person.get(path)
            assert said.status_code == 503
            assert code_of(said) == "edge.upstream_unavailable"
        assert edge.parts.dashboard.seen[before:] == []
    finally:
        edge.parts.forward_auth.start(f"http://127.0.0.1:{edge.parts.forward_auth_port}/readyz")
    assert person.get("/api/x").status_code == 200


def test_08_a_verifier_that_is_slow_lets_nobody_in(edge: House):
    person = edge.resident()
    running = edge.parts.forward_auth.running
    assert running
    before = len(edge.parts.dashboard.seen)
    running.send_signal(signal.SIGSTOP)
    try:
        began = time.monotonic()
        said = person.get("/api/x")
        assert said.status_code == 503
        assert time.monotonic() - began < 6
    finally:
        running.send_signal(signal.SIGCONT)
    assert edge.parts.dashboard.seen[before:] == []


def test_08_a_database_that_is_away_lets_nobody_in(edge: House):
    from kit.testing.containers import docker

    person = edge.resident()
    name = edge.parts.postgres.container.name
    before = len(edge.parts.dashboard.seen)
    docker("pause", name)
    try:
        assert person.post("/api/x").status_code in (502, 503)
        assert edge.parts.dashboard.seen[before:] == []
        time.sleep(4)
        # By now a remembered decision has ended too.
        assert person.get("/api/x").status_code in (502, 503)
        assert edge.parts.dashboard.seen[before:] == []
    finally:
        docker("unpause", name)
    deadline = time.monotonic() + 20
    while person.get("/api/x").status_code != 200:
        assert time.monotonic() < deadline, "the door opens again by itself"
        time.sleep(0.3)


def upgrade(house: House, session: str, origin: str) -> bytes:
    request = (
        f"GET /api/events HTTP/1.1\r\nHost: {house.authority}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        f"Cookie: lares_session={session}\r\nOrigin: {origin}\r\n\r\n"
    )
    return house.raw(request.encode(), timeout=1)


def test_09_a_websocket_without_a_session_is_refused(house: House):
    assert b" 401 " in upgrade(house, "nobody", house.origin).split(b"\r\n")[0]


def test_10_a_websocket_from_another_origin_is_refused(house: House):
    person = house.resident()
    for origin in (
        "https://evil.test",
        "null",
        f"https://{HOST}.evil.test",
        f"http://{house.authority}",
    ):
        assert b" 403 " in upgrade(house, person.session, origin).split(b"\r\n")[0]


def test_10_a_websocket_of_the_houses_own_page_passes(edge: House):
    person = edge.resident()
    assert b" 101 " in upgrade(edge, person.session, edge.origin).split(b"\r\n")[0]


@pytest.mark.parametrize("origin", ["https://evil.test", "null", "https://lares.test.evil.test"])
def test_10_a_change_from_another_origin_is_refused(house: House, origin: str):
    person = house.resident()
    assert code_of(person.post("/api/x", headers={"origin": origin})) == "edge.origin_rejected"


def test_10_a_change_without_any_origin_is_refused(house: House):
    person = house.resident()
    request = (
        f"POST /api/x HTTP/1.1\r\nHost: {house.authority}\r\nCookie: lares_session={person.session}\r\n"
        "Content-Length: 0\r\nConnection: close\r\n\r\n"
    )
    assert b"edge.origin_rejected" in house.raw(request.encode())


def test_13_an_oversized_body_is_refused(house: House):
    person = house.resident()
    said = person.request("POST", "/auth/setup", {"token": "x" * 70_000})
    assert said.status_code == 413
    assert person.request("POST", "/api/x", {"text": "x" * 1_100_000}).status_code == 413


def test_13_oversized_headers_are_refused(house: House):
    request = f"GET / HTTP/1.1\r\nHost: {house.authority}\r\nX-Big: {'x' * 40_000}\r\n\r\n"
    assert b" 431 " in house.raw(request.encode()).split(b"\r\n")[0]


SMUGGLED = "0\r\n\r\nGET /api/smuggled HTTP/1.1\r\nHost: lares.test\r\n\r\n"
FRAMINGS = {
    "length and chunks": ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", SMUGGLED),
    "two lengths": ("Content-Length: 5\r\nContent-Length: 6\r\n", "12345"),
    "a list of lengths": ("Content-Length: 5, 6\r\n", "12345"),
    "a signed length": ("Content-Length: +5\r\n", "12345"),
    "chunks of another name": ("Content-Length: 5\r\nTransfer-Encoding: xchunked\r\n", SMUGGLED),
    "chunks twice": ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", SMUGGLED),
    "chunks alone": ("Transfer-Encoding: chunked\r\n", SMUGGLED),
    "a space before the colon": ("Content-Length : 5\r\n", "12345"),
}


@pytest.mark.parametrize("kind", list(FRAMINGS))
def test_14_a_body_whose_length_is_in_doubt_is_refused(house: House, kind: str):
    headers, body = FRAMINGS[kind]
    request = f"POST /api/x HTTP/1.1\r\nHost: {house.authority}\r\nOrigin: {house.origin}\r\n{headers}\r\n{body}"
    answer = house.raw(request.encode(), timeout=3)
    assert answer.split(b" ", 2)[1] in (b"400", b"501"), answer[:200]
    if house.parts:
        assert "/api/smuggled" not in [a["path"] for a in house.parts.dashboard.seen]


def test_15_an_unknown_host_gets_nothing(house: House):
    for host in ("evil.test", "127.0.0.1", f"{HOST}.evil.test", ""):
        request = f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        assert b"200" not in house.raw(request.encode(), timeout=2)[:20]
    assert house.raw(b"GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n", timeout=2) == b""


def test_15_an_unknown_name_gets_no_certificate(house: House):
    with pytest.raises((ssl.SSLError, ConnectionError)):
        house.raw(b"GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n", host="evil.test", timeout=2)


def test_15_an_unknown_host_gets_nothing_in_the_clear(house: House):
    with socket.create_connection(("127.0.0.1", house.http_port), timeout=2) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n")
        assert drain(plain) == b""


def test_15_in_the_clear_there_is_a_redirect_and_the_authoritys_certificate_alone(house: House):
    def ask(path: str) -> bytes:
        with socket.create_connection(("127.0.0.1", house.http_port), timeout=2) as plain:
            plain.sendall(
                f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode()
            )
            return drain(plain)

    assert f"Location: {house.origin}/memory".encode() in ask("/memory")
    assert b"BEGIN CERTIFICATE" in ask("/lares-ca.crt")
    for path in (
        "/lares-ca.crt/../root.key",
        "/lares-ca.crt/root.key",
        "/root.key",
        "/lares-ca.crt%2f..%2froot.key",
    ):
        assert b"PRIVATE" not in ask(path)


def test_16_the_edges_administration_is_closed(house: House):
    if house.parts is None:
        with socket.socket() as probe:
            probe.settimeout(1)
            assert probe.connect_ex((f"{os.environ.get('LARES_TEST_NET', '10.90')}.0.2", 2019)) != 0
        return
    running = house.parts.caddy.running
    assert running
    listening = subprocess.run(
        [sys.executable, "-c", LISTENERS, str(running.pid)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert sorted(map(int, listening)) == sorted({house.port, house.http_port})


LISTENERS = """
import os, sys
pid = sys.argv[1]
own = {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd") if os.path.islink(f"/proc/{pid}/fd/{fd}")}
ports = set()
for table in ("tcp", "tcp6"):
    for line in open(f"/proc/{pid}/net/{table}").readlines()[1:]:
        fields = line.split()
        if fields[3] == "0A" and f"socket:[{fields[9]}]" in own:
            ports.add(int(fields[1].rsplit(":", 1)[1], 16))
print(*ports)
"""
