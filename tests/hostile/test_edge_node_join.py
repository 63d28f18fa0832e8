"""The one path of gpu-scheduler that the edge passes on, without a session: what a stranger can make of it."""

from __future__ import annotations

import pytest

from tests.hostile.house import House, code_of

JOIN = "/node/join"


def test_20_the_address_a_request_comes_from_is_written_by_the_edge_and_by_nobody_else(edge: House):
    """A token is for one address. Whoever could say where they are could be anywhere."""
    lies = {
        "X-Lares-Peer": "192.168.1.20",
        "x_lares_peer": "192.168.1.20",
        "X-Forwarded-For": "192.168.1.20",
        "X-Real-IP": "192.168.1.20",
        "Forwarded": "for=192.168.1.20",
        "X-Lares-Caller": "owner",
        "X-Lares-Service": "model-gateway",
        "Authorization": "Bearer x",
        "Cookie": "lares_session=x",
    }
    said = edge.browser().http.post(
        JOIN, json={"token": "x"}, headers=lies, extensions={"sni_hostname": "lares.test"}
    )
    assert said.status_code == 200
    arrived = edge.parts.gpu.last()
    assert [value for name, value in arrived["headers"] if name == "x-lares-peer"] == ["127.0.0.1"]
    assert "192.168.1.20" not in str(arrived["headers"])
    names = {name for name, _ in arrived["headers"]}
    assert not names & {"x_lares_peer", "x-lares-caller", "x-lares-service", "authorization", "cookie"}  # fmt: skip


@pytest.mark.parametrize(
    "path",
    [
        "/node", "/node/", "/node/join/", "/node/join/x", "/node/joined", "/v1/status", "/v1/orders", "/v1/queue",
        "/node/join/../../v1/orders", "/node/join%2f..%2f..%2fv1/orders", "/node//join", "/node/%6aoin/..", "/node/join;x",
        "/api/../node/join", "/metrics",
    ],
)  # fmt: skip
def test_20_no_other_path_of_the_scheduler_is_passed_on(edge: House, path: str):
    before = len(edge.parts.gpu.seen)
    for method in ("GET", "POST", "PUT"):
        request = f"{method} {path} HTTP/1.1\r\nHost: {edge.authority}\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}"
        edge.raw(request.encode())
    assert edge.parts.gpu.seen[before:] == []


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"])
def test_20_no_other_method_is_passed_on(edge: House, method: str):
    before = len(edge.parts.gpu.seen)
    edge.browser().http.request(method, JOIN, extensions={"sni_hostname": "lares.test"})
    assert edge.parts.gpu.seen[before:] == []


def test_20_a_websocket_is_not_passed_on(edge: House):
    before = len(edge.parts.gpu.seen)
    for path in (JOIN, "/v1/queue"):
        edge.raw(
            f"GET {path} HTTP/1.1\r\nHost: {edge.authority}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
        )
    assert edge.parts.gpu.seen[before:] == []


def test_20_a_body_without_a_length_is_refused(edge: House):
    before = len(edge.parts.gpu.seen)
    request = f"POST {JOIN} HTTP/1.1\r\nHost: {edge.authority}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n"
    assert b"edge.length_required" in edge.raw(request.encode())
    assert edge.parts.gpu.seen[before:] == []


# Last: the edge may have begun to pass such a body on when it finds out, and what then arrives behind it arrives late.
@pytest.mark.parametrize("length", [16 * 1024 + 1, 100_000])
def test_20_a_body_that_is_too_long_is_refused_as_that(edge: House, length: int):
    said = edge.browser().http.post(
        JOIN, content=b"x" * length, extensions={"sni_hostname": "lares.test"}
    )
    assert said.status_code == 413
    assert code_of(said) == "edge.body_too_large"
