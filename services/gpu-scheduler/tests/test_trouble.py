"""Neighbours that go away and come back, orders that meet work, and the numbers that tell of it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from contracts.scheduling import STATE_TOPIC, Began, Ended
from kit.testing.bus import until

from .a_house import Gateway, House
from .a_node import model

pytestmark = pytest.mark.integration
Make = Callable[..., Gateway]
VOICE = {"X-Lares-Service": "voice-gateway"}


def client(house: House, headers: dict[str, str]) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=house.url, headers=headers, timeout=20, trust_env=False)


async def numbers(house: House) -> dict[str, float]:
    """The numbers that a scraper reads, by name and labels."""
    async with client(house, {}) as http:
        text = (await http.get("/metrics")).text
    found = re.findall(r"^lares_inference_gpu_(\S+) (\S+)$", text, re.MULTILINE)
    return {name: float(value) for name, value in found}


async def test_the_holder_of_a_lease_is_told_that_its_model_is_to_go_and_is_not_cut_off(
    house: House, gateways: Make, caller_factory: Any
) -> None:
    await (await gateways(house.url).connect()).offered("small", available=True)
    async with client(house, VOICE) as http, client(house, caller_factory().headers) as owner:
        asked = {"model": "small", "wait_seconds": 5, "ttl_seconds": 30}
        lease = (await http.post("/v1/leases", json=asked)).json()
        assert lease["state"] == "held"
        order = await owner.post("/v1/orders", json={"verb": "evict", "on": "small"})
        assert order.status_code == 202
        path = f"/v1/leases/{lease['lease_id']}"
        async with asyncio.timeout(8):
            while "drained" not in (beat := await _beat(http, path, lease))["why"]:
                await asyncio.sleep(0.05)
        assert beat["state"] == "held"
        assert "stop" not in [verb for verb, _ in house.node.verbs()]
        await http.delete(path)
        await until(lambda: "stop" in [verb for verb, _ in house.node.verbs()])


async def _beat(http: httpx.AsyncClient, path: str, lease: dict[str, Any]) -> dict[str, Any]:
    reply = await http.put(path, json={"fence": lease["fence"]})
    assert reply.status_code == 200, reply.text
    return reply.json()


async def test_without_valkey_everything_goes_on_and_is_announced_again_afterwards(
    house: House, gateways: Make, valkey: Any
) -> None:
    gateway = await gateways(house.url).connect()
    await gateway.offered("small", available=True)
    await asyncio.to_thread(valkey.container.kill)
    try:
        await gateway.ask("a")
        granted = await gateway.hear("granted", "a")
        async with client(house, {}) as http:
            async with asyncio.timeout(10):
                while (await http.get("/readyz")).status_code != 200:
                    await asyncio.sleep(0.1)
    finally:
        await asyncio.to_thread(valkey.container.start)
        await asyncio.to_thread(valkey.wait)
    await gateway.say(Ended(request_id="a", fence=granted.fence, outcome="ok"))

    def announced() -> bool:
        with valkey.client() as reading:
            return bool(reading.xlen(f"lares:stream:{STATE_TOPIC}"))

    async with asyncio.timeout(20):
        number = 0
        while not announced():
            number += 1
            await gateway.ask(f"n{number}")
            one = await gateway.hear("granted", f"n{number}")
            await gateway.say(Ended(request_id=f"n{number}", fence=one.fence, outcome="ok"))
            await asyncio.sleep(0.3)


@pytest.mark.parametrize("seconds", [1.0, 6.0])
async def test_a_link_that_was_cut_finds_the_models_that_still_run_and_starts_nothing_anew(
    house: House, gateways: Make, seconds: float
) -> None:
    gateway = await gateways(house.url).connect()
    await gateway.offered("small", available=True)
    await gateway.ask("a")
    granted = await gateway.hear("granted", "a")
    await gateway.say(Began(request_id="a"))
    house.proxy.cut()
    await asyncio.sleep(seconds)
    house.proxy.closed = False
    state = house.scheduler.house.loop.state
    if seconds < 3:
        assert "gateway-1:a" in state.granted, "a short cut is nobody's loss"
        await gateway.say(Ended(request_id="a", fence=granted.fence, outcome="ok"))
    else:
        assert (await gateway.hear("refused", "a")).code == "inference.node_away"
    await until(lambda: state.nodes["forge"].up)
    await gateway.ask("b")
    again = await gateway.hear("granted", "b")
    assert again.instance_id == granted.instance_id
    assert house.node.verbs() == [("start", "small")]
    await gateway.say(Ended(request_id="b", fence=again.fence, outcome="ok"))
    await until(lambda: not state.requests)


async def test_the_numbers_tell_of_the_queue_the_card_the_moves_and_the_refusals(
    house: House, gateways: Make
) -> None:
    house.node.offer(model("small", slots=1))
    gateway = await gateways(house.url).connect()
    await gateway.offered("small", available=True)
    await gateway.ask("a")
    await gateway.hear("granted", "a")
    await gateway.ask("b", service_class="agent")
    await gateway.ask("c", "huge", service_class="batch")
    await gateway.hear("refused", "c")
    card = '{card="GPU-0",node="forge"}'

    async with asyncio.timeout(8):
        while (told := await numbers(house)).get('queue_requests{service_class="agent"}') != 1:
            await asyncio.sleep(0.1)
    assert told["running_requests"] == 1
    assert told['node_up{node="forge"}'] == 1
    assert told["gateways"] == 1
    assert told['moves_total{verb="start"}'] == 1
    assert told['refused_total{code="inference.never_fits",service_class="batch"}'] == 1
    assert told['granted_total{service_class="interactive"}'] == 1
    assert told["card_total_mib" + card] == 24_000
    assert told["card_foreign_mib" + card] == 300
    assert told["card_booked_mib" + card] > 4000
    assert told["card_over_budget_mib" + card] == 0
    assert told["decision_seconds_count"] > 3
    house.node.foreign_mib = 23_000
    house.node.changed()
    async with asyncio.timeout(8):
        while (await numbers(house))["card_over_budget_mib" + card] == 0:
            await asyncio.sleep(0.1)
