"""Two GPU nodes in one house: each with its own models; and cards that cannot be told apart are not mixed up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from contracts.scheduling import Ended

from . import a_node
from .a_house import Certificates, Gateway, House
from .a_node import ANode, model
from .conftest import join_node
from .test_routes import eventually, status

pytestmark = pytest.mark.integration
ATTIC = "attic-0a1b2c3d.node.lares"


def upstairs(**changed: Any) -> ANode:
    node = ANode("attic", **changed)
    node.address = "127.0.0.2"
    return node


async def test_two_nodes_serve_side_by_side(
    house: House, gateways: Callable[..., Gateway], certificates: Certificates, pg: Any
) -> None:
    attic = upstairs(card="GPU-1").offer(model("upstairs", 4000))
    async with attic.serving(certificates.server("attic", ATTIC)):
        await join_node(pg, attic, ATTIC)
        await house.scheduler.house.fleet.refresh()
        gateway = await gateways(house.url).connect()
        await gateway.offered("upstairs", available=True)
        for name, wanted, node in (("a", "small", "forge"), ("b", "upstairs", "attic")):
            await gateway.ask(name, wanted)
            granted = await gateway.hear("granted", name)
            assert granted.node == node
            await gateway.say(Ended(request_id=name, fence=granted.fence, outcome="ok"))
        assert attic.verbs() == [("start", "upstairs")]
        assert [card.node for card in (await status(house)).cards] == ["attic", "forge"]


async def test_a_node_whose_card_bears_anothers_id_is_not_believed_and_the_page_says_why(
    house: House, gateways: Callable[..., Gateway], certificates: Certificates, pg: Any
) -> None:
    gateway = await gateways(house.url).connect()
    await gateway.offered("small", available=True)
    attic = upstairs(total_mib=90_000).offer(model("vast", 80_000))
    async with attic.serving(certificates.server("attic", ATTIC)):
        await join_node(pg, attic, ATTIC)
        fleet = house.scheduler.house.fleet
        await fleet.refresh()
        await eventually(lambda: fleet.said().get("attic"))
        shown = await status(house)
        [node] = [one for one in shown.nodes if one.name == "attic"]
        assert node.state == "away"
        assert a_node.CARD in (node.error or "")
        assert "forge" in (node.error or "")
        [card] = shown.cards
        assert (card.node, card.total_mib) == ("forge", 24_000)
        await gateway.ask("a", "vast")
        assert (await gateway.hear("refused", "a")).code == "inference.not_offered"
        assert attic.actions == []
