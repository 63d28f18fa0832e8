"""The cards over MCP: what a token may see and order there is what it was made for."""

from __future__ import annotations

import json
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import pytest

from tests.e2e.browser import authority
from tests.e2e.conftest import OPEN
from tests.e2e.person import Person
from tests.e2e.test_03_keys import Nearby, in_a_thread
from tests.e2e.test_10_inference import ORDER, running
from tests.gpu.crowd import until
from tests.gpu.node import GpuNode

pytestmark = pytest.mark.timeout(240)

TOOLS = {"inference_status", "load_model", "unload_model"}


@pytest.fixture(scope="module")
def keeper(browser: Any, stack: Any) -> Person:
    """An owner who gives tokens to programs."""
    person = Person(browser, stack, "porter")
    OPEN.callback(person.leave)
    person.come_in()
    return person


def token(keeper: Person, name: str, *may: str) -> str:
    """Make a token on the Security page, with what it may do beside reading memories; return its secret."""
    page = keeper.page
    page.bring_to_front()
    page.goto("/security")
    page.get_by_role("button", name="New token").click()
    page.get_by_label("Name").fill(name)
    for box in may:
        page.get_by_label(box).check()
    page.get_by_role("button", name="Make the token").click()
    keeper.prove()
    dialog = page.get_by_role("dialog", name=f"Token “{name}”")
    secret = dialog.get_by_label("Access token").inner_text().strip()
    dialog.get_by_role("button", name="Done").click()
    return secret


def over_mcp(stack: Any, secret: str, work: Callable[[Any], Awaitable[Any]]) -> Any:
    """Do something as an AI client does, with the client library that such programs use."""

    async def connected() -> Any:
        from fastmcp import Client
        from fastmcp.client.transports import StreamableHttpTransport

        tls = ssl.create_default_context(cadata=authority(stack))

        def client_factory(**options: Any) -> httpx2.AsyncClient:
            return httpx2.AsyncClient(**{**options, "transport": Nearby(stack, verify=tls)})

        transport = StreamableHttpTransport(
            f"{stack.url}/mcp", auth=secret, httpx_client_factory=client_factory
        )
        async with Client(transport) as client:
            return await work(client)

    return in_a_thread(connected)


async def names(client: Any) -> set[str]:
    """Return the names of the tools that this client is shown."""
    return {tool.name for tool in await client.list_tools()}


def call(tool: str, **arguments: Any) -> Callable[[Any], Awaitable[Any]]:
    """Return what calls a tool and gives its answer."""

    async def work(client: Any) -> Any:
        answer = await client.call_tool(tool, arguments)
        return json.loads(answer.content[0].text)

    return work


def test_a_token_for_the_cards_looks_loads_and_unloads(
    keeper: Person, stack: Any, gpu_node: GpuNode
) -> None:
    secret = token(
        keeper, "A workshop", "See what the GPU cards do", "Load and unload models on them"
    )
    assert over_mcp(stack, secret, names) >= TOOLS
    if running(gpu_node, "tiny-c"):
        assert keeper.page.evaluate(ORDER, {"verb": "evict", "on": "tiny-c"}) == 202
        until(lambda: not running(gpu_node, "tiny-c"), 30, "it runs still")
    seen = over_mcp(stack, secret, call("inference_status"))
    assert [node["name"] for node in seen["nodes"]] == ["forge"]
    assert "tiny-c" in {model["model"] for model in seen["models"]}
    over_mcp(stack, secret, call("load_model", model="tiny-c"))
    until(
        lambda: len(running(gpu_node, "tiny-c")) == 1,
        60,
        "nothing was started",
        lambda: over_mcp(stack, secret, call("inference_status")),
    )
    over_mcp(stack, secret, call("unload_model", model="tiny-c"))
    until(lambda: not running(gpu_node, "tiny-c"), 60, "it runs still")


def test_what_cannot_be_loaded_is_refused_with_why_and_what_to_do(
    keeper: Person, stack: Any, gpu_node: GpuNode
) -> None:
    secret = token(
        keeper, "A mechanic", "See what the GPU cards do", "Load and unload models on them"
    )
    assert keeper.page.evaluate(ORDER, {"verb": "ban", "on": "tiny-c"}) == 202
    try:
        with pytest.raises(Exception, match=r"inference\.order_on_banned.*Lift the ban first"):
            over_mcp(stack, secret, call("load_model", model="tiny-c"))
    finally:
        assert keeper.page.evaluate(ORDER, {"verb": "allow", "on": "tiny-c"}) == 202
    with pytest.raises(Exception, match=r"inference\.never_fits"):
        over_mcp(stack, secret, call("load_model", model="huge"))


def test_a_token_that_may_only_look_is_not_shown_how_to_order(
    keeper: Person, stack: Any, gpu_node: GpuNode
) -> None:
    secret = token(keeper, "A gauge", "See what the GPU cards do")
    shown = over_mcp(stack, secret, names)
    assert shown & TOOLS == {"inference_status"}
    with pytest.raises(Exception, match="error response"):
        over_mcp(stack, secret, call("load_model", model="tiny-c"))
    assert not running(gpu_node, "tiny-c")


def test_a_token_for_memories_is_not_shown_the_cards(
    keeper: Person, stack: Any, gpu_node: GpuNode
) -> None:
    secret = token(keeper, "A notebook")
    shown = over_mcp(stack, secret, names)
    assert shown
    assert shown & TOOLS == set()
    for tool in sorted(TOOLS):
        with pytest.raises(Exception, match=r"(?i)unknown|not found|scope|forbidden|error"):
            over_mcp(stack, secret, call(tool, **({} if "status" in tool else {"model": "tiny-c"})))
