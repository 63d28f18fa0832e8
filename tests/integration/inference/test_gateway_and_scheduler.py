"""The gateway and the scheduler together, in load and in trouble: nothing is answered twice, nothing is left behind."""

import asyncio
from typing import Any

import aiohttp
import openai
import pytest
from contracts.accounts import Usage

from .conftest import Scene
from .node import WORDS

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]
ANSWER = "word " * WORDS


async def idle(scene: Scene) -> None:
    """Return once the scheduler holds nothing any more."""
    async with asyncio.timeout(30):
        while True:
            status = await scene.status()
            if not status.queue and not sum(one.running for one in status.instances):
                return
            await asyncio.sleep(0.02)


async def test_sixty_at_once_are_answered_by_the_node_each_once_and_written_down(
    scene: Scene,
) -> None:
    prompts = [f"prompt {number}" for number in range(60)]
    answers = await asyncio.gather(*(scene.ask(prompt) for prompt in prompts))
    assert answers == [ANSWER] * 60
    assert [scene.asked(prompt) for prompt in prompts] == [1] * 60
    assert not scene.home.asked
    assert not scene.node.repeated
    await idle(scene)
    async with asyncio.timeout(20), aiohttp.ClientSession() as session:
        url = f"{scene.gateway.url}/v1/usage?by=caller,way"
        while True:
            async with session.get(url, headers=scene.owner) as answer:
                usage = Usage.model_validate_json(await answer.text())
            if usage.rows and usage.rows[0].calls == 60:
                break
            await asyncio.sleep(0.1)
    [row] = usage.rows
    assert (row.caller, row.way) == ("service:orchestrator", "gpu:small")
    assert row.queue_seconds > 0
    assert not row.failed


async def test_a_scheduler_that_is_killed_in_load_costs_nobody_an_answer(scene: Scene) -> None:
    scene.node.talker.pause_seconds = 0.1
    prompts = [f"prompt {number}" for number in range(24)]
    asking = [asyncio.create_task(scene.ask(prompt)) for prompt in prompts]
    await until(lambda: scene.node.talker.running == scene.node.slots)
    await scene.scheduler.kill()
    await scene.scheduler.start()
    assert await asyncio.gather(*asking) == [ANSWER] * 24
    assert [scene.answered(prompt) for prompt in prompts] == [1] * 24
    await scene.offered()
    await idle(scene)
    assert await scene.ask("afterwards") == ANSWER
    assert scene.node.talker.answered["afterwards"] == 1


async def test_a_gateway_that_is_killed_in_load_leaves_nothing_behind(scene: Scene) -> None:
    scene.node.talker.pause_seconds = 0.2
    asking = [asyncio.create_task(scene.ask(f"prompt {number}")) for number in range(24)]
    await until(lambda: scene.node.talker.running == scene.node.slots)
    await scene.gateway.kill()
    lost = await asyncio.gather(*asking, return_exceptions=True)
    assert all(isinstance(one, Exception) for one in lost)
    await scene.gateway.start()
    await scene.offered()
    await idle(scene)
    await until(lambda: scene.node.talker.running == 0)
    scene.node.talker.pause_seconds = 0.01
    assert await scene.ask("afterwards") == ANSWER
    assert scene.node.talker.answered["afterwards"] == 1


async def test_a_link_that_is_cut_ends_what_runs_clearly_and_what_waits_is_answered_at_home(
    scene: Scene,
) -> None:
    scene.node.talker.pause_seconds = 0.3
    prompts = [f"prompt {number}" for number in range(12)]
    asking = [asyncio.create_task(scene.ask(prompt)) for prompt in prompts]
    await until(lambda: scene.node.talker.running == scene.node.slots)
    await asyncio.sleep(0.5)  # what runs has begun to answer
    scene.link.cut()
    results = await asyncio.gather(*asking, return_exceptions=True)
    whole = [result for result in results if result == ANSWER]
    broken = [result for result in results if isinstance(result, openai.APIError)]
    assert (len(whole), len(broken)) == (12 - scene.node.slots, scene.node.slots)
    codes = {said(error)["code"] for error in broken}
    assert codes <= {"inference.gpu_lost", "inference.backend_failed"}
    assert len(scene.home.answered) == 12 - scene.node.slots
    assert max(scene.asked(prompt) for prompt in prompts) == 1
    assert await scene.ask("meanwhile") == ANSWER
    assert scene.home.answered["meanwhile"] == 1

    scene.link.up = True
    await scene.offered()
    await idle(scene)
    assert await scene.ask("afterwards") == ANSWER
    assert scene.node.talker.answered["afterwards"] == 1


async def test_a_link_that_falls_silent_is_noticed_by_the_scheduler_for_everybody(
    scene: Scene,
) -> None:
    scene.node.talker.pause_seconds = 0.3
    prompts = [f"prompt {number}" for number in range(10)]
    asking = [asyncio.create_task(scene.ask(prompt)) for prompt in prompts]
    await until(lambda: scene.node.talker.running == scene.node.slots)
    await asyncio.sleep(0.5)  # what runs has begun to answer
    scene.link.passing.clear()
    results = await asyncio.gather(*asking, return_exceptions=True)
    broken = [result for result in results if isinstance(result, openai.APIError)]
    assert [said(error)["code"] for error in broken] == ["inference.gpu_lost"] * scene.node.slots
    assert results.count(ANSWER) == 10 - scene.node.slots
    assert len(scene.home.answered) == 10 - scene.node.slots
    scene.link.passing.set()
    await scene.offered()
    await idle(scene)


def said(error: openai.APIError) -> dict[str, Any]:
    body: Any = error.body
    return body


async def until(true: Any) -> None:
    async with asyncio.timeout(30):
        while not true():
            await asyncio.sleep(0.01)
