"""Passkeys, set-up, invitations, recovery and tokens: each lets in whom it should, once, and nobody else."""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
from typing import Any

import httpx
import pytest

from tests.hostile.house import ALLAUTH, PASSWORD, House, code_of

FORGERIES: dict[str, dict[str, Any]] = {
    "another origin": {"origin": "https://evil.test"},
    "a lookalike origin": {"origin": "https://lares.test.evil.test"},
    "plain http": {"origin": "http://lares.test"},
    "another relying party": {"rp_id": "evil.test"},
    "another challenge": {"challenge": "bm90IHRoZSBjaGFsbGVuZ2U"},
    "an answer to another question": {"type": "webauthn.create"},
    "a person who was not verified": {"verified": False},
    "another person's handle": {"user_handle": b"00000000000000000000000000000000"},
    "a handle that is no handle": {"user_handle": b"\xff\xfe"},
}


@pytest.fixture(scope="module")
def keeper(house_parts: House):
    """Somebody with a passkey."""
    person = house_parts.person()
    return person, person.add_passkey()


@pytest.mark.parametrize("kind", list(FORGERIES))
def test_30_a_passkey_answer_that_is_not_for_this_house_is_refused(house: House, keeper, kind: str):
    _, passkey = keeper
    browser = house.browser()
    said = browser.passkey_login(passkey, **FORGERIES[kind])
    assert said.status_code == 400, said.text
    assert browser.me().status_code == 401


def test_30_a_passkey_answer_works_once(house: House, keeper):
    _, passkey = keeper
    browser = house.browser()
    where = f"{ALLAUTH}/auth/webauthn/login"
    options = browser.get(where).json()["data"]["request_options"]
    answer = {"credential": passkey.get(options)}
    assert browser.post(where, answer).status_code == 200
    browser.logout()
    assert browser.post(where, answer).status_code == 400
    browser.get(where)
    assert browser.post(where, answer).status_code == 400


def test_30_a_passkey_of_somebody_else_signs_in_nobody(house: House, keeper):
    person, passkey = keeper
    stranger = house.passkey()
    stranger.id, stranger.user_handle = passkey.id, passkey.user_handle
    assert house.browser().passkey_login(stranger).status_code == 400
    assert person.me().status_code == 200


def test_30_a_passkey_made_for_another_house_is_not_added(house: House):
    person = house.person()
    for forged in (
        {"origin": "https://evil.test"},
        {"rp_id": "evil.test"},
        {"type": "webauthn.get"},
    ):
        where = f"{ALLAUTH}/account/authenticators/webauthn"
        options = person.get(f"{where}?passwordless").json()["data"]["creation_options"]
        credential = house.passkey().create(options, **forged)
        said = person.post(where, {"name": "k", "credential": credential})
        assert said.status_code == 400, said.text
    assert person.get(f"{ALLAUTH}/account/authenticators").json()["data"] == []


def test_30_a_malformed_passkey_answer_is_refused_and_breaks_nothing(house: House):
    where = f"{ALLAUTH}/auth/webauthn/login"
    for credential in (
        {},
        {"id": 1},
        [],
        "x",
        {"id": "AA", "rawId": "AA", "type": "public-key", "response": {}},
    ):
        browser = house.browser()
        browser.get(where)
        assert browser.post(where, {"credential": credential}).status_code == 400


SENSITIVE = [
    ("GET", f"{ALLAUTH}/account/authenticators/webauthn?passwordless", None),
    ("POST", "/auth/tokens", {"name": "n", "scopes": ["memory:read"], "expires_in_days": 1}),
    ("DELETE", f"{ALLAUTH}/account/authenticators/totp", {}),
    ("POST", f"{ALLAUTH}/account/authenticators/recovery-codes", {}),
    ("GET", f"{ALLAUTH}/account/authenticators/recovery-codes", None),
]


@pytest.mark.parametrize(("method", "path", "body"), SENSITIVE)
def test_31_a_sensitive_change_wants_a_fresh_reauthentication(
    house: House, keeper_with_app, method: str, path: str, body: Any
):
    username, passkey = keeper_with_app
    browser = house.browser()
    assert browser.passkey_login(passkey).status_code == 200
    assert browser.me().json()["username"] == username
    said = browser.request(method, path, body)
    assert said.status_code == 401
    assert code_of(said) == "identity.reauthentication_required"


@pytest.fixture(scope="module")
def keeper_with_app(house_parts: House):
    """Somebody with a passkey and an authenticator app."""
    person = house_parts.person()
    passkey = person.add_passkey()
    person.add_totp()
    return person.username, passkey


def test_31_after_a_fresh_reauthentication_it_is_allowed(house: House):
    person = house.person()
    browser = house.browser()
    assert browser.login(person.username).status_code == 200
    body = {"name": "n", "scopes": ["memory:read"], "expires_in_days": 1}
    assert code_of(browser.post("/auth/tokens", body)) == "identity.reauthentication_required"
    assert browser.reauthenticate("wrong").status_code == 400
    assert code_of(browser.post("/auth/tokens", body)) == "identity.reauthentication_required"
    assert browser.reauthenticate().status_code == 200
    assert browser.post("/auth/tokens", body).status_code == 201


@pytest.mark.usefixtures("unslowed")
def test_33_of_many_first_requests_one_makes_the_owner(edge: House):
    results: list[httpx.Response] = []
    gate = threading.Barrier(6)

    def claim(number: int) -> None:
        browser = edge.browser()
        browser.csrf_token()
        body = {"token": edge.parts.setup_token, "username": f"first{number}", "password": PASSWORD}
        gate.wait()
        results.append(browser.post("/auth/setup", body))

    assert edge.browser().get("/auth/setup").json() == {"needed": True}
    wrong = edge.browser().post(
        "/auth/setup", {"token": "x", "username": "eve", "password": PASSWORD}
    )
    assert code_of(wrong) == "identity.setup_token_rejected"
    threads = [threading.Thread(target=claim, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(r.status_code for r in results) == [201, 409, 409, 409, 409, 409]
    people = edge.command("people")
    assert sum(line.startswith("first") for line in people.splitlines()) == 1
    again = edge.browser().post(
        "/auth/setup", {"token": edge.parts.setup_token, "username": "late", "password": PASSWORD}
    )
    assert code_of(again) == "identity.setup_done"
    assert edge.browser().get("/auth/setup").json() == {"needed": False}


@pytest.mark.usefixtures("unslowed")
def test_34_an_invitation_works_once_also_when_two_use_it_at_once(house: House):
    token = house.invite()
    results: list[int] = []
    gate = threading.Barrier(4)

    def accept(number: int) -> None:
        browser = house.browser()
        browser.csrf_token()
        body = {
            "token": token,
            "username": f"g{token[:6].lower().strip('-_')}{number}",
            "password": PASSWORD,
        }
        gate.wait()
        results.append(browser.post("/auth/invites/accept", body).status_code)

    threads = [threading.Thread(target=accept, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [201, 403, 403, 403]


@pytest.mark.usefixtures("unslowed")
def test_34_used_revoked_and_unknown_invitations_read_the_same(house: House):
    used = house.invite()
    body = {"username": "", "password": PASSWORD}
    first = house.browser().post(
        "/auth/invites/accept",
        {**body, "token": used, "username": f"u{used[:5].lower().strip('-_')}x"},
    )
    assert first.status_code == 201
    answers = [
        house.browser().post("/auth/invites/accept", {**body, "token": token, "username": "late"})
        for token in (used, "unknown")
    ]
    assert {code_of(a) for a in answers} == {"identity.invite_rejected"}


def test_34_a_refused_name_or_password_does_not_use_the_invitation_up(house: House):
    person = house.resident()
    token = house.invite()
    tries = [
        (person.username, PASSWORD, "identity.username_taken"),
        ("../root", PASSWORD, "identity.username_invalid"),
        ("someone", "short", "identity.password_weak"),
        ("someone", "password123", "identity.password_weak"),
    ]
    for username, password, code in tries:
        body = {"token": token, "username": username, "password": password}
        assert code_of(house.browser().post("/auth/invites/accept", body)) == code
    body = {"token": token, "username": f"s{token[:5].lower().strip('-_')}y", "password": PASSWORD}
    assert house.browser().post("/auth/invites/accept", body).status_code == 201


def test_a_recovery_link_sets_a_password_once_and_ends_every_session(house: House):
    person = house.person()
    person.add_totp()
    said = house.command("recovery-link", person.username, "--reset-second-factor")
    token = said.strip().splitlines()[0].rpartition("#")[2]
    body = {"token": token, "password": "found my way back home"}
    assert house.browser().post("/auth/recover", body).status_code == 200
    assert person.me().status_code == 401
    assert code_of(house.browser().post("/auth/recover", body)) == "identity.recovery_rejected"
    assert house.browser().login(person.username, "found my way back home").status_code == 200


def test_a_recovery_token_is_no_invitation_and_the_reverse(house: House):
    person = house.resident()
    recovery = (
        house.command("recovery-link", person.username).strip().splitlines()[0].rpartition("#")[2]
    )
    body = {"token": recovery, "username": "intruder", "password": PASSWORD}
    assert code_of(house.browser().post("/auth/invites/accept", body)) == "identity.invite_rejected"
    body = {"token": house.invite(), "password": PASSWORD}
    assert code_of(house.browser().post("/auth/recover", body)) == "identity.recovery_rejected"


def introspect(edge: House, token: str) -> dict[str, Any]:
    url = f"http://127.0.0.1:{edge.parts.forward_auth_port}/v1/introspect"
    return httpx.post(url, json={"token": token}, trust_env=False).json()


def test_an_access_token_is_good_until_it_is_revoked_and_its_secret_is_kept_nowhere(edge: House):
    from kit.auth import CallerVerifier

    person = edge.person()
    made = person.post(
        "/auth/tokens", {"name": "reader", "scopes": ["memory:read"], "expires_in_days": 7}
    ).json()
    said = introspect(edge, made["secret"])
    assert said["active"] is True
    caller = CallerVerifier(edge.parts.public_key).verify(said["caller"])
    assert (caller.kind, caller.db_role, caller.read_only) == ("token", "lares_mcp", True)
    assert made["secret"] not in person.get("/auth/tokens").text
    wrong = made["secret"][:-1] + ("0" if made["secret"][-1] != "0" else "1")
    for bad in (
        wrong,
        "lares_pat_x",
        made["secret"] + "\n",
        f"lares_pat_{'0' * 16}_{'0' * 64}",
        "x",
    ):
        assert introspect(edge, bad) == {"active": False}
    assert person.delete(f"/auth/tokens/{made['id']}").status_code == 204
    assert introspect(edge, made["secret"]) == {"active": False}

    async def look() -> str:
        connection = await edge.parts.postgres.connect()
        try:
            return str(await connection.fetch("SELECT * FROM edge.access_token"))
        finally:
            await connection.close()

    assert made["secret"].rpartition("_")[2] not in asyncio.run(look())


def test_an_access_token_of_a_disabled_person_is_dead(edge: House):
    person = edge.person()
    body = {"name": "w", "scopes": ["memory:write"], "expires_in_days": 7, "tiers": ["sensitive"]}
    secret = person.post("/auth/tokens", body).json()["secret"]
    assert introspect(edge, secret)["active"] is True
    edge.command("disable", person.username)
    assert introspect(edge, secret) == {"active": False}


@pytest.mark.parametrize(
    "wrong",
    [
        {"scopes": ["everything"]},
        {"scopes": []},
        {"scopes": ["inference:manage"]},  # a member's
        {"expires_in_days": 0},
        {"expires_in_days": 366},
        {"tiers": ["sacred"]},
        {"name": ""},
    ],
)
def test_an_access_token_is_never_wider_than_the_house_allows(house: House, wrong: dict[str, Any]):
    person = house.resident()
    person.reauthenticate()
    body = {"name": "n", "scopes": ["memory:read"], "expires_in_days": 1, **wrong}
    assert code_of(person.post("/auth/tokens", body)) == "identity.token_invalid"


def test_every_event_is_accounted_for_without_secrets(house: House):
    person = house.person()
    other = house.person()
    person.login(person.username, "a wrong password")
    stranger = house.browser()
    stranger.login(person.username, "a wrong password")
    passkey = person.add_passkey()
    made = person.post(
        "/auth/tokens", {"name": "n", "scopes": ["memory:read"], "expires_in_days": 1}
    ).json()
    person.request("POST", "/auth/tokens", {}, csrf=False)
    stranger.passkey_login(passkey, origin="https://evil.test")
    events = person.get("/auth/audit?limit=200").json()["events"]
    names = {event["event"] for event in events}
    assert {
        "invite.accepted",
        "signed_in",
        "password.rejected",
        "authenticator.added",
        "token.made",
        "csrf.rejected",
    } <= names
    assert all(event["subject"] == person.me().json()["subject"] for event in events)
    text = json.dumps(events)
    for secret in (PASSWORD, "a wrong password", made["secret"], person.session, other.username):
        assert secret not in text
    assert hashlib.sha256(made["secret"].encode()).hexdigest() not in text


def test_the_account_can_be_added_to_and_never_changed(edge: House):
    import asyncpg

    async def attack(statement: str) -> None:
        connection = await edge.parts.postgres.connect("svc_identity")
        try:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
        finally:
            await connection.close()

    for statement in (
        "UPDATE edge.audit_event SET event = 'x'",
        "DELETE FROM edge.audit_event",
        "TRUNCATE edge.audit_event",
        "DELETE FROM edge.person",
        "DELETE FROM edge.setup_claim",
        "CREATE TABLE edge.mine (id int)",
        "SELECT * FROM sensitive.memory",
    ):
        asyncio.run(attack(statement))


def test_the_verifier_reads_no_password_no_session_and_no_second_factor(edge: House):
    import asyncpg

    async def attack(statement: str) -> None:
        connection = await edge.parts.postgres.connect("svc_forward_auth")
        try:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
        finally:
            await connection.close()

    for statement in (
        "SELECT * FROM edge.person",
        "SELECT session_data FROM edge.session",
        "SELECT * FROM edge.mfa_authenticator",
        "SELECT secret_hash FROM edge.access_token",
        "UPDATE edge.access_token SET revoked_at = NULL",
        "UPDATE edge.access_token SET scopes = '[]'",
        "SELECT * FROM edge.audit_event",
        "INSERT INTO edge.session VALUES ('x')",
    ):
        asyncio.run(attack(statement))
