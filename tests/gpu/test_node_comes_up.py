"""A GPU node from its own `make up`, on a second engine: it joins, serves its house, and is closed to everybody else."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ssl
from collections.abc import AsyncGenerator, Iterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from contracts.gpunode import ACTIONS_PATH, STATE_PATH, JoinToken, NodeAction, NodeState

from tests.gpu.engine import HOUSE, NEIGHBOUR, NODE, Engine, engine
from tests.gpu.house import House, a_house, context_of, make_secrets
from tests.gpu.node import AGENT, CARD_MIB, GpuNode, inspect, prepared
from tests.integration.house import ROOT, probe

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]

HERE = ["--net=/proc/self/ns/net"]


@pytest.fixture(scope="module")
def machine() -> Iterator[Engine]:
    with engine(ROOT / ".lares-gpu-test") as there:
        yield there


@pytest.fixture(scope="module")
def bare(machine: Engine, node_images: str) -> GpuNode:
    return prepared(machine, "forge", node_images)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: Any, machine: Engine
) -> AsyncGenerator[House]:
    secrets = make_secrets(tmp_path_factory.mktemp("house"))
    folder = tmp_path_factory.mktemp("web")
    async with a_house(postgres_server, secrets, folder, bind=HOUSE, peer=None) as house:
        yield house


def word(token: JoinToken) -> str:
    return "lares1." + base64.urlsafe_b64encode(token.model_dump_json().encode()).decode()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node(bare: GpuNode, house: House) -> AsyncGenerator[GpuNode]:
    token = await house.token("forge", NODE)
    said = await asyncio.to_thread(bare.make, "up", f"JOIN={word(token)}")
    assert "forge is up" in said
    yield bare
    await asyncio.to_thread(bare.make, "leave")


async def ask(house: House, method: str, path: str, role: str, body: str | None = None) -> bytes:
    """Call the node as a service of the house does, but for the proxy."""
    name = (await house.member()).tls_name
    async with aiohttp.ClientSession() as session, session.request(
        method, f"https://{NODE}:8443{path}", ssl=context_of(house.secrets, role), server_hostname=name, data=body
    ) as answer:  # fmt: skip
        content = await answer.read()
        assert answer.status < 300, content
        return content


async def state(house: House) -> NodeState:
    return NodeState.model_validate_json(await ask(house, "GET", STATE_PATH, "gpu-scheduler"))


async def act(house: House, verb: Any, fence: int, **more: Any) -> None:
    action = NodeAction(action_id=f"{verb}-{fence}", fence=fence, verb=verb, **more)
    await ask(house, "POST", ACTIONS_PATH, "gpu-scheduler", action.model_dump_json())


async def until_phase(house: House, instance: str, phase: str) -> None:
    async with asyncio.timeout(90):
        while True:
            said = {i.instance_id: i.phase for i in (await state(house)).instances}
            if said.get(instance) == phase:
                return
            assert said.get(instance) != "failed", (await state(house)).instances
            await asyncio.sleep(0.3)


in_one_loop = pytest.mark.asyncio(loop_scope="module")


@in_one_loop
async def test_a_node_that_belongs_to_no_house_does_not_come_up_and_says_what_to_do(
    bare: GpuNode,
) -> None:
    with pytest.raises(AssertionError, match="node.no_house"):
        await asyncio.to_thread(bare.make, "up")


@in_one_loop
async def test_a_token_for_another_address_stops_before_it_is_spent(
    bare: GpuNode, house: House
) -> None:
    token = await house.token("forge", "192.168.232.77")
    with pytest.raises(AssertionError, match=rf"(?s)node.address.*ADDRESS={NODE}"):
        await asyncio.to_thread(bare.make, "up", f"JOIN={word(token)}")
    assert house.edge.seen == []


@in_one_loop
async def test_two_commands_bring_up_a_node_that_says_what_it_has(
    house: House, node: GpuNode
) -> None:
    said = await state(house)
    assert said.node == "forge"
    assert [(card.vendor, card.total_mib) for card in said.cards] == [("simulated", CARD_MIB)]
    assert {model.model for model in said.models} == {"tiny-a", "tiny-b", "tiny-c", "huge"}
    status = await asyncio.to_thread(node.make, "status")
    assert f"forge at {NODE}, for the house at {HOUSE}" in status
    checked = await asyncio.to_thread(node.make, "test")
    assert "MISSING" not in checked
    assert checked.count("  ok  ") >= 8


@in_one_loop
async def test_a_second_make_up_without_a_token_changes_nothing(
    house: House, node: GpuNode
) -> None:
    before = await asyncio.to_thread(inspect, node, AGENT)
    certificate = (node.state / "tls/node.pem").read_bytes()
    await asyncio.to_thread(node.make, "up")
    assert (await asyncio.to_thread(inspect, node, AGENT))["Id"] == before["Id"]
    assert (node.state / "tls/node.pem").read_bytes() == certificate


@in_one_loop
async def test_a_model_runs_there_and_answers_the_house_alone(house: House, node: GpuNode) -> None:
    """And reaches nothing: not the outside, not the house, not its own machine, not another model."""
    await act(
        house, "start", 1, instance_id="a1", model="tiny-a", cards=("sim-0",), charge_mib=2300
    )
    await act(
        house, "start", 2, instance_id="c1", model="tiny-c", cards=("sim-0",), charge_mib=1600
    )
    for instance in ("a1", "c1"):
        try:
            await until_phase(house, instance, "ready")
        except (AssertionError, TimeoutError) as error:
            error.add_note(
                await asyncio.to_thread(node.ended)
                + node.logs()[-6000:]
                + (node.engine.folder / "dockerd.log").read_text()[-5000:]
            )
            raise
    running = await asyncio.to_thread(node.models)
    assert set(running) == {"a1", "c1"}
    told = {name: await asyncio.to_thread(inspect, node, one) for name, one in running.items()}
    places = {name: address_of(one) for name, one in told.items()}
    ports = (8000, 8443, 22, 53, 80, house.ports[0], house.ports[1])
    for name, one in told.items():
        others = {NODE, HOUSE, NEIGHBOUR, "203.0.113.1", *places.values()} - {places[name]}
        others |= {f"{places[name].rsplit('.', 1)[0]}.1", "10.86.0.2", "10.86.0.1", "172.30.0.1"}
        reached = probe(
            ["-t", str(one["State"]["Pid"]), "-n"], {(a, p) for a in others for p in ports}
        )
        assert reached == set(), f"{name} reaches {reached}"


def address_of(told: dict[str, Any]) -> str:
    (network,) = told["NetworkSettings"]["Networks"].values()
    return network["IPAddress"]


@in_one_loop
async def test_the_agent_reaches_the_houses_door_and_nothing_else(
    house: House, node: GpuNode
) -> None:
    pid = await asyncio.to_thread(node.pid, AGENT)
    doors = {(HOUSE, port) for port in house.ports}
    ports = {22, 53, 80, 443, 8443, *house.ports}
    targets = {(a, p) for a in (HOUSE, NEIGHBOUR, "203.0.113.1", NODE, "172.30.0.1") for p in ports}
    reached = await asyncio.to_thread(probe, ["-t", str(pid), "-n"], targets)
    assert reached == doors


@in_one_loop
async def test_the_house_alone_reaches_the_node_and_there_one_port(
    house: House, node: GpuNode
) -> None:
    import socket

    targets = {(NODE, port) for port in (22, 80, 443, 2375, 2376, 8000, 8443)}
    # The containers themselves too: a machine on the same network may route to them.
    agent = ("10.86.0.2", 8443)
    targets |= {agent, ("10.86.0.1", 22), ("10.87.0.6", 8000), ("10.87.1.6", 8000)}
    assert await asyncio.to_thread(probe, HERE, targets) == {(NODE, 8443), agent}

    def from_the_neighbour(target: tuple[str, int]) -> None:
        with socket.socket() as other:
            other.settimeout(2)
            other.bind((NEIGHBOUR, 0))
            other.connect(target)

    for target in ((NODE, 8443), agent):
        with pytest.raises(OSError):
            await asyncio.to_thread(from_the_neighbour, target)


@in_one_loop
async def test_without_a_certificate_of_the_house_the_open_port_says_nothing(
    house: House, node: GpuNode
) -> None:
    blind = ssl.create_default_context()
    blind.check_hostname, blind.verify_mode = False, ssl.CERT_NONE
    with pytest.raises(aiohttp.ClientError):
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"https://{NODE}:8443/healthz", ssl=blind) as answer,
        ):
            await answer.read()


@in_one_loop
async def test_a_killed_agent_comes_back_and_finds_what_runs(house: House, node: GpuNode) -> None:
    before = await asyncio.to_thread(node.models)
    boot = (await state(house)).boot
    await asyncio.to_thread(node.kill)
    async with asyncio.timeout(20):
        while True:
            with contextlib.suppress(aiohttp.ClientError, OSError):
                said = await state(house)
                phases = sorted(i.phase for i in said.instances)
                # One that can sleep does so by itself while nobody looks after it.
                if said.boot != boot and phases in (["ready"] * 2, ["asleep", "ready"]):
                    break
            await asyncio.sleep(0.2)
    assert await asyncio.to_thread(node.models) == before


@in_one_loop
async def test_the_cable_can_be_pulled_and_put_back(house: House, node: GpuNode) -> None:
    with node.unplugged():
        with pytest.raises((TimeoutError, OSError)):
            async with asyncio.timeout(1.5):
                await state(house)
    assert (await state(house)).node == "forge"


@in_one_loop
async def test_down_stops_the_models_too_and_up_brings_the_node_back_without_a_token(
    house: House, node: GpuNode
) -> None:
    await asyncio.to_thread(node.make, "down")
    assert (await asyncio.to_thread(node.docker, "ps", "-aq")).split() == []
    await asyncio.to_thread(node.make, "up")
    assert (await state(house)).instances == ()


@in_one_loop
async def test_leaving_erases_the_key_and_opens_nothing(house: House, node: GpuNode) -> None:
    await asyncio.to_thread(node.make, "leave")
    assert not node.state.exists()
    rules = await asyncio.to_thread(node.engine.run, "iptables-save")
    assert "LARES-GPU" not in rules
