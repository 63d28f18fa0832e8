"""The way to a model: streamed both ways, each request once, and ended at the model when its client goes."""

from __future__ import annotations

import asyncio
import dataclasses

import aiohttp
import pytest
from node_agent import node as nodes

from .conftest import LLM, House


async def test_pieces_arrive_as_the_model_sends_them(house: House) -> None:
    model = house.engine.model(LLM)
    model.tokens, model.token_seconds = 3, 0.15
    async with house.agent():
        await house.ready()
        reply = await house.ask()
        assert await reply.content.readline() == b"data: 0\n"
        # The rest is not there yet: nothing is gathered on the way.
        assert house.node.in_flight == 1
        assert (await reply.text()).endswith("data: 2\n\n")
        assert reply.headers["content-type"] == "text/event-stream"
        assert reply.headers["x-model"] == "yes"
    assert house.node.in_flight == 0


async def test_a_large_body_is_passed_on_whole(house: House) -> None:
    async with house.agent():
        await house.ready()
        body = bytes(range(256)) * 4096
        reply = await house.ask(json=None, data=body)
        assert reply.status == 200
        await reply.read()

        async def in_pieces():
            for at in range(0, len(body), 100_000):
                yield body[at : at + 100_000]

        await (await house.ask(json=None, data=in_pieces())).read()
        assert house.engine.model(LLM).bodies == [body, body]


@pytest.mark.parametrize("announced", [True, False])
async def test_a_body_beyond_the_limit_is_refused(house: House, announced: bool) -> None:
    house.settings = dataclasses.replace(house.settings, body_bytes_max=1000)

    async def in_pieces():
        for _ in range(20):
            yield b"x" * 100

    async with house.agent():
        await house.ready()
        reply = await house.ask(json=None, data=b"x" * 2000 if announced else in_pieces())
        assert reply.status == 413
        assert (await reply.json())["error"]["code"] == "kit.body_too_large"


async def test_the_model_learns_nothing_of_who_asks(house: House) -> None:
    async with house.agent():
        await house.ready()
        await (await house.ask(headers={"Authorization": "Bearer x", "Cookie": "a=b"})).read()
        sent = {name.lower() for name in house.engine.model(LLM).headers[0]}
        assert not sent & {"authorization", "cookie", "x-lares-fence", "x-lares-request", "role"}


async def test_a_client_that_goes_ends_the_models_work(house: House) -> None:
    model = house.engine.model(LLM)
    model.tokens, model.token_seconds = 100_000, 0.01
    async with house.agent():
        await house.ready()
        reply = await house.ask()
        await reply.content.readline()
        reply.close()
        async with asyncio.timeout(3):
            await model.ended_early.wait()
            while house.node.in_flight:
                await asyncio.sleep(0.01)


async def test_a_request_is_passed_on_once(house: House) -> None:
    async with house.agent():
        await house.ready()
        same = {"X-Lares-Fence": "7000000001", "X-Lares-Request": "one"}
        assert (await house.ask(headers=same)).status == 200
        again = await house.ask(headers=same)
        assert (again.status, again.headers["X-Lares-Node-Error"]) == (
            409,
            "node.request_repeated",
        )
        assert len(house.engine.model(LLM).bodies) == 1
        # Granted again it is another errand.
        assert (await house.ask(headers={**same, "X-Lares-Fence": "7000000002"})).status == 200


@pytest.mark.parametrize("still_running", [True, False])
async def test_a_repetition_that_comes_late_is_still_known(
    house: House, monkeypatch: pytest.MonkeyPatch, still_running: bool
) -> None:
    monkeypatch.setattr(nodes, "REQUESTS_SECONDS", 0.3)
    model = house.engine.model(LLM)
    model.tokens, model.token_seconds = 8, 0.1
    async with house.agent():
        await house.ready()
        same = {"X-Lares-Fence": "7000000001", "X-Lares-Request": "one"}
        first = await house.ask(headers=same)
        await asyncio.sleep(0.5)
        if not still_running:
            await first.read()
        # Another one, for whose sake the old are forgotten.
        await house.ask()
        again = await house.ask(headers=same)
        assert again.headers["X-Lares-Node-Error"] == "node.request_repeated"


async def test_requests_of_one_action_may_overtake_one_another(house: House) -> None:
    async with house.agent():
        await house.ready(fence=7_000_000_001)
        assert (await house.ask(headers={"X-Lares-Fence": "7000000009"})).status == 200
        assert (await house.ask(headers={"X-Lares-Fence": "7000000002"})).status == 200


@pytest.mark.parametrize(
    "path", ["/sleep", "/wake_up", "/metrics", "/props", "/v1/chat/completions/../../sleep", "/"]
)
async def test_no_other_address_of_the_models_server_can_be_reached(
    house: House, path: str
) -> None:
    async with house.agent():
        await house.ready()
        asked = len(house.engine.model(LLM).bodies)
        reply = await house.ask(path=path)
        assert reply.status in (403, 404)
        assert len(house.engine.model(LLM).bodies) == asked


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Lares-Fence": "x"},
        {"X-Lares-Fence": ""},
        {"X-Lares-Fence": "9" * 30},
        {"X-Lares-Request": "a b"},
        {"X-Lares-Request": ""},
    ],
)
async def test_a_request_without_a_fence_and_an_id_is_refused(
    house: House, headers: dict[str, str]
) -> None:
    async with house.agent():
        await house.ready()
        assert (await house.ask(headers=headers)).status == 422


async def test_a_server_that_breaks_off_before_its_first_byte_is_named(house: House) -> None:
    house.engine.model(LLM).breaks_after = 0
    async with house.agent():
        await house.ready()
        reply = await house.ask()
        assert (reply.status, reply.headers["X-Lares-Node-Error"]) == (502, "node.model_failed")


@pytest.mark.parametrize("size", [100, 400_000])
async def test_a_server_that_takes_no_connection_is_told_apart_because_nothing_was_sent(
    house: House, size: int
) -> None:
    async with house.agent() as node:
        await house.ready()
        died = house.engine.named("a")
        assert died is not None
        assert died.runner is not None
        # Its process has ended, and the engine has not said so yet.
        await died.runner.cleanup()
        reply = await house.ask(json=None, data=b"x" * size)
        assert (reply.status, reply.headers["X-Lares-Node-Error"]) == (
            503,
            "node.model_not_reached",
        )
        assert not house.engine.model(LLM).bodies
        assert node.in_flight == 0


async def test_a_server_that_breaks_off_in_the_middle_breaks_the_answer_off(house: House) -> None:
    model = house.engine.model(LLM)
    model.breaks_after, model.token_seconds = 2, 0.02
    async with house.agent():
        await house.ready()
        reply = await house.ask()
        with pytest.raises(aiohttp.ClientPayloadError):
            await reply.read()


async def test_more_requests_than_the_node_takes_are_refused(house: House) -> None:
    house.settings = dataclasses.replace(house.settings, connections_max=1)
    model = house.engine.model(LLM)
    model.tokens, model.token_seconds = 50, 0.05
    async with house.agent():
        await house.ready()
        running = await house.ask()
        refused = await house.ask()
        assert (refused.status, refused.headers["X-Lares-Node-Error"]) == (503, "node.busy")
        running.close()


async def test_an_unknown_instance_is_named(house: House) -> None:
    async with house.agent():
        reply = await house.ask("ghost")
        assert (reply.status, reply.headers["X-Lares-Node-Error"]) == (
            404,
            "node.instance_unknown",
        )


async def test_an_instances_id_may_hold_a_slash(house: House) -> None:
    async with house.agent():
        await house.ready("small/1")
        assert (await house.ask("small/1")).status == 200
        assert (await house.ask("small%2F1")).status == 200
