"""Real containers of llama.cpp on the real engine, and an agent that is killed at every point."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import yaml
from kit.testing.containers import docker, require_image

from .real import SMALL, RealNode, resident_mib

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[RealNode]:
    require_image("lares/local-llm:dev")
    made = RealNode(tmp_path)
    await made.open()
    try:
        await made.start()
        yield made
    finally:
        await made.close()


async def test_a_model_lives_from_its_start_to_its_stop(node: RealNode) -> None:
    assert (await node.act("start"))["status"] == 202
    await node.until("ready")
    async with node.ask(stream=True, tokens=12) as reply:
        pieces = [line async for line in reply.content if line.startswith(b"data: {")]
    assert len(pieces) > 5
    assert json.loads(pieces[0][6:])["object"] == "chat.completion.chunk"
    (container,) = node.containers()
    awake = resident_mib(container)
    await node.act("sleep")
    await node.until("asleep")
    # llama.cpp really gives its memory back, and nothing that looks at it wakes it.
    await asyncio.sleep(3)
    assert resident_mib(container) < awake / 2
    assert (await node.state()).instances[0].phase == "asleep"
    await node.act("wake")
    await node.until("ready")
    assert resident_mib(container) > awake / 2
    assert await node.answer()
    await node.act("drain")
    async with node.ask() as reply:
        assert reply.status == 409
    await node.act("stop")
    await node.until("stopped")
    assert node.containers(everything=True) == []
    assert not docker("network", "ls", "-q", "--filter", f"label=house.lares.node={node.node}")


async def test_what_is_ready_stays_awake_and_several_live_side_by_side(node: RealNode) -> None:
    for instance in ("a", "b"):
        await node.act("start", instance)
    for instance in ("a", "b"):
        await node.until("ready", instance)
    (first, second) = sorted(node.containers())
    await asyncio.sleep(4)  # twice as long as llama.cpp waits before it sleeps
    assert min(resident_mib(first), resident_mib(second)) > 120
    assert all(await asyncio.gather(node.answer("a"), node.answer("b")))
    # Neither reaches the other, nor the house, nor anything outside.
    address = docker(
        "inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", second
    )
    probe = f"import socket; socket.create_connection(('{address.strip()}', 8000), 2)"
    with pytest.raises(RuntimeError):
        docker("exec", first, "python3", "-c", probe)
    with pytest.raises(RuntimeError):
        docker("exec", first, "python3", "-c", probe.replace(address.strip(), "1.1.1.1"))


async def test_its_walls_are_up(node: RealNode) -> None:
    await node.act("start")
    await node.until("ready")
    (container,) = node.containers()
    told = json.loads(docker("inspect", container))[0]
    host = told["HostConfig"]
    assert host["ReadonlyRootfs"] is True
    assert host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert host["RestartPolicy"]["Name"] == "no"
    assert host["Memory"] == host["MemorySwap"] == 700 * 2**20
    assert told["Config"]["User"] == "10045:10045"
    assert not host["Binds"]
    assert docker("exec", container, "id", "-u").strip() == "10045"


async def test_weights_of_the_owners_are_weighed_mounted_and_served(node: RealNode) -> None:
    weights = node.folder / "weights" / "smol.gguf"
    image = docker("create", "lares/local-llm:dev").strip()
    docker("cp", f"{image}:/models/default.gguf", str(weights))
    docker("rm", image)
    weights.chmod(0o644)
    unsaid = {**SMALL, "vram_mib": None, "ram_mib": None, "files": {"model": "smol.gguf"}}
    node.write(small=unsaid)
    async for state in node.events():
        if state.models[0].footprint and state.models[0].footprint.source == "gguf":
            break
    footprint = state.models[0].footprint
    assert 80 <= footprint.weights_mib <= 110
    assert 30 <= footprint.cache_mib <= 60
    assert footprint.context_mib == 0  # a simulated card has no driver
    assert (await node.act("start"))["status"] == 202
    await node.until("ready")
    (container,) = node.containers()
    assert await node.answer()
    assert docker("exec", container, "ls", "/models").split() == ["default.gguf", "smol.gguf"]
    with pytest.raises(RuntimeError, match="Read-only"):
        docker("exec", "-u", "0", container, "touch", "/models/smol.gguf")


async def test_the_agent_keeps_its_memory_budget_while_it_works(node: RealNode) -> None:
    await node.act("start")
    await node.until("ready")
    async with node.ask(stream=True, tokens=50) as reply:
        await reply.read()
    assert node.process is not None
    lines = Path(f"/proc/{node.process.pid}/smaps_rollup").read_text().splitlines()
    kib = next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    budget = yaml.safe_load((Path(__file__).parents[1] / "service.yaml").read_text())
    assert kib / 1024 <= budget["memory_budget_mib"]


@pytest.mark.parametrize(
    "phase", ["starting", "ready", "draining", "sleeping", "asleep", "waking", "stopping"]
)
async def test_an_agent_that_is_killed_knows_what_runs_when_it_is_back(
    node: RealNode, phase: str
) -> None:
    await node.act("start")
    if phase != "starting":
        await node.until("ready")
    if phase in ("asleep", "waking"):
        await node.act("sleep")
        await node.until("asleep")
    verbs = {"draining": "drain", "sleeping": "sleep", "waking": "wake", "stopping": "stop"}
    if phase in verbs:
        await node.act(verbs[phase])
    if phase == "starting":
        while not node.containers():
            await asyncio.sleep(0.02)
    node.kill()
    await node.start()
    state = await node.state()
    told = {f"lares-model-{one.instance_id}" for one in state.instances if one.phase != "failed"}
    assert set(node.containers(everything=True)) <= told
    if phase == "stopping":
        return  # the engine was told already: it is gone or going
    one = await node.until(lambda one: one.phase in ("ready", "asleep"))
    if one.phase == "asleep":
        await node.act("wake")
        await node.until("ready")
    assert await node.answer()
    await node.act("stop")
    await node.until("stopped")
    assert node.containers(everything=True) == []


async def test_a_model_that_is_killed_has_failed_with_its_requests(node: RealNode) -> None:
    await node.act("start")
    await node.until("ready")
    (container,) = node.containers()
    async with node.ask(stream=True, tokens=1500) as reply:
        await reply.content.readline()
        docker("kill", container)
        with pytest.raises(aiohttp.ClientError):
            while await reply.content.readline():
                pass
    one = await node.until(lambda one: one.phase == "failed")
    assert not one.out_of_memory
    assert "137" in (one.error or "")
    assert node.containers(everything=True) == []


async def test_a_model_beyond_its_host_memory_is_out_of_memory(node: RealNode) -> None:
    node.write(small=SMALL, tight={**SMALL, "memory_limit_mib": 64})
    async for state in node.events():
        if len(state.models) == 2:  # the file has been read again
            break
    await node.act("start", model="tight")
    one = await node.until(lambda one: one.phase in ("failed", "ready"))
    assert one.phase == "failed", "the limit was not in force"
    assert one.out_of_memory, one.error


async def test_a_client_that_goes_stops_the_generation(node: RealNode) -> None:
    await node.act("start")
    await node.until("ready")
    (container,) = node.containers()
    async with node.ask(stream=True, tokens=1900) as reply:
        await reply.content.readline()
    # Closed in the middle of the answer: the server's own account must show that it stopped.
    async with asyncio.timeout(10):
        while running(container):
            await asyncio.sleep(0.1)
    assert predicted(container) < 1500
    async with asyncio.timeout(5):
        while (await node.state()).instances[0].in_flight:
            await asyncio.sleep(0.1)


def metric(container: str, name: str) -> float:
    code = (
        "import os,urllib.request as u;"
        "print(u.urlopen(f\"http://{os.environ['LARES_BIND']}:8000/metrics\").read().decode())"
    )
    said = docker("exec", container, "python3", "-c", code)
    found = re.search(rf"^llamacpp:{name} ([0-9.e+]+)", said, re.MULTILINE)
    assert found, said
    return float(found[1])


def running(container: str) -> bool:
    return metric(container, "requests_processing") > 0


def predicted(container: str) -> float:
    return metric(container, "tokens_predicted_total")


async def test_an_action_repeated_and_a_fence_of_the_past(node: RealNode) -> None:
    first = await node.act("start", action_id="once", fence=6_000_000_005)
    again = await node.act("start", action_id="once", fence=6_000_000_005)
    assert (first["repeated"], again["repeated"]) == (False, True)
    await node.until("ready")
    refused = await node.act("stop", fence=6_000_000_004)
    assert (refused["status"], refused["error"]["code"]) == (409, "node.fence_stale")
    async with node.ask(fence=6_000_000_004) as reply:
        assert reply.status == 409
    assert len(node.containers()) == 1


async def test_only_certificates_of_the_house_with_the_right_role_are_heard(node: RealNode) -> None:
    gateway, scheduler = node.sessions["gateway"], node.sessions["scheduler"]
    async with gateway.get("/v1/state") as reply:
        assert reply.status == 403
    async with scheduler.post("/v1/instances/a/v1/chat/completions") as reply:
        assert reply.status == 403
    bare = ssl.create_default_context(cafile=str(node.folder / "tls" / "authority.pem"))
    async with aiohttp.ClientSession() as nobody:
        with pytest.raises(aiohttp.ClientError):
            await nobody.get(f"https://localhost:{node.port}/v1/state", ssl=bare)


async def test_sigterm_leaves_the_models_running_or_stops_them_as_it_is_set(node: RealNode) -> None:
    await node.act("start")
    await node.until("ready")
    assert node.process is not None
    said = node.events()
    await anext(said)
    node.process.terminate()
    async with asyncio.timeout(20):
        while not (await anext(said)).leaving:
            pass
    await said.aclose()
    assert await asyncio.to_thread(node.process.wait, 20) == 0
    assert len(node.containers()) == 1
    node.environment["LARES_NODE_STOP_MODELS"] = "true"
    await node.start()
    node.process.terminate()
    assert await asyncio.to_thread(node.process.wait, 30) == 0
    assert node.containers(everything=True) == []
