"""A way over the GPU nodes when somebody goes: the client, or the scheduler."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from contracts.scheduling import Ended
from model_gateway.gpu import opener

from .conftest import Outsider, Served
from .house_of_gpus import Scheduler, eventually
from .test_gpu import HELLO, SAID, ask, gateway, gpu_only, node, offered, proxy, scheduler
from .test_outside import Proxy

__all__ = ["gateway", "gpu_only", "node", "proxy", "scheduler"]


@pytest.mark.parametrize("streamed", [True, False])
async def test_a_client_that_goes_while_it_waits_leaves_the_schedulers_queue(
    gateway: Served, scheduler: Scheduler, streamed: bool
) -> None:
    await offered(gateway)
    scheduler.grants = False
    asking = asyncio.create_task(ask(gateway, stream=streamed))
    await eventually(scheduler.asks)
    asking.cancel()
    await eventually(lambda: scheduler.cancelled() == [scheduler.asks()[0].request_id])


@pytest.mark.parametrize("mode", ["held", "endless"])
async def test_a_client_that_goes_while_the_model_works_gives_its_grant_back(
    gateway: Served, scheduler: Scheduler, node: Outsider, mode: str
) -> None:
    await offered(gateway)
    node.mode = mode
    asking = asyncio.create_task(ask(gateway, stream=True))
    await eventually(lambda: node.asked)
    if mode == "endless":
        stream = await asking
        await stream.close()
    asking.cancel()
    await eventually(lambda: scheduler.ended() == ["cancelled"])
    await eventually(node.left.is_set)


@pytest.mark.parametrize(
    ("mode", "last", "outcome", "said"),
    [
        ("lingers", b"data: [DONE]\n\n", "ok", "ok"),
        ("keeps the end", b'"finish_reason":"stop"}]}\n\n', "client_gone", "cancelled"),
    ],
)
async def test_a_client_that_goes_at_the_end_had_all_of_it_and_one_that_goes_before_it_had_not(
    gateway: Served,
    scheduler: Scheduler,
    node: Outsider,
    monkeypatch: pytest.MonkeyPatch,
    mode: str,
    last: bytes,
    outcome: str,
    said: str,
) -> None:
    # The connection's own end is waited for until after the client has gone.
    monkeypatch.setattr(opener, "REST_SECONDS", 30.0)
    await offered(gateway)
    node.mode = mode
    body = {"model": "talker", "messages": HELLO, "stream": True}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{gateway.url}/v1/chat/completions", json=body) as answer,
    ):
        await answer.content.readuntil(last)
        answer.close()
    await eventually(lambda: scheduler.ended() == [said])
    labels = f'{{model="talker",outcome="{outcome}"}}'
    await eventually(lambda: f"lares_inference_requests_total{labels}" in gateway.numbers())
    assert gateway.numbers()[f"lares_inference_requests_total{labels}"] == 1
    await eventually(node.left.is_set)


async def test_a_grant_for_a_client_that_has_gone_is_given_back(
    gateway: Served, scheduler: Scheduler
) -> None:
    await offered(gateway)
    fence = await scheduler.grant("nobodys")
    await eventually(lambda: scheduler.ended() == ["cancelled"])
    [ended] = [heard for heard in scheduler.heard if isinstance(heard, Ended)]
    assert (ended.request_id, ended.fence) == ("nobodys", fence)


async def test_while_the_scheduler_is_away_the_house_answers_by_itself(
    gateway: Served, scheduler: Scheduler, outsider: Outsider
) -> None:
    await offered(gateway)
    scheduler.grace_seconds = 0.0
    await scheduler.stop()
    await eventually(lambda: gateway.numbers()["lares_inference_gpu_scheduler_up"] == 0)
    assert (await ask(gateway)).choices[0].message.content == SAID
    assert len(outsider.asked) == 1


async def test_what_waits_is_asked_again_when_the_scheduler_is_back(
    gpu_only: Served, scheduler: Scheduler
) -> None:
    await offered(gpu_only)
    scheduler.grants = False
    asking = asyncio.create_task(ask(gpu_only))
    await eventually(scheduler.asks)
    await scheduler.stop()
    scheduler.grants = True
    await scheduler.start()
    assert (await asking).choices[0].message.content == SAID
    assert len({asked.request_id for asked in scheduler.asks()}) == 1
    assert [hello.running for hello in scheduler.hellos] == [(), ()]
    assert len({hello.gateway for hello in scheduler.hellos}) == 1


async def test_what_runs_goes_on_while_the_scheduler_is_away_and_is_named_when_it_is_back(
    gpu_only: Served, scheduler: Scheduler, node: Outsider
) -> None:
    await offered(gpu_only)
    node.mode = "held"
    asking = asyncio.create_task(ask(gpu_only))
    await eventually(lambda: node.asked)
    await scheduler.stop()
    await scheduler.start()
    await eventually(lambda: len(scheduler.hellos) == 2)
    [running] = scheduler.hellos[1].running
    assert running.ask.request_id == scheduler.asks()[0].request_id
    assert not running.first_byte
    node.release.set()
    assert (await asking).choices[0].message.content == SAID
    await eventually(lambda: scheduler.ended() == ["ok"])
    assert len(node.asked) == 1


async def test_a_request_that_waits_for_a_scheduler_that_does_not_come_back_passes_on(
    gateway: Served, scheduler: Scheduler, outsider: Outsider
) -> None:
    scheduler.grace_seconds = 0.2
    await scheduler.stop()
    await scheduler.start()
    await eventually(lambda: scheduler.hellos)
    await offered(gateway)
    scheduler.grants = False
    asking = asyncio.create_task(ask(gateway))
    await eventually(scheduler.asks)
    await scheduler.stop()
    assert (await asking).choices[0].message.content == SAID
    assert len(outsider.asked) == 1


@asynccontextmanager
async def waiting(served: Served, scheduler: Scheduler) -> AsyncIterator[aiohttp.ClientResponse]:
    """A stream that has been told where it stands: its status is out."""
    await offered(served)
    scheduler.grants = False
    body = {"model": "talker", "messages": HELLO, "stream": True}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{served.url}/v1/chat/completions", json=body) as answer,
    ):
        assert (await answer.content.readuntil(b"\n\n")).startswith(b": ")
        yield answer


async def test_a_stream_that_waited_is_answered_by_the_next_way_when_its_node_goes(
    gateway: Served, scheduler: Scheduler, outsider: Outsider
) -> None:
    async with waiting(gateway, scheduler) as answer:
        await scheduler.refuse(scheduler.asks()[0].request_id)
        events = (await answer.text()).strip().split("\n\n")
    assert events[-1] == "data: [DONE]"
    assert len(outsider.asked) == 1


async def test_a_stream_that_waited_in_vain_ends_with_the_schedulers_words_and_not_with_done(
    gpu_only: Served, scheduler: Scheduler
) -> None:
    async with waiting(gpu_only, scheduler) as answer:
        await scheduler.refuse(scheduler.asks()[0].request_id)
        events = (await answer.text()).strip().split("\n\n")
    said = json.loads(events[-1].removeprefix("data: "))["error"]
    assert (said["code"], said["reason"]) == ("inference.node_away", "The node forge is away.")


async def test_a_node_that_the_proxy_does_not_reach_passes_the_request_on(
    gateway: Served, scheduler: Scheduler, proxy: tuple[Proxy, str], outsider: Outsider
) -> None:
    await offered(gateway)
    proxy[0].refuses = True
    assert (await ask(gateway)).choices[0].message.content == SAID
    assert len(outsider.asked) == 1
    await eventually(lambda: scheduler.ended() == ["failed"])
