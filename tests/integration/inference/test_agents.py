"""Agents: a process that stands still, or an agent of many that falls silent, keeps no card from the others."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from contracts.scheduling import AgentView
from kit.testing.callers import CallerFactory
from kit.testing.data import Postgres

from .conftest import Process, Scene, free_port
from .node import WORDS
from .test_gateway_and_scheduler import ANSWER, idle, until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]
ALIVE_SECONDS = 2.0
MANY = 24


async def agents(scene: Scene) -> dict[str, AgentView]:
    """Return the agents that the scheduler knows, by name."""
    return {agent.id: agent for agent in (await scene.status()).agents}


async def eventually(look: Any, seconds: float = 30.0) -> Any:
    """Return what `look` finds, as soon as it finds anything."""
    async with asyncio.timeout(seconds):
        while not (found := await look()):
            await asyncio.sleep(0.05)
    return found


@pytest.fixture
async def orchestrator(
    scene: Scene, pg: Postgres, valkey: Any, caller_factory: CallerFactory, tmp_path: Path
) -> AsyncGenerator[Process]:
    """The orchestrator as a process before the real gateway and scheduler; memory is away."""
    secrets = tmp_path / "orchestrator-secrets"
    secrets.mkdir()
    for name, value in {
        "db_password": pg.password("svc_orchestrator"),
        "valkey_password": valkey.password("orchestrator"),
        "caller_public_key": caller_factory.public_key_pem,
    }.items():
        (secrets / name).write_text(value)
    process = Process(
        "orchestrator",
        {
            "LARES_BIND": "127.0.0.1",
            "LARES_PORT": str(free_port()),
            "LARES_HEARTBEAT": str(tmp_path / "heartbeat-orchestrator"),
            "LARES_SECRETS_DIR": str(secrets),
            "LARES_POSTGRES_HOST": pg.host,
            "LARES_POSTGRES_PORT": str(pg.port),
            "LARES_VALKEY_HOST": valkey.host,
            "LARES_VALKEY_PORT": str(valkey.port),
            "LARES_MEMORY_URL": f"http://127.0.0.1:{free_port()}",
            "LARES_MODEL_GATEWAY_URL": scene.gateway.url,
            "LARES_GPU_SCHEDULER_URL": scene.scheduler.url,
            "LARES_AGENTS_MODEL": "talker",
            "LARES_AGENTS_ALIVE_SECONDS": str(ALIVE_SECONDS),
        },
        tmp_path / "orchestrator.log",
    )
    await process.start()
    yield process
    await process.kill()


async def turn(orchestrator: Process, headers: dict[str, str], text: str) -> str:
    """Return all that a turn streams."""
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"{orchestrator.url}/v1/turns", json={"text": text}, headers=headers
        ) as answer,
    ):
        return await answer.text()


async def test_an_orchestrator_that_stands_still_gives_up_its_place_and_comes_back(
    scene: Scene, orchestrator: Process
) -> None:
    known = await eventually(lambda: agents(scene))
    [name] = known
    assert name.startswith("orchestrator-")
    assert known[name].caller == "service:orchestrator"
    assert (await turn(orchestrator, scene.owner, "What is a word?")).count("word ") == WORDS

    scene.node.talker.pause_seconds = 2.0
    others = [
        asyncio.create_task(scene.ask(f"other {number}")) for number in range(scene.node.slots)
    ]
    await until(lambda: scene.node.talker.running == scene.node.slots)
    waiting = asyncio.create_task(turn(orchestrator, scene.owner, "What is another word?"))

    async def queued() -> bool:
        return [one.agent for one in (await scene.status()).queue] == [name]

    await eventually(queued)
    orchestrator.signal(signal.SIGSTOP)
    try:

        async def gone() -> bool:
            status = await scene.status()
            return not status.queue and not status.agents

        await eventually(gone)
        assert not scene.home.asked, "nobody answers in its place, to nobody"
    finally:
        orchestrator.signal(signal.SIGCONT)
    waiting.cancel()
    assert await eventually(lambda: agents(scene)), "it is heard again"
    for other in others:
        other.cancel()


async def test_an_orchestrator_answers_while_the_scheduler_is_away_and_is_known_to_the_next(
    scene: Scene, orchestrator: Process
) -> None:
    [name] = await eventually(lambda: agents(scene))
    await scene.scheduler.kill()
    assert (await turn(orchestrator, scene.owner, "What is a word?")).count("word ") == WORDS
    await scene.scheduler.start()
    await scene.offered()
    assert list(await eventually(lambda: agents(scene))) == [name]
    await orchestrator.kill()

    async def nobody() -> bool:
        return not await agents(scene)

    await eventually(nobody)


class Agent:
    """One of many: it beats, holds a lease, and waits for an answer."""

    def __init__(self, scene: Scene, session: aiohttp.ClientSession, number: int) -> None:
        self._scene, self._session = scene, session
        self.name = f"worker-{number}"
        self.tasks: list[asyncio.Task[Any]] = []
        self.answer: asyncio.Task[str]

    async def _call(self, method: str, path: str, body: Any) -> Any:
        url = f"{self._scene.scheduler.url}{path}"
        headers = {"X-Lares-Service": "orchestrator"}
        async with self._session.request(method, url, json=body, headers=headers) as answer:
            assert answer.status < 300, await answer.text()
            return await answer.json()

    async def begin(self) -> None:
        """Register, take a lease, ask a model."""
        await self._call("PUT", f"/v1/agents/{self.name}", {"ttl_seconds": ALIVE_SECONDS})
        self.tasks.append(asyncio.create_task(self._beat()))
        lease = {"memory_mib": 64, "agent": self.name, "ttl_seconds": 120, "wait_seconds": 10}
        assert (await self._call("POST", "/v1/leases", lease))["state"] == "held"
        self.answer = asyncio.create_task(self._ask())

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(ALIVE_SECONDS / 5)
            await self._call("PUT", f"/v1/agents/{self.name}", {"ttl_seconds": ALIVE_SECONDS})

    async def _ask(self) -> str:
        stream = await self._scene.client.chat.completions.create(
            model="talker",
            messages=[{"role": "user", "content": self.name}],
            stream=True,
            extra_headers={"X-Lares-Service": "orchestrator", "X-Lares-Agent": self.name},
        )
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    def stand_still(self) -> None:
        """Beat no more, and leave everything as it is."""
        for task in self.tasks:
            task.cancel()


async def test_of_two_dozen_agents_those_that_fall_silent_lose_their_leases_and_places_alone(
    scene: Scene,
) -> None:
    scene.node.talker.pause_seconds = 0.8
    async with aiohttp.ClientSession() as session:
        all_ = [Agent(scene, session, number) for number in range(MANY)]
        await asyncio.gather(*(agent.begin() for agent in all_))
        assert len(await agents(scene)) == MANY

        async def all_wait() -> bool:
            status = await scene.status()
            return len(status.queue) + scene.node.slots == MANY and len(status.leases) == MANY

        await eventually(all_wait)
        # The last third of the queue, so that none of them is being answered when it falls silent.
        order = [one.agent for one in (await scene.status()).queue]
        silent = {agent for agent in all_ if agent.name in order[-MANY // 3 :]}
        living = {agent.name for agent in all_} - {agent.name for agent in silent}
        for agent in silent:
            agent.stand_still()

        async def only_the_living() -> bool:
            status = await scene.status()
            return (
                {agent.id for agent in status.agents} == living
                and {lease.agent for lease in status.leases} == living
                and {one.agent for one in status.queue} <= living
            )

        await eventually(only_the_living)
        assert not scene.home.asked, "nobody else answers to the dead"
        scene.node.talker.pause_seconds = 0.01
        answers = [await agent.answer for agent in all_ if agent.name in living]
        assert answers == [ANSWER] * len(living)
        for agent in all_:
            agent.stand_still()
            agent.answer.cancel()
    await idle(scene)
