"""One reading of a path, or none."""

from __future__ import annotations

import pytest

from tests.hostile.house import House, code_of

# Each would be a way around the rule for /api/vault if two servers read it differently.
TRICKS = [
    "/%61pi/vault",
    "/api/%76ault",
    "//api/vault",
    "/api//vault",
    "/api/./vault",
    "/api/open/../vault",
    "/api/open/%2e%2e/vault",
    "/api/open/..%2fvault",
    "/api%2fvault",
    "/api/open;/../vault",
    "/api/vault;x=1",
    "/api/vault%3bx",
    "/api\\vault",
    "/api/open\\..\\vault",
    "/api/vault%5c",
    "/api/vault%00",
    "/api/open%00/../vault",
    "/api/vault%252f..",
    "/api/vault/",
    "/api/vault/.",
    "/api/vault%0d%0aX-Lares-Caller:%20x",
    "/api/vault%ff",
    "/api/vault?x=/api/open",
    "/api/open?/../vault",
]


def ask(house: House, path: str, session: str) -> tuple[int, bytes]:
    request = f"GET {path} HTTP/1.1\r\nHost: {house.authority}\r\nCookie: lares_session={session}\r\nConnection: close\r\n\r\n"
    answer = house.raw(request.encode("latin-1"))
    return int(answer.split(b" ", 2)[1]), answer


@pytest.mark.parametrize("path", TRICKS)
def test_04_a_path_is_decided_as_the_service_will_read_it_or_refused(edge: House, path: str):
    person = edge.resident()
    before = len(edge.parts.dashboard.seen)
    status, answer = ask(edge, path, person.session)
    arrived = edge.parts.dashboard.seen[before:]
    if status == 200:
        # Only what is about /api/open in every reading may pass.
        assert [a["path"] for a in arrived] == [path]
        assert path.partition("?")[0] == "/api/open"
    else:
        assert status in (400, 401), answer
        assert arrived == []


@pytest.mark.parametrize("path", TRICKS)
def test_04_no_trick_of_spelling_passes_without_a_session(house: House, path: str):
    status, answer = ask(house, path.replace("open", "x"), "nobody")
    assert status in (400, 401), answer


@pytest.mark.parametrize("path", ["/API/VAULT", "/Api/Vault", "/api/VAULT/x", "/aPi/vault"])
def test_05_letters_case_does_not_change_the_policy(edge: House, path: str):
    person = edge.resident()
    before = len(edge.parts.dashboard.seen)
    assert code_of(person.get(path)) == "edge.step_up_required"
    assert edge.parts.dashboard.seen[before:] == []


def test_05_a_denied_path_is_denied_in_any_case(edge: House):
    person = edge.person("owner")
    for path in ("/api/never", "/API/Never/x"):
        assert code_of(person.get(path)) == "edge.denied"


LURES = [
    "//evil.test",
    "///evil.test",
    "/\\evil.test",
    "\\\\evil.test",
    "/%5cevil.test",
    "https://evil.test",
    "https:evil.test",
    "javascript:alert(1)",
    "/\t/evil.test",
    "/%09/evil.test",
    "%2f%2fevil.test",
    "/.//evil.test",
    "/@evil.test",
    "",
    "evil.test",
    "/auth/invites",
]


@pytest.mark.parametrize("lure", LURES)
def test_12_a_return_address_outside_the_house_leads_to_the_first_page(house: House, lure: str):
    said = house.browser().http.get(
        "/auth/continue", params={"rd": lure}, extensions={"sni_hostname": "lares.test"}
    )
    assert said.status_code == 302
    assert said.headers["location"] == "/"


def test_12_a_page_of_the_house_is_kept_as_return_address(house: House):
    said = house.browser().get("/auth/continue?rd=%2Fmemory%3Fq%3Dlamp")
    assert said.headers["location"] == "/memory?q=lamp"
