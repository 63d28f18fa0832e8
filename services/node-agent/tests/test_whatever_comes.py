"""Whatever comes, in whatever order: orders, deaths, an engine that refuses, agents that are killed. Nothing leaks."""

from __future__ import annotations

import asyncio
import random

import pytest
from node_agent import phases

from .conftest import LLM, MODEL, House

STEPS = 40


async def step(house: House, chance: random.Random, names: list[str]) -> None:
    """Do one thing."""
    engine = house.engine
    match chance.choices(
        ["start", "verb", "ask", "die", "refuse", "mend", "wait"], [4, 8, 4, 2, 1, 2, 4]
    )[0]:
        case "start":
            names.append(f"i{len(names)}")
            reply = await send(house, "start", names[-1], model="small", cards=["sim-0"])
            assert reply == 202
        case "verb" if names:
            verb = chance.choice(["sleep", "wake", "drain", "stop"])
            if verb == "sleep":
                engine.model(LLM).asleep = True
            assert await send(house, verb, chance.choice(names)) in (202, 404, 409)
        case "ask" if names:
            reply = await house.ask(chance.choice(names))
            assert reply.status in (200, 404, 409, 502, 503)
            if chance.random() < 0.5:
                reply.close()
        case "die" if engine.containers:
            container = chance.choice(list(engine.containers.values()))
            await engine.die(container, chance.choice([0, 1, 137]), oom=chance.random() < 0.3)
        case "refuse":
            call = chance.choice(["POST /containers", "DELETE /containers", "GET /containers"])
            engine.refuses[call] = "device or resource busy"
        case "mend":
            engine.refuses.clear()
        case _:
            await asyncio.sleep(chance.random() * 0.1)


async def send(house: House, verb: str, instance: str, **more: object) -> int:
    told = {
        "action_id": f"x{next(house.fences)}",
        "fence": next(house.fences),
        "verb": verb,
        "instance_id": instance,
        **more,
    }
    reply = await house.client.post("/v1/actions", json=told, headers={"role": "scheduler"})
    return reply.status


def agrees(house: House) -> None:
    """What the engine has is of an instance that is told of, and no two are of one."""
    names = [container.name for container in house.engine.containers.values()]
    known = {f"lares-model-{one}" for one in house.node.instances}
    assert len(names) == len(set(names))
    assert set(names) <= known


@pytest.mark.parametrize("seed", range(6))
async def test_nothing_leaks_and_every_phase_is_one_that_may_follow(
    house: House, seed: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("node_agent.watch.RECONCILE_SECONDS", 0.2)
    monkeypatch.setattr("node_agent.instance.RETRY_SECONDS", 0.1)
    house.write(
        small={**MODEL, "drain_seconds_max": 0.3, "sleep_seconds_max": 0.5, "start_seconds_max": 2}
    )
    chance, names = random.Random(seed), list[str]()
    for _ in range(2):
        async with house.agent():
            agrees(house)
            for _ in range(STEPS):
                await step(house, chance, names)
                agrees(house)
            house.engine.refuses.clear()
    async with house.agent():
        # An instance that broke is as much of a leak as a container: every one must reach its end.
        for name in list(house.node.instances):
            await send(house, "stop", name)
        async with asyncio.timeout(10):
            for one in house.node.instances.values():
                while one.phase in phases.RUNNING or not one.at_rest:
                    await asyncio.sleep(0.02)
        assert house.engine.containers == {}
        assert house.engine.networks == {}
        assert house.node.in_flight == 0
    broken = {"instance.broke", "hub.failed", "request.failed"} & {
        one.message for one in caplog.records
    }
    assert not broken
