"""Who is asking is said by the house alone."""

from __future__ import annotations

from uuid import UUID

import pytest
from kit.auth import CallerVerifier

from tests.hostile.house import ALLAUTH, House, code_of

STRICT = {
    "strict-transport-security": "max-age=",
    "content-security-policy": "frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "permissions-policy": "camera=()",
}


def test_01_a_spoofed_remote_user_never_arrives_and_the_caller_is_the_houses_own(edge: House):
    person = edge.resident()
    forged = {"Remote-User": "owner", "Remote-Groups": "admins", "X-Lares-Caller": "forged"}
    assert person.get("/api/x", headers=forged).status_code == 200
    arrived = edge.parts.dashboard.headers()
    assert not [name for name in arrived if name.startswith("remote")]
    caller = CallerVerifier(edge.parts.public_key).verify(arrived["x-lares-caller"])
    assert caller.username == person.username
    assert caller.subject == UUID(person.me().json()["subject"])
    assert edge.browser().get("/api/x", headers=forged).status_code == 401


SPELLINGS = [
    ("Remote_User", "owner"),
    ("REMOTE-USER", "owner"),
    ("rEmOtE_uSeR", "owner"),
    ("X_Lares_Caller", "forged"),
    ("x-LARES-caller", "forged"),
    ("X-Lares-Anything", "forged"),
    ("X_Forwarded_User", "owner"),
    ("X-Forwarded-User", "owner"),
    ("X-Original-URL", "/api/open"),
    ("X-Rewrite-URL", "/api/open"),
]


@pytest.mark.parametrize(("name", "value"), SPELLINGS)
def test_02_no_spelling_of_an_identity_header_arrives(edge: House, name: str, value: str):
    person = edge.resident()
    request = (
        f"GET /api/spelling HTTP/1.1\r\nHost: {edge.authority}\r\nCookie: lares_session={person.session}\r\n"
        f"{name}: {value}\r\n{name}: {value}\r\nConnection: close\r\n\r\n"
    )
    assert b" 200 " in edge.raw(request.encode())
    arrived = [n for n, v in edge.parts.dashboard.last()["headers"] if v == value]
    assert arrived == []
    callers = [n for n, _ in edge.parts.dashboard.last()["headers"] if "caller" in n]
    assert callers == ["x-lares-caller"]


def test_03_a_header_the_verifier_leaves_out_is_absent_and_no_placeholder(edge: House):
    said = edge.browser().get("/api/open", headers={"X-Lares-Caller": "mine"})
    assert said.status_code == 200
    arrived = edge.parts.dashboard.last()["headers"]
    assert not [pair for pair in arrived if "caller" in pair[0] or "{" in pair[1]]


def test_06_a_clients_forwarded_headers_are_ignored(edge: House):
    person = edge.resident()
    lies = {
        "X-Forwarded-Uri": "/api/open",
        "X-Forwarded-Method": "GET",
        "X-Forwarded-Host": "evil.test",
        "X-Forwarded-Proto": "http",
        "X-Forwarded-Upgrade": "no",
        "X-Forwarded-For": "203.0.113.9",
    }
    assert code_of(person.get("/api/vault", headers=lies)) == "edge.step_up_required"
    assert person.get("/api/x", headers=lies).status_code == 200
    arrived = edge.parts.dashboard.headers()
    assert arrived["x-forwarded-for"] == "127.0.0.1"
    assert arrived["x-forwarded-host"] == edge.authority
    assert "x-forwarded-uri" not in arrived


def test_the_session_stays_at_the_door(edge: House):
    person = edge.resident()
    assert person.get("/api/x", headers={"Authorization": "Bearer x"}).status_code == 200
    assert "cookie" not in edge.parts.dashboard.headers()
    assert "authorization" not in edge.parts.dashboard.headers()
    person.get("/mcp", headers={"Authorization": "Bearer x"})
    assert "cookie" not in edge.parts.mcp.headers()
    assert edge.parts.mcp.headers()["authorization"] == "Bearer x"
    assert "x-lares-caller" not in edge.parts.mcp.headers()


def test_17_strict_headers_are_on_every_answer(house: House):
    browser = house.browser()
    answers = [
        browser.get("/"),
        browser.get("/memory"),
        browser.get("/assets/missing.js"),
        browser.get("/api/x"),
        browser.get("/auth/me"),
        browser.get(f"{ALLAUTH}/config"),
        browser.get("/a%2fb"),
        browser.request("TRACE", "/"),
        browser.post("/auth/setup", {}, headers={"origin": "https://evil.test"}),
    ]
    for answer in answers:
        for name, part in STRICT.items():
            assert part in answer.headers.get(name, ""), (answer.url, answer.status_code, name)
        assert "server" not in answer.headers
        assert "unsafe-inline" not in answer.headers["content-security-policy"]


def test_17_strict_headers_are_on_refusals_of_the_edge_itself(edge: House):
    edge.parts.forward_auth.stop()
    try:
        answer = edge.browser().get("/api/x")
    finally:
        edge.parts.forward_auth.start(f"http://127.0.0.1:{edge.parts.forward_auth_port}/readyz")
    assert answer.status_code == 503
    for name, part in STRICT.items():
        assert part in answer.headers.get(name, ""), name
