"""A whole house and a GPU node: who reaches whom over the link, what an answer takes, and what removing ends."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from node_agent import joining, renewing

from tests.gpu.asking import ask, chat, connect, container
from tests.gpu.engine import HOUSE, NEIGHBOUR, NODE
from tests.gpu.fixtures import NAME, let_go, let_join
from tests.gpu.node import AGENT, CARD_MIB, GpuNode
from tests.integration.house import containers, probe

pytestmark = [pytest.mark.integration, pytest.mark.stack, pytest.mark.timeout(600)]

PORTS = (22, 80, 443, 2375, 8000, 8443)
CALLERS = {"model-gateway", "gpu-scheduler"}


def until(ready: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.3)


def node_state(stack: Any) -> str:
    said = ask(stack, "dashboard", "GET", f"http://{stack.net}.32.2:8000/v1/status")
    assert said.status == 200, said.content
    return next((n["state"] for n in said.content["nodes"] if n["name"] == NAME), "unknown")


def test_the_scheduler_follows_a_node_that_has_joined(stack: Any, gpu_node: GpuNode) -> None:
    until(lambda: node_state(stack) == "up")
    said = ask(stack, "dashboard", "GET", f"http://{stack.net}.32.2:8000/v1/status").content
    assert [(card["node"], card["total_mib"]) for card in said["cards"]] == [(NAME, CARD_MIB)]


def test_an_answer_comes_from_a_model_that_was_started_for_it(
    stack: Any, gpu_node: GpuNode
) -> None:
    said = chat(stack, "tiny-a")
    assert said.status == 200, said.content
    assert said.content["choices"][0]["message"]["content"]
    assert len(gpu_node.models()) == 1


def test_a_model_that_can_never_fit_is_refused_at_once_with_the_arithmetic(
    stack: Any, gpu_node: GpuNode
) -> None:
    said = chat(stack, "huge")
    assert said.status >= 400
    assert "30000" in said.content["error"]["reason"], said.content
    assert said.seconds < 1


def test_the_proxy_alone_reaches_the_node_and_there_one_port(stack: Any, gpu_node: GpuNode) -> None:
    behind = {("10.86.0.2", 8443), ("10.87.0.6", 8000), ("10.87.1.6", 8000)}
    targets = {(a, p) for a in (NODE, NEIGHBOUR, HOUSE) for p in PORTS} | behind
    reached = {
        (one.service, target)
        for one in containers(stack.project)
        for target in one.reaches(targets)
    }
    assert reached == {("egress-proxy", (NODE, 8443))}


def test_the_proxy_takes_the_two_callers_there_and_nobody_else_and_nowhere_else(
    stack: Any, gpu_node: GpuNode
) -> None:
    clients = [
        one
        for one in containers(stack.project)
        if any(address.startswith(f"{stack.net}.5.") for address in one.addresses)
        and one.service != "egress-proxy"
    ]
    assert {one.service for one in clients} > CALLERS
    taken = {one.service for one in clients if connect(stack, one, f"{NODE}:8443") == "200"}
    assert taken == CALLERS
    for one in clients:
        for target in (f"{NODE}:22", f"{NODE}:443", f"{NEIGHBOUR}:8443", f"{HOUSE}:8443"):
            assert connect(stack, one, target) == "403", (one.service, target)


def test_nothing_on_the_node_reaches_the_house_but_the_door_that_everybody_has(
    stack: Any, gpu_node: GpuNode
) -> None:
    assert chat(stack, "tiny-a").status == 200
    doors = {(HOUSE, stack.https_port), (HOUSE, stack.http_port)}
    inside = {
        (address, port)
        for one in containers(stack.project)
        for address in one.addresses
        for port in (5432, 6379, 8000, 3128)
    }
    targets = inside | {(HOUSE, port) for port in PORTS} | doors
    agent = probe(["-t", str(gpu_node.pid(AGENT)), "-n"], targets)
    # Its house's two ports, which it joined through.
    assert agent <= doors
    for model in gpu_node.models().values():
        assert probe(["-t", str(gpu_node.pid(model)), "-n"], targets) == set()


def test_when_the_cable_is_out_the_house_answers_itself_and_takes_the_node_back_after(
    stack: Any, gpu_node: GpuNode
) -> None:
    until(lambda: node_state(stack) == "up")
    with gpu_node.unplugged():
        until(lambda: node_state(stack) == "away", 15)
        said = chat(stack, "tiny-b")
        assert said.status == 200, said.content
        refused = chat(stack, "tiny-c")
        assert refused.status == 503
        assert refused.seconds < 2
    until(lambda: node_state(stack) == "up", 15)
    assert chat(stack, "tiny-a").status == 200


def test_the_edge_reaches_the_one_path_of_the_scheduler_and_nobody_else_does(
    stack: Any, gpu_node: GpuNode
) -> None:
    """Also when the edge itself is taken over: the scheduler knows it by its address."""
    scheduler = f"http://{stack.net}.32.2:8000"
    for path in ("/v1/status", "/v1/models", "/v1/orders", "/metrics", "/healthz", "/"):
        assert ask(stack, "caddy", "GET", scheduler + path).status == 404, path
    assert ask(stack, "dashboard", "POST", f"{scheduler}/node/join", {}).status == 404


def test_a_token_that_is_shown_from_elsewhere_is_worth_nothing_after(
    stack: Any, gpu_node: GpuNode
) -> None:
    token = joining.read_token(let_join(stack.state))
    _, csr = renewing.new_request(NAME)
    body = {"token": token.secret, "node": NAME, "address": NODE, "csr": csr}

    def show() -> tuple[int, str]:
        with httpx.Client(verify=False, trust_env=False) as http:
            said = http.post(
                f"https://127.0.0.1:{stack.https_port}/node/join",
                json=body,
                headers={"host": stack.host, "x-lares-peer": NODE, "x-forwarded-for": NODE},
                extensions={"sni_hostname": stack.host},
            )
        return said.status_code, said.json()["error"]["code"]

    assert show() == (403, "inference.join_elsewhere")
    assert show() == (409, "inference.join_used")
    # The node that has joined goes on.
    assert chat(stack, "tiny-a").status == 200


def test_a_node_that_was_removed_is_sent_nothing_and_may_join_anew(
    stack: Any, gpu_node: GpuNode
) -> None:
    let_go(stack.state)
    assert node_state(stack) == "unknown"
    proxy = container(stack, "egress-proxy")
    assert proxy.reaches({(NODE, 8443)}) == set(), "the firewall lets it through still"
    gateway = container(stack, "model-gateway")
    assert connect(stack, gateway, f"{NODE}:8443") == "403"
    gpu_node.make("up", f"JOIN={let_join(stack.state)}")
    until(lambda: node_state(stack) == "up")
    assert chat(stack, "tiny-a").status == 200
