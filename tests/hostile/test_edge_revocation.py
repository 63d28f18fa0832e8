"""What was allowed a moment ago is not allowed after a revocation."""

from __future__ import annotations

import asyncio
import time

import httpx

from tests.hostile.house import ALLAUTH, House, code_of

CACHE_SECONDS = 3.0


def seconds_until_denied(browser, path: str = "/api/x", limit: float = 6.0) -> float:
    began = time.monotonic()
    while time.monotonic() - began < limit:
        if browser.get(path).status_code == 401:
            return time.monotonic() - began
        time.sleep(0.02)
    raise AssertionError(f"still let in after {limit} s")


def second_browser(house: House, person):
    other = house.browser()
    assert other.login(person.username).status_code == 200
    return other


def test_18_a_remembered_decision_ends_at_logout(edge: House):
    person = edge.person()
    watcher = edge.browser()
    watcher.http.cookies.set("lares_session", person.session)
    assert watcher.get("/api/x").status_code == 200
    person.logout()
    assert seconds_until_denied(watcher) < 1.0


def test_18_a_remembered_decision_ends_when_the_session_is_revoked(house: House):
    person = house.person()
    other = second_browser(house, person)
    path = "/api/x" if house.parts else "/api/conversations"
    assert other.get(path).status_code == 200
    sessions = person.get(f"{ALLAUTH}/auth/sessions").json()["data"]
    theirs = [s["id"] for s in sessions if not s["is_current"]]
    assert person.delete(f"{ALLAUTH}/auth/sessions", {"sessions": theirs}).status_code == 200
    assert seconds_until_denied(other, path) < 1.0
    assert person.get(path).status_code == 200


def test_18_a_remembered_decision_ends_when_the_person_is_disabled(house: House):
    person = house.person()
    path = "/api/x" if house.parts else "/api/conversations"
    assert person.get(path).status_code == 200
    house.command("disable", person.username)
    assert seconds_until_denied(person, path) < 1.0


def test_18_nothing_is_remembered_while_revocations_are_not_heard(edge: House):
    person = edge.person()
    watcher = edge.browser()
    watcher.http.cookies.set("lares_session", person.session)
    assert watcher.get("/api/x").status_code == 200

    async def cut() -> int:
        connection = await edge.parts.postgres.connect()
        try:
            # Revoked in the same breath as the line is cut: nobody is told.
            return await connection.fetchval(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                "WHERE application_name = 'forward-auth revocations'"
            )
        finally:
            await connection.close()

    # A line that has just been made anew may be counted beside the one it replaces.
    assert asyncio.run(cut()) >= 1
    person.logout()
    assert seconds_until_denied(watcher) < CACHE_SECONDS


def test_19_nobody_gets_anothers_remembered_decision(edge: House):
    from kit.auth import CallerVerifier

    verifier = CallerVerifier(edge.parts.public_key)
    one, two = edge.person(), edge.person()
    for person in (one, two, one, two):
        assert person.get("/api/same").status_code == 200
        caller = verifier.verify(edge.parts.dashboard.headers()["x-lares-caller"])
        assert caller.username == person.username
    assert edge.browser().get("/api/same").status_code == 401


def test_19_a_remembered_read_does_not_open_a_stricter_path(edge: House):
    person = edge.person()
    assert person.get("/api/x").status_code == 200
    assert code_of(person.get("/api/vault")) == "edge.step_up_required"


def test_19_two_session_cookies_are_nobodys(house: House):
    person = house.resident()
    request = (
        f"GET /auth/me HTTP/1.1\r\nHost: {house.authority}\r\n"
        f"Cookie: lares_session={person.session}; lares_session=planted\r\nConnection: close\r\n\r\n"
    )
    assert b" 401 " in house.raw(request.encode()).split(b"\r\n")[0]


def test_11_an_open_stream_ends_within_five_seconds_of_logout(house: House):
    person = house.person()
    if house.parts:
        said_by_the_verifier(house, person)
        return
    session = person.session
    with person.http.stream(
        "GET", "/api/events", extensions={"sni_hostname": "lares.test"}, timeout=20
    ) as stream:
        assert stream.status_code == 200
        lines = stream.iter_lines()
        next(lines)
        other = house.browser()
        other.http.cookies.set("lares_session", session)
        other.logout()
        began = time.monotonic()
        for _ in lines:
            assert time.monotonic() - began < 5.0
    assert time.monotonic() - began < 5.0


def said_by_the_verifier(house: House, person) -> None:
    """Without the front service: what it asks every three seconds changes at once."""
    url = f"http://127.0.0.1:{house.parts.forward_auth_port}/v1/session"
    assert person.get("/api/x").status_code == 200
    caller = house.parts.dashboard.headers()["x-lares-caller"]
    first = httpx.post(url, json={"caller": caller}, trust_env=False).json()
    assert first["active"] is True
    assert first["exp"] > time.time() + 60
    person.logout()
    for token in (caller, first["caller"]):
        assert httpx.post(url, json={"caller": token}, trust_env=False).json() == {"active": False}
    forged = caller[:-4] + ("AAAA" if caller[-4:] != "AAAA" else "BBBB")
    refused = httpx.post(url, json={"caller": forged}, trust_env=False)
    assert code_of(refused) == "edge.caller_rejected"
