"""The connection to the scheduler and the ones to nodes, on the test's own loop: what must not depend on who is faster."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest
from contracts.scheduling import Ask
from kit.clock import Clock, FakeClock
from model_gateway.call import Call
from model_gateway.catalogue import Catalogue
from model_gateway.endpoint import Outgoing
from model_gateway.gpu import link as links
from model_gateway.gpu.link import Link
from model_gateway.gpu.opener import Gpu
from model_gateway.gpu.setup import RENEW_SECONDS, Nodes, gpu_ways
from model_gateway.terms import Terms
from model_gateway.ways import ways_of

from .conftest import Outsider, listen
from .house_of_gpus import Scheduler, eventually, node_behind_proxy, write_certificates
from .test_gpu import GPU, routed


@pytest.fixture
async def scheduler() -> AsyncIterator[Scheduler]:
    made = Scheduler()
    await made.start()
    yield made
    await made.stop()


def call() -> Call:
    return Call("/chat/completions", "talker", Terms())


async def test_a_word_that_the_scheduler_has_no_room_for_is_said_by_the_next_connection(
    scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links, "OUTBOX_MAX", 12)
    async with aiohttp.ClientSession() as session, AsyncExitStack() as held:
        link = Link(scheduler.url, session, Clock())
        keeping = asyncio.create_task(link.keep())
        held.callback(keeping.cancel)
        await eventually(lambda: link.connected)

        def ask(number: int) -> Ask:
            return Ask(request_id=f"r-{number}", model="qwen", service_class="agent", caller="c")

        # All in one breath: nothing is sent in between.
        places = [await held.enter_async_context(link.place(ask(n), call())) for n in range(3)]
        for number in range(3, 12):
            async with link.place(ask(number), call()):
                pass
        assert link.places == 3
        await eventually(lambda: all(place.grant is not None for place in places))
        assert len(scheduler.hellos) == 2
        # The three that are held, and nothing of those that went: the next connection began anew.
        assert scheduler.hellos[1].running == ()
        asked = [one.request_id for one in scheduler.asks()]
        assert asked[-3:] == ["r-0", "r-1", "r-2"]


async def test_a_grant_that_is_taken_back_in_the_same_breath_is_given_back_and_waited_for(
    scheduler: Scheduler, tmp_path: Path
) -> None:
    node = Outsider()
    content = Catalogue.model_validate(routed(node, GPU))
    way = ways_of(content, "talker")[0]
    outgoing = Outgoing("/chat/completions", b'{"model": "qwen", "messages": []}')
    async with AsyncExitStack() as stack:
        listening = listen(node, write_certificates(tmp_path))
        await anext(listening)
        stack.push_async_callback(anext, listening, None)
        scheduler.node_url = f"https://10.9.8.7:{node.port}"
        scheduler.grants = False
        _, proxy = await stack.enter_async_context(node_behind_proxy(node))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        ways: tuple[Gpu, Link] = await stack.enter_async_context(
            gpu_ways(scheduler.url, proxy, tmp_path, session, Clock())
        )
        await eventually(lambda: ways[1].connected)

        async def ask() -> bytes:
            async with ways[0].open(call(), way, outgoing) as answer:
                return b"".join([piece async for piece in answer.pieces()])

        asking = asyncio.create_task(ask())
        await eventually(scheduler.asks)
        request_id = scheduler.asks()[0].request_id
        await scheduler.grant(request_id)
        await scheduler.preempt(request_id)
        await eventually(lambda: scheduler.ended() == ["preempted"])
        assert not node.asked
        await scheduler.grant(request_id)
        assert b"Salve" in await asking
        await eventually(lambda: scheduler.ended() == ["preempted", "ok"])


async def test_connections_to_nodes_are_renewed_and_what_runs_on_the_old_ones_goes_on(
    tmp_path: Path,
) -> None:
    write_certificates(tmp_path)
    clock = FakeClock()
    nodes = Nodes(tmp_path, clock)
    first, _ = nodes.way_there()
    await clock.advance(RENEW_SECONDS)
    assert nodes.way_there()[0] is first
    await clock.advance(1)
    second, _ = nodes.way_there()
    assert second is not first
    assert not first.closed
    await clock.advance(RENEW_SECONDS + 1)
    third, _ = nodes.way_there()
    await eventually(lambda: first.closed)
    assert not second.closed
    await nodes.close()
    assert second.closed
    assert third.closed
