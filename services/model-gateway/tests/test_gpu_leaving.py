"""A way over the GPU nodes when somebody goes: the client, or the scheduler."""

import asyncio

import pytest
from contracts.scheduling import Ended

from .conftest import Outsider, Served
from .house_of_gpus import Scheduler, eventually
from .test_gpu import SAID, ask, gateway, gpu_only, node, offered, proxy, scheduler

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
