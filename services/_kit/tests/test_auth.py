"""The caller token is the wall between one person and another: each forgery here is one that was tried on somebody."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import jwt
import pytest
from contracts.identity import AUDIENCE, ISSUER, Caller
from cryptography.hazmat.primitives.asymmetric import ec, ed448
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)
from fastapi import APIRouter, Depends
from kit import client as kit_client
from kit.auth import CACHE_MAX, CallerInvalid, CallerVerifier, caller, require_scope
from kit.clock import FakeClock
from kit.http import create_app
from kit.settings import HttpSettings
from kit.testing.callers import CallerFactory, make_keys


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def claims(factory: CallerFactory, clock: FakeClock, **changed: Any) -> dict[str, Any]:
    signed = factory(clock=clock)
    told: dict[str, Any] = jwt.decode(signed.token, options={"verify_signature": False})
    told.update(changed)
    return {key: value for key, value in told.items() if value is not None}


def sign(factory: CallerFactory, told: dict[str, Any]) -> str:
    key: Any = load_pem_private_key(factory.private_key_pem.encode(), None)
    return jwt.encode(told, key, algorithm="EdDSA")


def test_a_signed_caller_is_returned_as_it_was_signed(
    caller_factory: CallerFactory, clock: FakeClock
) -> None:
    signed = caller_factory(clock=clock, role="member", scopes=("memory:read",))
    assert caller_factory.verifier(clock).verify(signed.token) == signed.caller


async def test_a_token_lives_five_minutes_at_most(
    caller_factory: CallerFactory, clock: FakeClock
) -> None:
    token = caller_factory(clock=clock, ttl_seconds=9999).token
    verifier = caller_factory.verifier(clock)
    await clock.advance(299)
    verifier.verify(token)
    await clock.advance(1)
    with pytest.raises(CallerInvalid):
        verifier.verify(token)


async def test_a_remembered_token_expires_too(
    caller_factory: CallerFactory, clock: FakeClock
) -> None:
    token = caller_factory(clock=clock, ttl_seconds=10).token
    verifier = caller_factory.verifier(clock)
    verifier.verify(token)
    verifier.verify(token)
    await clock.advance(10)
    with pytest.raises(CallerInvalid):
        verifier.verify(token)


def test_a_token_signed_by_another_key_is_refused(
    caller_factory: CallerFactory, clock: FakeClock
) -> None:
    stranger = CallerFactory(*make_keys())
    with pytest.raises(CallerInvalid):
        caller_factory.verifier(clock).verify(stranger(clock=clock).token)


def test_algorithm_none_is_refused(caller_factory: CallerFactory, clock: FakeClock) -> None:
    told = claims(caller_factory, clock)
    header = b64(b'{"alg":"none"}')
    forged = f"{header}.{b64(json.dumps(told).encode())}."
    with pytest.raises(CallerInvalid):
        caller_factory.verifier(clock).verify(forged)


def test_an_hmac_made_with_the_public_key_is_refused(
    caller_factory: CallerFactory, clock: FakeClock
) -> None:
    told = claims(caller_factory, clock)
    header = b64(b'{"alg":"HS256","typ":"JWT"}')
    signed = f"{header}.{b64(json.dumps(told).encode())}"
    mac = hmac.new(caller_factory.public_key_pem.encode(), signed.encode(), hashlib.sha256).digest()
    with pytest.raises(CallerInvalid):
        caller_factory.verifier(clock).verify(f"{signed}.{b64(mac)}")


@pytest.mark.parametrize(
    "changed",
    [
        {"iss": "somebody"},
        {"aud": "lares-outside"},
        {"exp": None},
        {"iat": None},
        {"sub": None},
        {"sub": "00000000-0000-0000-0000-000000000000"},
        {"caller": None},
        {"caller": {"role": "owner"}},
        {"exp": 4_000_000_000},
        {"exp": "soon"},
        {"exp": 10**30},
    ],
    ids=str,
)
def test_a_token_with_a_wrong_or_missing_claim_is_refused(
    caller_factory: CallerFactory, clock: FakeClock, changed: dict[str, Any]
) -> None:
    forged = sign(caller_factory, claims(caller_factory, clock, **changed))
    with pytest.raises(CallerInvalid):
        caller_factory.verifier(clock).verify(forged)


def test_a_token_from_the_future_is_refused(
    caller_factory: CallerFactory, clock: FakeClock
) -> None:
    later = clock.now() + timedelta(seconds=60)
    told = claims(caller_factory, clock, iat=later, exp=later + timedelta(seconds=60))
    with pytest.raises(CallerInvalid):
        caller_factory.verifier(clock).verify(sign(caller_factory, told))


@pytest.mark.parametrize(
    "header", [{"crit": ["x"], "x": 1}, {"alg": "none"}, {"alg": "HS256"}], ids=str
)
def test_a_header_that_asks_for_another_way_of_checking_is_refused(
    caller_factory: CallerFactory, clock: FakeClock, header: dict[str, Any]
) -> None:
    key: Any = load_pem_private_key(caller_factory.private_key_pem.encode(), None)
    told = {"alg": "EdDSA", "typ": "JWT", **header}
    claimed = json.dumps(claims(caller_factory, clock)).encode()
    signed = f"{b64(json.dumps(told).encode())}.{b64(claimed)}"
    forged = f"{signed}.{b64(key.sign(signed.encode()))}"
    with pytest.raises(CallerInvalid):
        caller_factory.verifier(clock).verify(forged)


def test_a_role_that_may_migrate_cannot_be_claimed(
    caller_factory: CallerFactory, clock: FakeClock
) -> None:
    told = claims(caller_factory, clock)
    told["caller"]["db_role"] = "lares_owner"
    with pytest.raises(CallerInvalid):
        caller_factory.verifier(clock).verify(sign(caller_factory, told))


def test_a_token_whose_signature_is_cut_or_goes_on_is_refused(
    caller_factory: CallerFactory, clock: FakeClock
) -> None:
    token = caller_factory(clock=clock).token
    for forged in (
        token[:-1],
        token[:-4],
        f"{token}AAAA",
        f"{token}.AAAA",
        f"{token} ",
        f"{token}=",
    ):
        with pytest.raises(CallerInvalid):
            caller_factory.verifier(clock).verify(forged)


def pem_of(key: Any) -> str:
    public = key.public_key()
    spki = PublicFormat.SubjectPublicKeyInfo
    return public.public_bytes(Encoding.PEM, spki).decode()


@pytest.mark.parametrize(
    "pem",
    [
        "",
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
        pem_of(ec.generate_private_key(ec.SECP256R1())),
        pem_of(ed448.Ed448PrivateKey.generate()),
    ],
    ids=["empty", "no key", "P-256", "Ed448"],
)
def test_a_key_of_another_kind_is_refused_when_the_service_starts(pem: str) -> None:
    with pytest.raises(ValueError, match="PEM|DER|key"):
        CallerVerifier(pem)


@pytest.mark.parametrize("token", ["", "a.b", "a.b.c", "x" * 5000, "é.ü.ß"])
def test_garbage_is_refused(caller_factory: CallerFactory, token: str) -> None:
    with pytest.raises(CallerInvalid):
        caller_factory.verifier().verify(token)


def test_the_memory_of_verified_tokens_is_bounded(
    caller_factory: CallerFactory, clock: FakeClock
) -> None:
    verifier = caller_factory.verifier(clock)
    tokens = [caller_factory(clock=clock).token for _ in range(CACHE_MAX // 16)]
    for token in tokens:
        verifier.verify(token)
    for _ in range(20):
        for token in [caller_factory(clock=clock).token for _ in range(CACHE_MAX // 16)]:
            verifier.verify(token)
    assert len(verifier._known) == CACHE_MAX


@pytest.fixture
def house(
    caller_factory: CallerFactory, make_settings: Callable[..., HttpSettings]
) -> httpx.AsyncClient:
    router = APIRouter()

    @router.get("/who")
    async def who(who: Caller = Depends(caller)) -> dict[str, str]:
        return {"username": who.username, "forwarded": str(kit_client._acting_for.get())}

    @router.post("/write")
    async def write(who: Caller = Depends(require_scope("memory:write"))) -> dict[str, str]:
        return {"username": who.username}

    app = create_app(
        "memory",
        domain="memory",
        settings=make_settings(HttpSettings),
        routers=[router],
        verifier=caller_factory.verifier(),
    )
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://house")


async def test_a_request_without_a_caller_is_401(house: httpx.AsyncClient) -> None:
    reply = await house.get("/who")
    assert reply.status_code == 401
    assert reply.json()["error"]["code"] == "kit.caller_missing"


async def test_a_request_with_a_forged_caller_is_401(house: httpx.AsyncClient) -> None:
    reply = await house.get("/who", headers={"X-Lares-Caller": "forged"})
    assert reply.status_code == 401
    assert reply.json()["error"]["code"] == "kit.caller_invalid"


async def test_two_caller_headers_are_refused_even_if_one_is_right(
    house: httpx.AsyncClient, caller_factory: CallerFactory
) -> None:
    token = caller_factory().token
    reply = await house.get("/who", headers=[("X-Lares-Caller", token), ("x-lares-caller", token)])
    assert reply.status_code == 401


async def test_a_verified_caller_is_who_later_calls_act_for(
    house: httpx.AsyncClient, caller_factory: CallerFactory
) -> None:
    signed = caller_factory(username="grace")
    reply = await house.get("/who", headers=signed.headers)
    assert reply.json() == {"username": "grace", "forwarded": signed.token}
    assert kit_client._acting_for.get() is None


async def test_a_person_may_write_without_any_scope(
    house: httpx.AsyncClient, caller_factory: CallerFactory
) -> None:
    reply = await house.post("/write", headers=caller_factory().headers)
    assert reply.status_code == 200


@pytest.mark.parametrize(
    ("attributes", "code"),
    [
        ({"scopes": ("memory:read",)}, "kit.scope_missing"),
        ({"scopes": ("memory:write",), "read_only": True}, "kit.read_only"),
    ],
)
async def test_a_token_without_the_right_is_403(
    house: httpx.AsyncClient,
    caller_factory: CallerFactory,
    attributes: dict[str, Any],
    code: str,
) -> None:
    signed = caller_factory(kind="token", db_role="lares_mcp", **attributes)
    reply = await house.post("/write", headers=signed.headers)
    assert reply.status_code == 403
    assert reply.json()["error"]["code"] == code


def test_the_names_in_the_contract_are_the_ones_that_are_signed(
    caller_factory: CallerFactory, clock: FakeClock
) -> None:
    told = claims(caller_factory, clock)
    assert (told["iss"], told["aud"]) == (ISSUER, AUDIENCE) == ("lares", "lares-internal")
