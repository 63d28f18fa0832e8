"""What is signed, for how long, and what a token may become."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from forward_auth.callers import Mint, caller_of_token, secret_matches, split_token
from forward_auth.errors import CallerRejected
from forward_auth.store import TokenRow, told
from forward_auth.verify import answer, client_address
from kit.clock import FakeClock

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ROW = TokenRow(
    "0" * 16, "", uuid4(), "ada", "owner", (), ("convenience",), NOW, NOW + timedelta(1), None
)


@pytest.mark.parametrize(
    ("scopes", "tiers", "db_role", "read_only"),
    [
        (("memory:read",), ("convenience",), "lares_mcp", True),
        (("memory:read", "memory:write"), ("convenience",), "lares_mcp", False),
        (("memory:read",), ("convenience", "sensitive"), "lares_readonly", True),
        (("memory:write",), ("sensitive",), "lares_remote_rw", False),
    ],
)
def test_a_tokens_tiers_and_scopes_choose_its_database_role(scopes, tiers, db_role, read_only):
    caller = caller_of_token(replace(ROW, scopes=scopes, tiers=tiers))
    assert (caller.kind, caller.db_role, caller.read_only) == ("token", db_role, read_only)
    assert caller.aal == 0


@pytest.mark.parametrize(
    "token",
    [
        "",
        "lares_pat_",
        "x" * 500,
        f"lares_pat_{'0' * 16}_{'0' * 64}\n",
        f"lares_pat_{'g' * 16}_{'0' * 64}",
    ],
)
def test_what_does_not_look_like_a_token_is_none(token: str):
    assert split_token(token) is None


def test_a_secret_without_a_token_never_matches():
    assert not secret_matches(None, "nobody")
    assert not secret_matches(ROW, "nobody")


@pytest.fixture
def mint(clock: FakeClock, caller_factory) -> Mint:
    return Mint(caller_factory.private_key_pem, clock)


async def test_an_unchanged_caller_gets_the_same_token_for_two_minutes(
    mint: Mint, clock: FakeClock
):
    caller = caller_of_token(ROW)
    first = mint.token_for(caller)
    await clock.advance(119)
    assert mint.token_for(caller) == first
    await clock.advance(2)
    assert mint.token_for(caller) != first


def test_a_changed_caller_gets_a_new_token_at_once(mint: Mint):
    first = mint.token_for(caller_of_token(ROW))
    assert mint.token_for(caller_of_token(replace(ROW, scopes=("memory:write",)))) != first


async def test_a_token_is_read_back_until_ten_minutes_after_its_end(mint: Mint, clock: FakeClock):
    caller = caller_of_token(ROW)
    token = mint.token_for(caller)
    await clock.advance(300 + 590)
    assert mint.read(token) == caller
    await clock.advance(20)
    with pytest.raises(CallerRejected):
        mint.read(token)


def test_a_token_of_another_house_is_not_read(mint: Mint, clock: FakeClock):
    from kit.testing.callers import make_keys

    other = Mint(make_keys()[0], clock).token_for(caller_of_token(ROW))
    for token in (other, "", "x.y.z", mint.token_for(caller_of_token(ROW))[:-2]):
        with pytest.raises(CallerRejected):
            mint.read(token)


@pytest.mark.parametrize(
    ("payload", "change"),
    [
        ('{"session": "a"}', ("session", "a")),
        ('{"person": "a"}', ("person", "a")),
        ('{"else": "a"}', None),
        ('{"session": "a", "person": "b"}', None),
        ("[]", None),
        ("1", None),
        ("not json", None),
    ],
)
def test_only_a_notification_that_is_one_is_read(payload: str, change):
    assert told(payload) == change


def test_a_page_is_sent_to_sign_in_and_back_to_itself_alone():
    from forward_auth.errors import NotSignedIn, OriginRejected

    said = {"uri": "/memory?q=a b&x=//evil", "method": "GET", "mode": "navigate"}
    status, headers, _ = answer(said, NotSignedIn())
    assert status == 302
    assert dict(headers)[b"location"] == b"/signin?rd=%2Fmemory%3Fq%3Da%20b%26x%3D%2F%2Fevil"
    assert answer({**said, "uri": "/api/x"}, NotSignedIn())[0] == 401
    assert answer({**said, "method": "POST"}, NotSignedIn())[0] == 401
    assert answer(said, OriginRejected())[0] == 403


@pytest.mark.parametrize(
    ("forwarded", "address"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("1.2.3.4, 10.0.0.1", "10.0.0.1"),
        ("::1", "::1"),
        ("x", None),
        ("", None),
    ],
)
def test_the_audit_keeps_the_last_hop_or_nothing(forwarded: str, address: str | None):
    assert client_address(forwarded) == address
