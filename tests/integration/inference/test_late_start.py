"""A model that takes long to start, with the real node-agent: it is started once, whatever gets lost on the way.

The agent is the process that runs on a node; the engine before it is played, so that a container's server can be as slow
as the test wants and every container that was ever made is counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from contracts.scheduling import Lease, Status
from kit.testing.callers import CallerFactory
from kit.testing.data import Postgres

from tests.integration.house import ROOT

from .conftest import Process, free_port, join, scheduler_secrets, sign_node, the_scheduler
from .node import Link

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]
IMAGE = "lares/local-llm:late"
# The core takes an action of which it has heard nothing for so long for one that never arrived.
ACTION_SECONDS = 10.0
SLOW = {"kind": "chat", "engine": "local-llm", "vram_mib": 3000, "asleep_mib": 0, "slots": 2, "context_tokens": 2048,
        "drain_seconds_max": 2, "stop_seconds_max": 2, "start_seconds_max": 120}  # fmt: skip


def _played() -> Any:
    """The engine of node-agent's own tests: services' tests are no package."""
    path = ROOT / "services/node-agent/tests/played.py"
    spec = importlib.util.spec_from_file_location("node_agent_played", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


class AgentProcess(Process):
    """`python -m node_agent`. It serves nobody without a certificate: that it is up, the scheduler says."""

    async def start(self) -> None:
        """Start it."""
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", self.module), env=self.environment, stdout=log, stderr=log
            )


@dataclass
class Late:
    """The scheduler, the link, the agent, and what stands for the engine."""

    scheduler: Process
    agent: AgentProcess
    link: Link
    engine: Any
    owner: dict[str, str]

    @property
    def server(self) -> Any:
        """The one model server, however many containers of it there are."""
        return self.engine.model(IMAGE)

    def made(self) -> int:
        """How many containers were ever made."""
        return sum(call.startswith("POST /containers/create") for call in self.engine.calls)

    def told(self) -> int:
        """How many models were ever started."""
        return sum(call.endswith("/start") for call in self.engine.calls)

    async def call(self, method: str, path: str, body: Any = None) -> tuple[int, str]:
        async with (
            aiohttp.ClientSession() as session,
            session.request(
                method, f"{self.scheduler.url}{path}", json=body, headers=self.owner
            ) as answer,
        ):
            return answer.status, await answer.text()

    async def status(self) -> Status | None:
        with contextlib.suppress(aiohttp.ClientError):
            code, text = await self.call("GET", "/v1/status")
            return Status.model_validate_json(text) if code == 200 else None
        return None

    async def phases(self) -> list[str] | None:
        """The phases of all instances, as the scheduler sees them; None while it does not look."""
        status = await self.status()
        return None if status is None else [one.phase for one in status.instances]

    async def up(self) -> bool:
        status = await self.status()
        return status is not None and [node.state for node in status.nodes] == ["up"]

    async def lease(self) -> Lease:
        body = {"model": "slow", "wait_seconds": 30, "ttl_seconds": 120, "purpose": "to see it run"}
        code, text = await self.call("POST", "/v1/leases", body)
        assert code == 201, text
        return Lease.model_validate_json(text)

    async def load(self) -> None:
        code, text = await self.call("POST", "/v1/orders", {"verb": "load", "on": "slow"})
        assert code == 202, text


async def until(look: Callable[[], Awaitable[bool]], seconds: float = 30.0) -> None:
    async with asyncio.timeout(seconds):
        while not await look():
            await asyncio.sleep(0.05)


@pytest.fixture
async def late(
    pg: Postgres, valkey: Any, caller_factory: CallerFactory, tmp_path: Path
) -> AsyncGenerator[Late]:
    """A node whose one model is not ready before the test says so."""
    secrets = scheduler_secrets(pg, valkey, caller_factory, tmp_path / "state")
    engine = _played().PlayedEngine()
    engine.images[IMAGE] = "sha256:" + "5" * 64
    engine.model(IMAGE).ready = False
    tls = tmp_path / "tls"
    tls.mkdir()
    (tmp_path / "weights").mkdir()
    key, certificate, authority = sign_node(secrets)
    for name, content in (
        ("key.pem", key),
        ("node.pem", certificate),
        ("authority.pem", authority.encode()),
    ):
        (tls / name).write_bytes(content)
    (tmp_path / "models.yaml").write_text(yaml.safe_dump({"version": 1, "models": {"slow": SLOW}}))
    port = free_port()
    agent = AgentProcess(
        "node_agent",
        {
            "PYTHONPATH": ":".join(sys.path),
            "LARES_BIND": "127.0.0.1",
            "LARES_PORT": str(port),
            "LARES_NODE": "forge",
            "LARES_NODE_MODELS": str(tmp_path / "models.yaml"),
            "LARES_NODE_TLS_DIR": str(tls),
            "LARES_NODE_WEIGHTS": str(tmp_path / "weights"),
            "LARES_ENGINE_SOCKET": str(tmp_path / "engine.sock"),
            "LARES_CGROUP_PATH": "/sys/fs/cgroup",
            "LARES_MODELS_NET": "127.61",
            "LARES_NODE_CARDS": "simulated",
            "LARES_NODE_SIMULATED_CARDS": "sim-0:8000",
            "LARES_HEARTBEAT": str(tmp_path / "heartbeat-agent"),
            "LARES_VERSION": "late",
        },
        tmp_path / "agent.log",
    )
    async with AsyncExitStack() as stack:
        link = await stack.enter_async_context(Link().serving())
        await stack.enter_async_context(engine.serving(tmp_path / "engine.sock"))
        await join(pg, port)
        shared = {
            "LARES_BIND": "127.0.0.1",
            "LARES_POSTGRES_HOST": pg.host,
            "LARES_POSTGRES_PORT": str(pg.port),
            "LARES_EGRESS_PROXY_URL": f"http://127.0.0.1:{link.port}",
        }
        scheduler = the_scheduler(secrets, shared, valkey, tmp_path)
        for process in (agent, scheduler):
            stack.push_async_callback(process.kill)
            await process.start()
        made = Late(scheduler, agent, link, engine, caller_factory().headers)
        await until(made.up, 40)
        yield made


async def in_phase(late: Late, phase: str) -> None:
    """Return once the scheduler sees the one instance in that phase, as it has to within five seconds."""

    async def seen() -> bool:
        return await late.phases() == [phase]

    await until(seen, 15)


async def begun(late: Late) -> None:
    """Return once the node has begun to start it: what was only decided may be lost with who decided it."""

    async def running() -> bool:
        return [one.state for one in late.engine.containers.values()] == ["running"]

    await until(running)


async def is_once(late: Late) -> None:
    """Let it get ready; it is used, and it is the only one that was ever made."""
    late.server.ready = True
    await in_phase(late, "ready")
    lease = await late.lease()
    [container] = late.engine.containers.values()
    assert str(lease.path).rpartition("/")[2] in container.name
    assert (late.made(), late.told()) == (1, 1)


async def test_a_model_that_takes_longer_than_an_action_may_is_started_once(late: Late) -> None:
    await late.load()
    await in_phase(late, "starting")
    await asyncio.sleep(ACTION_SECONDS + 2)
    assert await late.phases() == ["starting"]
    await is_once(late)


async def test_a_start_whose_answer_is_lost_is_sent_again_and_carried_out_once(late: Late) -> None:
    late.link.answers_lost = 3
    await late.load()
    await in_phase(late, "starting")
    await asyncio.sleep(2)
    assert late.link.answers_lost == 0
    await is_once(late)


async def test_a_start_that_is_cut_off_from_its_answer_for_long_is_found_again(late: Late) -> None:
    late.engine.create_seconds = 0.5
    await late.load()
    async with asyncio.timeout(10):
        while not late.made():
            await asyncio.sleep(0.005)
    late.link.cut()
    await asyncio.sleep(ACTION_SECONDS + 2)
    late.link.up = True
    await until(late.up, 20)
    await in_phase(late, "starting")
    await is_once(late)


async def test_a_start_that_the_node_finishes_after_the_scheduler_died_belongs_to_the_next(
    late: Late,
) -> None:
    await late.load()
    await begun(late)
    await late.scheduler.kill()
    await late.scheduler.start()
    await in_phase(late, "starting")
    waiting = asyncio.create_task(late.lease())
    await asyncio.sleep(3)
    assert await late.phases() == ["starting"], "who asks meanwhile waits for this one"
    late.server.ready = True
    lease = await waiting
    assert lease.state == "held"
    assert (late.made(), late.told()) == (1, 1)


async def test_a_start_that_an_agent_died_over_is_taken_over_by_the_next(late: Late) -> None:
    await late.load()
    await begun(late)
    await late.agent.kill()
    await late.agent.start()

    async def away() -> bool:
        return not await late.up()

    with contextlib.suppress(TimeoutError):
        await until(away, 4)
    await until(late.up, 20)
    await in_phase(late, "starting")
    await is_once(late)
