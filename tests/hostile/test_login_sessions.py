"""Sessions: nobody plants one, steals one, or keeps one that has ended."""

from __future__ import annotations

import secrets

import pytest

from tests.hostile.authenticator import totp
from tests.hostile.house import ALLAUTH, PASSWORD, House, code_of


def test_20_a_session_planted_before_sign_in_is_not_the_one_after(house: House):
    person = house.person()
    victim = house.browser()
    planted = secrets.token_urlsafe(32)
    victim.http.cookies.set("lares_session", planted)
    said = victim.login(person.username)
    assert said.status_code == 200
    assert said.cookies["lares_session"] != planted
    attacker = house.browser()
    attacker.http.cookies.set("lares_session", planted)
    assert attacker.me().status_code == 401


def test_20_the_session_changes_at_sign_in_and_the_old_one_is_dead(house: House):
    person = house.person()
    person.http.cookies.delete("lares_session")
    secret_owner = house.browser()
    assert secret_owner.login(person.username).status_code == 200
    before = secret_owner.session
    assert secret_owner.reauthenticate().status_code == 200
    secret_owner.add_totp()
    secret_owner.logout()
    assert code_of(secret_owner.login(person.username)) == "identity.second_factor_pending"
    pending = secret_owner.session
    assert pending != before
    for dead in (before, pending):
        other = house.browser()
        other.http.cookies.set("lares_session", dead)
        assert other.me().status_code == 401, "half signed in is not signed in"


def test_20_the_database_knows_the_hash_of_a_session_alone(edge: House):
    import asyncio

    person = edge.person()

    async def look() -> str:
        connection = await edge.parts.postgres.connect()
        try:
            rows = await connection.fetch("SELECT * FROM edge.session")
            listed = await connection.fetch("SELECT * FROM edge.usersessions_usersession")
            return str([tuple(row) for row in [*rows, *listed]])
        finally:
            await connection.close()

    assert person.session
    assert person.session not in asyncio.run(look())


def test_21_a_password_alone_does_not_open_a_two_factor_path(house: House):
    owner = house.person("owner")
    refused = owner.post("/auth/invites", {"label": "guest"})
    assert code_of(refused) == "edge.step_up_required"
    assert code_of(owner.get("/auth/invites")) == "edge.step_up_required"
    owner.reauthenticate()
    secret = owner.add_totp()
    assert code_of(owner.post("/auth/invites", {"label": "guest"})) == "edge.step_up_required"
    said = owner.post(f"{ALLAUTH}/auth/2fa/reauthenticate", {"code": totp(secret)})
    assert said.status_code == 200, said.text
    assert owner.me().json()["aal"] == 2
    assert owner.post("/auth/invites", {"label": "guest"}).status_code == 201


def test_21_a_member_with_two_factors_may_still_not_invite(house: House):
    member = house.person()
    passkey = member.add_passkey()
    fresh = house.browser()
    assert fresh.passkey_login(passkey).status_code == 200
    assert fresh.me().json()["aal"] == 2
    assert code_of(fresh.post("/auth/invites", {"label": "x"})) in (
        "identity.forbidden",
        "identity.reauthentication_required",
    )
    assert code_of(fresh.get("/auth/invites")) == "identity.forbidden"


CHANGES = [
    ("POST", f"{ALLAUTH}/auth/login"),
    ("DELETE", f"{ALLAUTH}/auth/session"),
    ("DELETE", f"{ALLAUTH}/auth/sessions"),
    ("POST", f"{ALLAUTH}/account/password/change"),
    ("POST", f"{ALLAUTH}/account/authenticators/totp"),
    ("DELETE", f"{ALLAUTH}/account/authenticators/totp"),
    ("POST", f"{ALLAUTH}/account/authenticators/recovery-codes"),
    ("POST", "/auth/setup"),
    ("POST", "/auth/invites/accept"),
    ("POST", "/auth/recover"),
    ("POST", "/auth/tokens"),
    ("DELETE", "/auth/tokens/0123456789abcdef"),
]


@pytest.mark.parametrize(("method", "path"), CHANGES)
def test_22_a_change_without_the_pages_token_is_refused(house: House, method: str, path: str):
    person = house.resident()
    for headers in ({}, {"x-csrftoken": secrets.token_hex(16)}):
        said = person.request(method, path, {}, csrf=False, headers=headers)
        assert said.status_code == 403
        assert code_of(said) == "identity.csrf_rejected"
    assert person.me().status_code == 200


@pytest.mark.parametrize(("method", "path"), CHANGES)
def test_22_reading_never_changes_anything(house: House, method: str, path: str):
    person = house.person()
    body = {"username": person.username, "password": PASSWORD, "sessions": [1]}
    for verb in ("GET", "HEAD"):
        said = person.request(verb, path, body)
        assert said.status_code in (200, 404, 405), (said.status_code, said.text)
    assert person.me().status_code == 200
    assert len(person.get(f"{ALLAUTH}/auth/sessions").json()["data"]) == 1


def test_32_a_new_password_ends_every_other_session(house: House):
    person = house.person()
    other = house.browser()
    assert other.login(person.username).status_code == 200
    assert other.me().status_code == 200
    changed = person.post(
        f"{ALLAUTH}/account/password/change",
        {"current_password": PASSWORD, "new_password": "another lamp entirely"},
    )
    assert changed.status_code == 200, changed.text
    assert other.me().status_code == 401
    assert person.me().status_code == 200
    assert house.browser().login(person.username).status_code == 400
    assert house.browser().login(person.username, "another lamp entirely").status_code == 200


def test_32_a_new_password_wants_the_old_one(house: House):
    person = house.person()
    for old in ("wrong", "", None):
        said = person.post(
            f"{ALLAUTH}/account/password/change",
            {"current_password": old, "new_password": "another lamp entirely"},
        )
        assert said.status_code == 400, said.text
    assert house.browser().login(person.username).status_code == 200


def test_35_anothers_session_cannot_be_ended_and_is_not_known(house: House):
    victim, attacker = house.person(), house.person()
    theirs = victim.get(f"{ALLAUTH}/auth/sessions").json()["data"][0]["id"]
    for wanted in (theirs, 2**40):
        said = attacker.delete(f"{ALLAUTH}/auth/sessions", {"sessions": [wanted]})
        assert said.status_code == 404
        assert code_of(said) == "identity.session_unknown"
    assert victim.me().status_code == 200


def test_ending_ones_own_session_leaves_a_row_in_the_audit(house: House):
    person = house.person()
    other = house.browser()
    assert other.login(person.username).status_code == 200
    listed = person.get(f"{ALLAUTH}/auth/sessions").json()["data"]
    ids = [row["id"] for row in listed if not row["is_current"]]
    said = person.delete(f"{ALLAUTH}/auth/sessions", {"sessions": ids})
    assert said.status_code == 200, said.text
    assert other.me().status_code == 401
    events = [row["event"] for row in person.get("/auth/audit?limit=20").json()["events"]]
    assert "session.ended" in events


def test_35_anothers_token_cannot_be_ended_and_is_not_known(house: House):
    victim, attacker = house.person(), house.person()
    made = victim.post(
        "/auth/tokens", {"name": "n", "scopes": ["memory:read"], "expires_in_days": 1}
    )
    assert made.status_code == 201, made.text
    said = attacker.delete(f"/auth/tokens/{made.json()['id']}")
    assert (said.status_code, code_of(said)) == (404, "identity.token_unknown")
    assert victim.get("/auth/tokens").json()["tokens"][0]["state"] == "active"
