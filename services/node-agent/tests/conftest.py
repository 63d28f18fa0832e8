"""A node with a played engine behind a real socket, asked over HTTP as the scheduler and the gateway ask it."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer
from contracts.gpunode import CardReading, CardUse, NodeState
from kit.clock import Clock
from kit.health import Health
from node_agent import watch
from node_agent.app import Answers
from node_agent.cards import Resident
from node_agent.engine import Engine
from node_agent.node import Node
from node_agent.numbers import Numbers
from node_agent.proxy import open_session
from node_agent.settings import Settings

from .played import PlayedEngine

LLM = "lares/local-llm:gpu"
MODEL = {"kind": "chat", "engine": "local-llm", "vram_mib": 1000, "asleep_mib": 0, "slots": 2,
         "context_tokens": 2048, "drain_seconds_max": 2, "stop_seconds_max": 2, "start_seconds_max": 5,
         "sleep": {"method": "idle", "idle_seconds": 1}}  # fmt: skip
_numbers = itertools.count()


@dataclass
class PlayedCards:
    """One card that shows what is resident; `left` is what stays when a model says that it sleeps."""

    left: int = 0
    total: int = 8000
    error: str | None = None

    async def read(self, residents: Sequence[Resident]) -> tuple[CardReading, ...]:
        held = {"asleep": self.left, "stopping": 0}
        ours = tuple(
            CardUse(instance_id=one.instance_id, used_mib=held.get(one.phase, one.footprint_mib))
            for one in residents
        )
        used = sum(use.used_mib for use in ours)
        return (
            CardReading(id="sim-0", index=0, name="played", vendor="simulated", total_mib=self.total,
                        used_mib=used, ours=ours, error=self.error),
        )  # fmt: skip

    async def close(self) -> None:
        pass


@dataclass
class House:
    """The node under test and everybody around it."""

    engine: PlayedEngine
    cards: PlayedCards
    settings: Settings
    catalogue: Path
    node: Node = field(init=False)
    client: TestClient[Any, Any] = field(init=False)
    fences: itertools.count[int] = field(default_factory=lambda: itertools.count(5_000_000_001))

    def write(self, **models: dict[str, Any]) -> None:
        self.catalogue.write_text(yaml.safe_dump({"version": 1, "models": models}))

    @asynccontextmanager
    async def agent(self) -> AsyncIterator[Node]:
        """One life of the agent. Its end leaves the containers as they are, as a SIGKILL does."""
        engine = Engine(self.settings.socket_path, self.settings.node, seconds_max=1.0)
        session = open_session(64)
        self.node = Node(self.settings, engine, self.cards, Clock(), Numbers(), session)
        answers = Answers(
            self.node, Health("node-agent"), lambda request: request.headers.get("role")
        )  # type: ignore[arg-type,return-value]
        server = TestServer(answers.app(), handler_cancellation=True)
        self.client = TestClient(server)
        await self.client.start_server()
        tasks = [
            asyncio.create_task(work)
            for work in (
                watch.adopt(self.node), watch.watch_deaths(self.node), watch.reconcile(self.node),
                watch.watch_catalogue(self.node), self.node.hub.run(),
            )
        ]  # fmt: skip
        try:
            async with asyncio.timeout(5):
                while self.node.hub.latest is None and not self.engine.hangs:
                    await asyncio.sleep(0.01)
            yield self.node
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.gather(*(one.abandon() for one in self.node.instances.values()))
            await self.client.close()
            await session.close()
            await engine.close()

    async def act(
        self, verb: str, instance: str = "a", /, status: int = 202, **more: Any
    ) -> dict[str, Any]:
        told = {
            "action_id": f"act-{next(_numbers)}",
            "fence": next(self.fences),
            "verb": verb,
            "instance_id": instance,
        }
        if verb == "start":
            told |= {"model": "small", "cards": ["sim-0"]}
        reply = await self.client.post(
            "/v1/actions", json=told | more, headers={"role": "scheduler"}
        )
        body = await reply.json()
        assert reply.status == status, body
        return body

    async def ask(
        self, instance: str = "a", path: str = "/v1/chat/completions", **more: Any
    ) -> ClientResponse:
        headers = {
            "role": "gateway",
            "X-Lares-Fence": str(next(self.fences)),
            "X-Lares-Request": f"r{next(_numbers)}",
        }
        return await self.client.post(
            f"/v1/instances/{instance}{path}",
            headers=headers | more.pop("headers", {}),
            **{"json": {"messages": []}, **more},
        )

    async def state(self) -> NodeState:
        reply = await self.client.get("/v1/state", headers={"role": "scheduler"})
        return NodeState.model_validate_json(await reply.text())

    async def until(self, phase: str, instance: str = "a", seconds: float = 8.0) -> Any:
        """Return the instance once it is in that phase."""
        seen: list[str] = []
        for _ in range(int(seconds / 0.02)):
            one = self.node.instances.get(instance)
            seen.append(one.phase if one else "unknown")
            if seen[-1] == phase:
                return one
            await asyncio.sleep(0.02)
        pytest.fail(
            f"{instance} is not {phase}: {list(dict.fromkeys(seen))} {one.error if one else ''}"
        )

    async def ready(self, instance: str = "a", **more: Any) -> Any:
        await self.act("start", instance, **more)
        return await self.until("ready", instance)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """A node with one model, `small`; its agent is not started: `async with house.agent()`."""
    engine = PlayedEngine()
    engine.images[LLM] = "sha256:1"
    catalogue = tmp_path / "models.yaml"
    settings = Settings(
        bind="127.0.0.1", node="forge", catalogue_path=catalogue, weights_path=tmp_path / "weights",
        socket_path=tmp_path / "engine.sock", models_net=f"127.{10 + os.getpid() % 240}", version="gpu", cards="simulated",
        cgroup_path=tmp_path / "cgroup",
    )  # fmt: skip
    made = House(engine, PlayedCards(), settings, catalogue)
    made.write(small=MODEL)
    async with engine.serving(settings.socket_path):
        yield made


@pytest.fixture
def lines() -> Callable[[ClientResponse], Any]:
    async def read(reply: ClientResponse) -> NodeState:
        return NodeState.model_validate(json.loads(await reply.content.readline()))

    return read
