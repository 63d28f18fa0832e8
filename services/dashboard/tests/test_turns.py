"""A streamed answer through the backend: at once, whole, and over when it must be."""

import asyncio
import json
from typing import Any

import httpx

ACCEPTED = b'event: turn.accepted\ndata: {"turn_id":"t"}\n\n'


def alive(house: Any) -> None:
    house.forward_auth.says("/v1/session", b'{"active": true, "caller": "fresh", "exp": 1}')


def ask(house: Any, **headers: str) -> Any:
    return house.client.stream(
        "POST", "/api/turns", json={"text": "hello"}, headers={**house.signed_in(), **headers}
    )


async def test_words_arrive_one_by_one_and_not_when_the_answer_is_complete(house: Any) -> None:
    alive(house)
    proceed = asyncio.Event()

    async def script(send: Any) -> None:
        await send(ACCEPTED)
        await asyncio.wait_for(proceed.wait(), 5)
        await send(b'event: delta\ndata: {"text":"word"}\n\n')

    house.orchestrator.streams("/v1/turns", script)
    async with ask(house) as response:
        assert response.status_code == 200
        assert response.headers["x-accel-buffering"] == "no"
        pieces = response.aiter_raw()
        assert await anext(pieces) == ACCEPTED
        # Only now may the model go on: the first event was here before the second existed.
        proceed.set()
        assert b"word" in await anext(pieces)


async def test_the_caller_the_trace_and_the_idempotency_key_travel_on(house: Any) -> None:
    alive(house)

    async def script(send: Any) -> None:
        await send(ACCEPTED)

    house.orchestrator.streams("/v1/turns", script)
    async with ask(house, **{"Idempotency-Key": "once"}) as response:
        await response.aread()
    sent = house.orchestrator.requests[0].lower()
    assert b"idempotency-key: once" in sent
    assert b"x-lares-caller: " in sent
    assert b"traceparent: 00-" in sent
    assert json.loads(house.orchestrator.requests[0].split(b"\r\n\r\n")[1]) == {"text": "hello"}


async def test_hanging_up_hangs_up_on_the_orchestrator(house: Any) -> None:
    alive(house)

    async def script(send: Any) -> None:
        await send(ACCEPTED)
        await asyncio.sleep(30)

    house.orchestrator.streams("/v1/turns", script)
    async with ask(house) as response:
        assert await anext(response.aiter_raw()) == ACCEPTED
    await asyncio.wait_for(house.orchestrator.hung_up.wait(), 5)


async def test_an_answer_that_breaks_off_ends_with_a_coded_event(house: Any) -> None:
    alive(house)

    async def script(send: Any) -> None:
        await send(ACCEPTED)
        raise OSError("the orchestrator was killed")

    house.orchestrator.streams("/v1/turns", script)
    async with ask(house) as response:
        body = (await response.aread()).decode()
    assert body.startswith(ACCEPTED.decode())
    last = body.strip().split("\n")
    assert last[-2] == "event: error"
    error = json.loads(last[-1].removeprefix("data: "))
    assert error["code"] == "dashboard.answer_interrupted"
    assert error["fix"]
    assert len(error["correlation_id"]) == 32


async def test_an_orchestrator_that_is_away_is_a_coded_503(house: Any) -> None:
    house.orchestrator.url = ""
    house.orchestrator.answers.clear()
    response = await house.client.post("/api/turns", json={"text": "x"}, headers=house.signed_in())
    assert response.status_code == 503
    assert response.json()["error"]["code"] == "orchestrator.unavailable"


async def test_a_refusal_of_the_orchestrator_keeps_its_code(house: Any) -> None:
    house.orchestrator.says(
        "/v1/turns",
        b'{"error": {"code": "agents.busy", "reason": "r", "fix": "f", "correlation_id": "c"}}',
        "429 Too Many Requests",
    )
    response = await house.client.post("/api/turns", json={"text": "x"}, headers=house.signed_in())
    assert response.status_code == 429
    assert response.json()["error"]["code"] == "agents.busy"


async def test_a_revoked_session_ends_the_answer(house: Any) -> None:
    house.forward_auth.says("/v1/session", b'{"active": false}')

    async def script(send: Any) -> None:
        await send(ACCEPTED)
        await asyncio.sleep(30)

    house.orchestrator.streams("/v1/turns", script)
    async with asyncio.timeout(5), ask(house) as response:
        body = (await response.aread()).decode()
    assert "dashboard.session_ended" in body
    await asyncio.wait_for(house.orchestrator.hung_up.wait(), 5)


async def test_one_person_cannot_hold_all_streams_and_another_still_gets_in(house: Any) -> None:
    alive(house)

    async def script(send: Any) -> None:
        await send(ACCEPTED)
        await asyncio.sleep(30)

    house.orchestrator.streams("/v1/turns", script)
    greedy, other = house.signed_in(), house.signed_in()

    async def ask_as(who: dict[str, str]) -> httpx.Response:
        request = house.client.build_request("POST", "/api/turns", json={"text": "x"}, headers=who)
        return await house.client.send(request, stream=True)

    first, second, third = [await ask_as(greedy) for _ in range(3)]
    assert [first.status_code, second.status_code, third.status_code] == [200, 200, 429]
    stranger = await ask_as(other)
    assert stranger.status_code == 200
    await first.aclose()
    async with asyncio.timeout(5):
        while (again := await ask_as(greedy)).status_code == 429:
            await asyncio.sleep(0.05)
    for response in (second, third, stranger, again):
        await response.aclose()


async def test_nobody_and_a_token_are_turned_away_before_anything_is_asked(house: Any) -> None:
    body = {"text": "x"}
    nobody = await house.client.post("/api/turns", json=body)
    assert nobody.status_code == 401
    token = house.signed_in(kind="token", db_role="lares_mcp", scopes=("memory:read",))
    refused = await house.client.post("/api/turns", json=body, headers=token)
    assert refused.status_code == 403
    assert refused.json()["error"]["code"] == "dashboard.people_only"
    assert house.orchestrator.requests == []
