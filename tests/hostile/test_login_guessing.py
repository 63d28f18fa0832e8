"""Guessing is slow for attackers and never locks the owner out."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.hostile.authenticator import totp
from tests.hostile.house import ALLAUTH, PASSWORD, House, code_of

pytestmark = pytest.mark.usefixtures("unslowed")


def guess(house: House, username: str, source: str | None = None, **options) -> str:
    browser = house.browser(source)
    said = browser.login(username, "not the password", **options)
    return code_of(said)


def guesses_until_slowed(attempt: Callable[[int], str], most: int) -> int:
    """How many wrong passwords were looked at before the house said wait. A slow machine forgets a few meanwhile."""
    for number in range(most):
        code = attempt(number)
        if code == "identity.slow_down":
            return number
        assert code == "identity.bad_credentials"
    raise AssertionError(f"{most} guesses, and nobody said wait")


def test_23_many_names_from_one_address_are_slowed(house: House):
    assert guesses_until_slowed(lambda number: guess(house, f"nobody{number}"), 40) >= 15


def test_23_the_wait_is_told(house: House):
    browser = house.browser()
    guesses_until_slowed(lambda number: code_of(browser.login(f"nobody{number}", "x")), 40)
    said = browser.login("nobody-else", "x")
    assert said.status_code == 429
    assert 1 <= int(said.headers["retry-after"]) <= 900


def test_24_many_addresses_against_one_name_are_slowed_and_the_owner_still_comes_in(edge: House):
    owner = edge.person("owner")
    passkey = owner.add_passkey()
    home = edge.browser("127.0.0.1")
    assert home.passkey_login(passkey).status_code == 200
    sources = [f"127.0.{network}.9" for network in range(1, 25)]
    codes = [guess(edge, owner.username, source) for source in sources]
    assert "identity.slow_down" in codes, "the name is slowed wherever the guesses come from"
    assert codes.count("identity.bad_credentials") <= 12
    # A password from a new place waits with the attackers. A passkey does not, wherever it is.
    assert code_of(edge.browser("127.0.99.1").login(owner.username)) == "identity.slow_down"
    assert edge.browser("127.0.99.1").passkey_login(passkey).status_code == 200
    # Nor does a password in a browser that has signed in before.
    home.logout()
    assert code_of(home.login(owner.username)) == "identity.second_factor_pending"


def test_24_a_browser_that_signed_in_before_is_not_slowed_by_strangers(house: House):
    person = house.person()
    for _ in range(8):
        guess(house, person.username)
    assert guess(house, person.username) == "identity.slow_down"
    person.logout()
    assert person.login(person.username).status_code == 200


def test_24_a_known_browser_guesses_no_faster(house: House):
    person, victim = house.person(), house.person()
    person.logout()
    codes = [code_of(person.login(person.username, "wrong")) for _ in range(13)]
    assert codes[-1] == "identity.slow_down"
    # Its mark is for its own person alone.
    for _ in range(7):
        code = code_of(person.login(victim.username, "wrong"))
    assert code == "identity.slow_down"


def test_24_a_right_password_gives_its_steps_back(house: House):
    person = house.person()
    for _ in range(22):
        fresh = house.browser()
        assert fresh.login(person.username).status_code == 200


def test_25_a_client_that_claims_other_addresses_is_the_same_client(house: House):
    guesses_until_slowed(lambda number: claim(house, number), 40)


def claim(house: House, number: int) -> str:
    lie = f"203.0.113.{number}"
    headers = {"X-Forwarded-For": lie, "X-Real-IP": lie, "Forwarded": f"for={lie}"}
    said = house.browser().post(
        f"{ALLAUTH}/auth/login",
        {"username": f"ghost{number}", "password": "x"},
        headers=headers,
    )
    return code_of(said)


def test_26_an_unknown_name_reads_like_a_wrong_password(house: House):
    person = house.person()
    known = house.browser().login(person.username, "not the password")
    unknown = house.browser().login("nobody-at-all", "not the password")
    assert known.status_code == unknown.status_code == 400

    def words(said) -> dict:
        body = said.json()
        body["error"].pop("correlation_id")
        return body

    assert words(known) == words(unknown)
    assert sorted(known.headers) == sorted(unknown.headers)


def test_26_an_unknown_name_takes_as_much_work_as_a_wrong_password(edge: House):
    person = edge.person()
    work = {person.username: 0, "nobody-at-all": 0}
    for _ in range(5):
        edge.forgive()
        for name in (person.username, "nobody-at-all", "nobody-at-all", person.username):
            browser = edge.browser()
            browser.csrf_token()
            before = processor_ns(edge)
            assert browser.login(name, "not the password").status_code == 400
            work[name] += processor_ns(edge) - before
    known, unknown = work.values()
    assert abs(known - unknown) < 0.15 * known, work


def processor_ns(house: House) -> int:
    """What identity has computed so far: unlike the clock, it does not see how busy the machine is."""
    tasks = Path(f"/proc/{house.parts.identity.running.pid}/task")
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks.iterdir())


def with_totp(house: House) -> tuple[str, str]:
    person = house.person()
    return person.username, person.add_totp()


def second_step(house: House, username: str, code: str) -> str:
    browser = house.browser()
    assert code_of(browser.login(username)) == "identity.second_factor_pending"
    said = browser.post(f"{ALLAUTH}/auth/2fa/authenticate", {"code": code})
    return "ok" if said.status_code == 200 else code_of(said)


def test_27_a_code_works_once(house: House):
    username, secret = with_totp(house)
    now = time.time()
    code = totp(secret, now)
    assert second_step(house, username, code) == "ok"
    assert second_step(house, username, code) == "identity.code_rejected"
    # Not even written with spaces, nor for as long as a neighbour period would take it.
    assert second_step(house, username, f" {code[:3]} {code[3:]}") == "identity.code_rejected"
    assert second_step(house, username, totp(secret, now + 30)) == "ok"
    assert second_step(house, username, totp(secret, now - 300)) == "identity.code_rejected"


def test_28_codes_are_counted_across_sessions(house: House):
    username, secret = with_totp(house)
    for number in range(5):
        assert second_step(house, username, f"00000{number}") == "identity.code_rejected"
    assert second_step(house, username, totp(secret)) == "identity.slow_down"


def test_29_a_recovery_code_works_once(house: House):
    person = house.person()
    person.add_totp()
    said = person.get(f"{ALLAUTH}/account/authenticators/recovery-codes")
    codes = said.json()["data"]["unused_codes"]
    assert len(codes) == 10
    assert second_step(house, person.username, codes[0]) == "ok"
    assert second_step(house, person.username, codes[0]) == "identity.code_rejected"
    assert second_step(house, person.username, codes[1]) == "ok"


def test_29_recovery_codes_are_shown_once(house: House):
    person = house.person()
    person.add_totp()
    where = f"{ALLAUTH}/account/authenticators/recovery-codes"
    assert "unused_codes" in person.get(where).json()["data"]
    assert "unused_codes" not in person.get(where).json()["data"]


def test_second_factor_secrets_are_sealed_at_rest(edge: House):
    import asyncio

    person = edge.person()
    secret = person.add_totp()

    async def look() -> str:
        connection = await edge.parts.postgres.connect()
        try:
            return str(await connection.fetch("SELECT data FROM edge.mfa_authenticator"))
        finally:
            await connection.close()

    assert secret not in asyncio.run(look())
    assert PASSWORD not in asyncio.run(look())
