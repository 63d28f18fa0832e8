"""What a gateway is told on `/v1/queue`, over a real socket, with a node behind mutual TLS."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from contracts.scheduling import Began, Cancel, Ended, Running
from kit.testing.bus import until

from .a_house import Gateway, House
from .a_node import model

pytestmark = pytest.mark.integration
Make = Callable[..., Gateway]


async def test_a_request_is_granted_once_its_model_is_resident(
    house: House, gateways: Make
) -> None:
    gateway = await gateways(house.url).connect()
    assert (await gateway.hear("welcome")).epoch >= 1
    await gateway.offered("small", available=True)
    await gateway.ask("a")
    queued = await gateway.hear("queued", "a")
    assert queued.position == 1
    granted = await gateway.hear("granted", "a")
    assert granted.node == "forge"
    assert granted.node_url == f"https://127.0.0.1:{house.node.port}"
    assert granted.path == f"/v1/instances/{granted.instance_id}"
    assert house.node.instances[granted.instance_id].phase == "ready"
    assert house.node.verbs() == [("start", "small")]
    assert house.proxy.tunnels > 0


async def test_a_second_request_shares_the_instance_and_a_third_waits_for_a_place(
    house: House, gateways: Make
) -> None:
    gateway = await gateways(house.url).connect()
    await gateway.offered("small", available=True)
    for name in ("a", "b", "c"):
        await gateway.ask(name)
    first, second = await gateway.hear("granted", "a"), await gateway.hear("granted", "b")
    assert first.instance_id == second.instance_id
    assert second.fence > first.fence
    waiting = await gateway.hear("queued", "c")
    assert waiting.why
    await gateway.say(Ended(request_id="a", fence=first.fence, outcome="ok", seconds=0.1))
    third = await gateway.hear("granted", "c")
    assert third.fence > second.fence


async def test_what_can_never_fit_is_refused_with_the_arithmetic(
    house: House, gateways: Make
) -> None:
    gateway = await gateways(house.url).connect()
    await gateway.offered("small", available=True)
    await gateway.ask("a", "huge")
    refused = await gateway.hear("refused", "a")
    assert (refused.code, refused.status) == ("inference.never_fits", 422)
    assert "24000" in refused.reason.replace(",", "")
    assert "30000" in refused.reason.replace(",", "")


async def test_a_model_that_nobody_has_is_refused(house: House, gateways: Make) -> None:
    gateway = await gateways(house.url).connect()
    await gateway.offered("small", available=True)
    await gateway.ask("a", "nowhere")
    assert (await gateway.hear("refused", "a")).code == "inference.not_offered"


async def test_text_more_private_than_a_model_may_be_shown_is_refused(
    house: House, gateways: Make
) -> None:
    house.node.offer(model("small", max_tier="convenience"))
    gateway = await gateways(house.url).connect()
    offered = await gateway.offered("small", available=True, max_tier="convenience")
    assert offered.context_tokens == 4096
    await gateway.ask("a", tier="sensitive")
    assert (await gateway.hear("refused", "a")).code == "inference.tier_refused"
    await gateway.ask("b", tier="convenience")
    await gateway.hear("granted", "b")


async def test_a_cancelled_request_gives_its_place_to_the_next(
    house: House, gateways: Make
) -> None:
    house.node.offer(model("small", slots=1))
    gateway = await gateways(house.url).connect()
    await gateway.offered("small", available=True)
    for name in ("a", "b", "c"):
        await gateway.ask(name)
    await gateway.hear("granted", "a")
    await gateway.say(Cancel(request_id="b"))
    await gateway.say(Cancel(request_id="a"))
    await gateway.hear("granted", "c")
    assert not any(told.type == "granted" and told.request_id == "b" for told in gateway.told)


async def test_a_lost_connection_keeps_its_running_request_when_it_is_back_within_the_grace(
    house: House, gateways: Make
) -> None:
    house.node.offer(model("small", slots=1))
    gateway = await gateways(house.url).connect()
    await gateway.offered("small", available=True)
    ask = await gateway.ask("a")
    granted = await gateway.hear("granted", "a")
    await gateway.say(Began(request_id="a"))
    await gateway.ask("b")
    await gateway.hear("queued", "b")
    await gateway.cut()
    running = Running(
        ask=ask, instance_id=granted.instance_id, fence=granted.fence, first_byte=True
    )
    await gateway.connect(running)
    await gateway.ask("b")
    assert (await gateway.hear("queued", "b")).position == 1
    await asyncio.sleep(1.2)  # longer than the grace
    state = house.scheduler.house.loop.state
    assert set(state.granted) == {"gateway-1:a"}
    await gateway.say(Ended(request_id="a", fence=granted.fence, outcome="ok"))
    await gateway.hear("granted", "b")


async def test_a_gateway_that_does_not_come_back_loses_its_places(
    house: House, gateways: Make
) -> None:
    house.node.offer(model("small", slots=1))
    gone, other = gateways(house.url, "gone"), gateways(house.url, "other")
    await gone.connect()
    await other.connect()
    await gone.offered("small", available=True)
    await gone.ask("a")
    await gone.hear("granted", "a")
    await other.ask("b")
    await other.hear("queued", "b")
    await gone.cut()
    await other.hear("granted", "b")
    assert set(house.scheduler.house.loop.state.requests) == {"other:b"}


async def test_what_is_not_asked_for_again_after_a_reconnect_is_withdrawn(
    house: House, gateways: Make
) -> None:
    house.node.offer(model("small", slots=1))
    gateway, other = gateways(house.url), gateways(house.url, "other")
    await gateway.connect()
    await other.connect()
    await other.offered("small", available=True)
    await other.ask("a")
    granted = await other.hear("granted", "a")
    await gateway.ask("b")
    await gateway.ask("c")
    await gateway.hear("queued", "c")
    await gateway.cut()
    await gateway.connect()
    await gateway.ask("c")
    await asyncio.sleep(2.5)  # what the core waits for an ask to be repeated
    await other.say(Ended(request_id="a", fence=granted.fence, outcome="ok"))
    await gateway.hear("granted", "c")


async def test_a_node_that_goes_silent_is_said_to_be_away_and_what_waits_is_refused(
    house: House, gateways: Make
) -> None:
    gateway = await gateways(house.url).connect()
    await gateway.offered("small", available=True)
    await gateway.ask("a")
    await gateway.hear("granted", "a")
    house.node.silent = True
    refused = await gateway.hear("refused", "a")
    assert refused.code == "inference.node_away"
    away = await gateway.offered("small", available=False)
    assert "away" in away.why
    await gateway.ask("b")
    assert (await gateway.hear("refused", "b")).code == "inference.node_away"
    house.node.silent = False
    await gateway.offered("small", available=True)
    await gateway.ask("c")
    await gateway.hear("granted", "c")


async def test_a_cut_link_is_noticed_and_comes_back(house: House, gateways: Make) -> None:
    gateway = await gateways(house.url).connect()
    await gateway.offered("small", available=True)
    house.proxy.cut()
    await gateway.offered("small", available=False)
    house.proxy.closed = False
    await gateway.offered("small", available=True)
    await gateway.ask("a")
    await gateway.hear("granted", "a")


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "{",
        "[]",
        "null",
        '{"type": "welcome", "epoch": 1, "grace_seconds": 1}',
        '{"type": "ask"}',
        '{"type": "ask", "request_id": "../x", "model": "m", "service_class": "voice", "caller": "c"}',
        '{"type": "ask", "request_id": "x", "model": "m", "service_class": "king", "caller": "c"}',
        '{"type": "ended", "request_id": "x", "fence": 9007199254740993, "outcome": "ok"}',
        '{"type": "ended", "request_id": "x", "fence": 1, "outcome": "ok", "seconds": 1e400}',
        '{"type": "began", "request_id": "x", "more": 1}',
        "\x00",
        '{"type": "hello", "gateway": "again"}',
        "[" * 5000,
    ],
)
async def test_a_malformed_frame_closes_the_connection_with_a_code(
    house: House, gateways: Make, frame: str
) -> None:
    gateway = await gateways(house.url).connect()
    await gateway.hear("welcome")
    await gateway.say(frame)
    assert await gateway.closed() == 4400
    again = await gateways(house.url, "sound").connect()
    await again.hear("welcome")


async def test_the_first_frame_must_be_a_hello(house: House, gateways: Make) -> None:
    gateway = await gateways(house.url).connect(hello=False)
    await gateway.ask("a")
    assert await gateway.closed() == 4400


async def test_the_same_gateway_twice_closes_the_older_connection(
    house: House, gateways: Make
) -> None:
    older = await gateways(house.url).connect()
    await older.hear("welcome")
    newer = await gateways(house.url).connect()
    await newer.hear("welcome")
    assert await older.closed() == 4409
    await newer.offered("small", available=True)
    await newer.ask("a")
    await newer.hear("granted", "a")


async def test_a_gateway_has_no_more_than_so_many_requests_with_the_scheduler(
    house: House, gateways: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gpu_scheduler.gateways.ASKED_MAX", 3)
    gateway = await gateways(house.url).connect()
    await gateway.offered("small", available=True)
    for name in ("a", "b", "c", "d"):
        await gateway.ask(name)
    assert (await gateway.hear("refused", "d")).code == "inference.too_many_asked"
    await gateway.say(Cancel(request_id="a"))
    await gateway.ask("e")
    await gateway.hear("queued", "e")


async def test_switched_off_it_refuses_at_once_offers_nothing_and_moves_nothing(
    start: Callable[..., Any], gateways: Make
) -> None:
    async with start(LARES_GPU_SCHEDULER_DISABLED="1") as house:
        gateway = await gateways(house.url).connect()
        assert (await gateway.hear("offered")).models == ()
        await gateway.ask("a")
        assert (await gateway.hear("refused", "a")).code == "inference.scheduler_disabled"
        await asyncio.sleep(0.7)
        assert house.node.actions == []


async def test_what_a_running_request_draws_is_told_to_its_gateway(
    house: House, gateways: Make
) -> None:
    house.node.watts = 240.0
    gateway = await gateways(house.url).connect()
    await gateway.offered("small", available=True)
    await gateway.ask("a")
    await gateway.ask("b")
    granted = await gateway.hear("granted", "a")
    await gateway.hear("granted", "b")
    while (drawn := await gateway.hear("drawn")).watts != {granted.instance_id: 120.0}:
        assert set(drawn.watts) == {granted.instance_id}


async def test_a_scheduler_that_stood_still_does_not_take_its_node_for_away(
    house: House, gateways: Make
) -> None:
    gateway = await gateways(house.url).connect()
    await gateway.offered("small", available=True)
    await gateway.ask("a")
    granted = await gateway.hear("granted", "a")
    time.sleep(4)  # the machine had no time for anybody
    await asyncio.sleep(1)
    assert not [told for told in gateway.told if told.type == "refused"]
    await gateway.say(Ended(request_id="a", fence=granted.fence, outcome="ok"))
    await gateway.ask("b")
    await gateway.hear("granted", "b")


async def test_a_request_whose_end_was_lost_with_the_connection_counts_no_more(
    house: House, gateways: Make
) -> None:
    gateway = await gateways(house.url).connect()
    await gateway.offered("small", available=True)
    await gateway.ask("a")
    await gateway.hear("granted", "a")
    await gateway.cut()
    await gateway.connect()
    asked = house.scheduler.house.gateways._asked["gateway-1"]
    await until(lambda: not asked)
