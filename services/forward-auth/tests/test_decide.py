"""Who passes, what is remembered, and what is decided anew."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from forward_auth import policy
from forward_auth.callers import Mint, session_key
from forward_auth.decide import Asked, Door, session_cookie
from forward_auth.errors import (
    Denied,
    NotSignedIn,
    OriginRejected,
    PathRejected,
    RequestRejected,
    StepUpRequired,
)
from forward_auth.memory import ENTRIES_MAX, Memory
from forward_auth.store import SessionRow
from kit.clock import FakeClock

HOST = "lares.test:8443"
COOKIE = "a-cookie"
GET = Asked(method="GET", uri="/api/x", host=HOST, cookie=f"x=1; lares_session={COOKIE}")
POLICY = policy.parse(
    {
        "default": "one_factor",
        "rules": [
            {"name": "open", "require": "public", "paths": ["/open"]},
            {"name": "never", "require": "deny", "paths": ["/never"]},
            {"name": "vault", "require": "two_factor", "paths": ["/vault"]},
            {"name": "fresh", "require": "one_factor", "paths": ["/fresh"], "cache": False},
        ],
    }
)


class Sessions:
    """The sessions that live, and how often they were looked up."""

    def __init__(self) -> None:
        now = datetime.now(UTC)
        row = SessionRow(
            session_key(COOKIE), uuid4(), "ada", "owner", 1, now, now + timedelta(days=1)
        )
        self.rows = {row.key: row}
        self.asked = 0

    async def find(self, key: str) -> SessionRow | None:
        self.asked += 1
        return self.rows.get(key)

    def raise_to_two_factors(self) -> None:
        self.rows = {key: replace(row, aal=2) for key, row in self.rows.items()}


@pytest.fixture
def sessions() -> Sessions:
    return Sessions()


@pytest.fixture
def memory() -> Memory:
    memory = Memory(3.0)
    memory.listen()
    return memory


@pytest.fixture
def door(sessions: Sessions, memory: Memory, clock: FakeClock, caller_factory) -> Door:
    mint = Mint(caller_factory.private_key_pem, clock)
    return Door(POLICY, HOST, sessions.find, mint, memory, clock)


async def test_a_signed_in_person_passes_with_a_caller_that_services_believe(
    door: Door, sessions: Sessions, clock: FakeClock, caller_factory
):
    token = await door.decide(GET)
    assert token is not None
    caller = caller_factory.verifier(clock).verify(token)
    (row,) = sessions.rows.values()
    assert (caller.subject, caller.username, caller.aal) == (row.subject, "ada", 1)
    assert caller.session_id == row.key


async def test_without_a_session_nobody_passes(door: Door):
    for cookie in ("", "lares_session=", "lares_session=other", f"lares_session={'x' * 99}"):
        with pytest.raises(NotSignedIn):
            await door.decide(replace(GET, cookie=cookie))


async def test_a_public_path_needs_nobody_and_names_nobody(door: Door, sessions: Sessions):
    assert await door.decide(replace(GET, uri="/open/x", cookie="")) is None
    assert sessions.asked == 0


async def test_a_denied_path_is_denied_to_everybody(door: Door):
    with pytest.raises(Denied):
        await door.decide(replace(GET, uri="/never"))


async def test_one_factor_does_not_open_a_two_factor_path(door: Door, sessions: Sessions):
    with pytest.raises(StepUpRequired):
        await door.decide(replace(GET, uri="/vault"))
    sessions.raise_to_two_factors()
    assert await door.decide(replace(GET, uri="/vault"))


@pytest.mark.parametrize("uri", ["//api", "/api/%2e%2e/x", "/api;x", ""])
async def test_a_path_with_two_readings_is_refused_before_anything_else(door: Door, uri: str):
    with pytest.raises(PathRejected):
        await door.decide(replace(GET, uri=uri))


@pytest.mark.parametrize("host", ["", "evil.test", "lares.test", "lares.test:1"])
async def test_another_host_is_refused(door: Door, host: str):
    with pytest.raises(RequestRejected):
        await door.decide(replace(GET, host=host))


@pytest.mark.parametrize(
    ("origin", "site"),
    [
        ("https://evil.test", ""),
        ("null", "same-origin"),
        ("", ""),
        ("", "cross-site"),
        ("", "none"),
    ],
)
async def test_a_change_from_elsewhere_is_refused(door: Door, origin: str, site: str):
    asked = replace(GET, method="POST", origin=origin, fetch_site=site)
    with pytest.raises(OriginRejected):
        await door.decide(asked)
    with pytest.raises(OriginRejected):
        await door.decide(replace(asked, uri="/open"))


async def test_a_change_from_the_houses_own_page_passes(door: Door):
    assert await door.decide(replace(GET, method="POST", origin=f"https://{HOST}"))
    assert await door.decide(replace(GET, method="POST", fetch_site="same-origin"))


async def test_a_websocket_must_say_its_origin(door: Door):
    opening = replace(GET, upgrade="websocket", fetch_site="same-origin")
    with pytest.raises(OriginRejected):
        await door.decide(opening)
    assert await door.decide(replace(opening, origin=f"https://{HOST}"))


async def test_an_allowed_read_is_remembered_for_three_seconds(
    door: Door, sessions: Sessions, clock: FakeClock
):
    await door.decide(GET)
    await door.decide(GET)
    assert sessions.asked == 1
    await clock.advance(3.1)
    await door.decide(GET)
    assert sessions.asked == 2


@pytest.mark.parametrize(
    "asked",
    [
        replace(GET, method="POST", origin=f"https://{HOST}"),
        replace(GET, uri="/vault"),
        replace(GET, uri="/fresh"),
        replace(GET, upgrade="websocket", origin=f"https://{HOST}"),
    ],
)
async def test_writes_streams_and_strict_paths_are_decided_anew(
    door: Door, sessions: Sessions, asked: Asked
):
    sessions.raise_to_two_factors()
    await door.decide(asked)
    await door.decide(asked)
    assert sessions.asked == 2


async def test_a_refusal_is_never_remembered(door: Door, sessions: Sessions):
    rows, sessions.rows = sessions.rows, {}
    with pytest.raises(NotSignedIn):
        await door.decide(GET)
    sessions.rows = rows
    assert await door.decide(GET)


async def test_a_revocation_is_obeyed_at_once(door: Door, sessions: Sessions, memory: Memory):
    await door.decide(GET)
    sessions.rows = {}
    memory.forget("session", session_key(COOKIE))
    with pytest.raises(NotSignedIn):
        await door.decide(GET)


async def test_disabling_a_person_forgets_what_they_were_allowed(
    door: Door, sessions: Sessions, memory: Memory
):
    await door.decide(GET)
    (row,) = sessions.rows.values()
    memory.forget("person", str(row.subject))
    assert len(memory) == 0


async def test_a_revocation_during_the_look_up_is_not_overtaken(
    sessions: Sessions, memory: Memory, clock: FakeClock, caller_factory
):
    async def find(key: str) -> SessionRow | None:
        row = await sessions.find(key)
        memory.forget("session", key)
        return row

    mint = Mint(caller_factory.private_key_pem, clock)
    door = Door(POLICY, HOST, find, mint, memory, clock)
    await door.decide(GET)
    assert len(memory) == 0


async def test_nothing_is_remembered_while_nobody_is_heard(
    door: Door, sessions: Sessions, memory: Memory
):
    await door.decide(GET)
    memory.deafen()
    await door.decide(GET)
    await door.decide(GET)
    assert sessions.asked == 3


def test_the_memory_is_bounded():
    memory = Memory(3.0)
    memory.listen()
    for number in range(ENTRIES_MAX + 50):
        memory.remember((str(number), HOST, "r"), uuid4(), "t", 0.0, memory.generation)
    assert len(memory) == ENTRIES_MAX


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("lares_session=a", "a"),
        ("x=lares_session; lares_session=a", "a"),
        ("lares_session=a; lares_session=a", "a"),
        ("lares_session=a; lares_session=b", None),
        ("xlares_session=a", None),
        ("Lares_Session=a", None),
        ("lares_session=\xe9", None),
    ],
)
def test_a_planted_second_cookie_is_nobodys(header: str, value: str | None):
    assert session_cookie(header) == value
