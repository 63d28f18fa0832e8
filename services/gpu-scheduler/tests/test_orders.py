"""An order that could not be carried out is refused at once, with why and what to do; one that can is carried out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from contracts.scheduling import Ended
from kit.testing.bus import until

from .a_house import Gateway, House
from .a_node import model
from .test_routes import order
from .test_waking import be_wakeable

pytestmark = pytest.mark.integration
Make = Callable[..., Gateway]


async def refused(house: House, owner: dict[str, str], verb: str, **about: Any) -> Any:
    """Return the coded error with which an order is refused."""
    reply = await order(house, owner, verb, **about)
    assert reply.status_code >= 400, reply.text
    error = reply.json()["error"]
    assert error["reason"]
    assert error["fix"]
    return error


async def taken(house: House, owner: dict[str, str], verb: str, **about: Any) -> None:
    reply = await order(house, owner, verb, **about)
    assert reply.status_code == 202, reply.text


def phases(house: House) -> dict[str, str]:
    return {one.model.model: one.phase for one in house.node.instances.values()}


@pytest.fixture
def owner(caller_factory: Any) -> dict[str, str]:
    return caller_factory().headers


async def test_a_banned_model_is_neither_loaded_nor_pinned_until_the_ban_is_lifted(
    house: House, gateways: Make, owner: dict[str, str]
) -> None:
    gateway = await gateways(house.url).connect()
    await gateway.offered("small", available=True)
    await taken(house, owner, "ban", on="small")
    for verb in ("load", "pin"):
        error = await refused(house, owner, verb, on="small")
        assert error["code"] == "inference.order_on_banned"
        assert "small" in error["reason"]
        assert "Lift the ban first" in error["fix"]
    await taken(house, owner, "allow", on="small")
    await taken(house, owner, "load", on="small")
    await until(lambda: phases(house).get("small") == "ready")


async def test_a_model_that_never_fits_is_not_loaded_and_the_arithmetic_is_told(
    house: House, gateways: Make, owner: dict[str, str]
) -> None:
    await (await gateways(house.url).connect()).offered("huge", available=True)
    for verb in ("load", "pin"):
        error = await refused(house, owner, verb, on="huge")
        assert error["code"] == "inference.never_fits"
        assert "24000" in error["reason"]
    assert house.node.actions == []


async def test_what_is_pinned_is_room_that_a_load_will_never_have(
    house: House, gateways: Make, owner: dict[str, str]
) -> None:
    house.node.offer(model("wide", 14_000), model("broad", 14_000))
    await (await gateways(house.url).connect()).offered("wide", available=True)
    await taken(house, owner, "pin", on="wide")
    await until(lambda: phases(house).get("wide") == "ready")
    error = await refused(house, owner, "load", on="broad")
    assert error["code"] == "inference.never_fits"
    assert "pinned" in error["reason"]
    await taken(house, owner, "unpin", on="wide")
    await taken(house, owner, "load", on="broad")
    await until(lambda: phases(house).get("broad") == "ready")


async def test_nothing_is_loaded_on_a_node_that_is_away_drained_or_paused(
    house: House, gateways: Make, owner: dict[str, str]
) -> None:
    gateway = await gateways(house.url).connect()
    await gateway.offered("small", available=True)
    await taken(house, owner, "pause")
    assert (await refused(house, owner, "load", on="small"))["code"] == "inference.paused"
    await taken(house, owner, "resume")
    await taken(house, owner, "drain_node", on="forge")
    drained = await refused(house, owner, "load", on="small")
    assert drained["code"] == "inference.node_draining"
    assert "resume_node" in drained["fix"]
    await taken(house, owner, "resume_node", on="forge")
    await taken(house, owner, "load", on="small")
    await until(lambda: phases(house).get("small") == "ready")
    await gateway.offered("small", resident=True)
    house.proxy.cut()
    await gateway.offered("small", available=False)
    for verb in ("load", "evict"):
        error = await refused(house, owner, verb, on="small")
        assert error["code"] == "inference.node_away"
        assert "forge" in error["reason"]


async def test_a_model_that_cannot_be_started_is_not_loaded_and_says_why(
    house: House, gateways: Make, owner: dict[str, str]
) -> None:
    house.node.offer(model("broken", footprint=None, error="there is no file broken.gguf"))
    await (await gateways(house.url).connect()).offered("broken", available=False)
    error = await refused(house, owner, "load", on="broken")
    assert error["code"] == "inference.model_failing"
    assert "broken.gguf" in error["reason"]


async def test_nothing_is_sent_away_that_is_not_there_or_would_come_back_or_cannot_sleep(
    house: House, gateways: Make, owner: dict[str, str]
) -> None:
    house.node.offer(model("other", can_sleep=True, asleep_mib=100, asleep_ram_mib=4000))
    await (await gateways(house.url).connect()).offered("small", available=True)
    for verb in ("sleep", "evict"):
        assert (await refused(house, owner, verb, on="small"))["code"] == "inference.not_loaded"
    await taken(house, owner, "load", on="small")
    await until(lambda: phases(house).get("small") == "ready")
    error = await refused(house, owner, "sleep", on="small")
    assert error["code"] == "inference.cannot_sleep"
    await taken(house, owner, "pin", on="other")
    await until(lambda: phases(house).get("other") == "ready")
    for verb in ("sleep", "evict"):
        error = await refused(house, owner, verb, on="other")
        assert error["code"] == "inference.order_on_pinned"
    await taken(house, owner, "unpin", on="other")
    await taken(house, owner, "sleep", on="other")
    await until(lambda: phases(house).get("other") == "asleep")
    house.node.step_s = 1.0
    for _ in range(2):  # what is on its way out is sent away once, however often it is said
        await taken(house, owner, "evict", on="small")
    await until(lambda: phases(house).get("small", "stopped") == "stopped")
    assert house.node.verbs().count(("stop", "small")) == 1


@pytest.mark.parametrize("verb", ["load", "sleep", "evict", "pin", "unpin", "ban", "allow"])
async def test_no_order_is_taken_about_a_model_that_nobody_knows(
    house: House, gateways: Make, owner: dict[str, str], verb: str
) -> None:
    await (await gateways(house.url).connect()).offered("small", available=True)
    error = await refused(house, owner, verb, on="nothing-like-it")
    assert error["code"] == "inference.not_offered"


async def test_a_standing_order_on_a_model_that_is_gone_can_still_be_lifted(
    house: House, gateways: Make, owner: dict[str, str]
) -> None:
    await (await gateways(house.url).connect()).offered("other", available=True)
    await taken(house, owner, "ban", on="other")
    await taken(house, owner, "pin", on="small")
    for name in ("other", "small"):
        del house.node.models[name]
    house.node.changed()
    known = house.scheduler.house.loop.state.deployments
    await until(lambda: len(known) == 1)
    await taken(house, owner, "allow", on="other")
    await taken(house, owner, "unpin", on="small")
    assert (await refused(house, owner, "ban", on="other"))["code"] == "inference.not_offered"


async def test_a_load_wakes_a_node_that_is_off_and_a_paused_house_wakes_none(
    surroundings: House,
    start: Callable[..., Any],
    gateways: Make,
    owner: dict[str, str],
    pg: Any,
) -> None:
    await be_wakeable(pg)
    asked = Path(surroundings.environment["LARES_WAKE_DIR"]) / "forge"
    async with start() as house:
        gateway = await gateways(house.url).connect()
        await gateway.offered("small", available=True)
        state = house.scheduler.house.loop.state
        house.proxy.cut()
        await until(lambda: not state.nodes["forge"].up)
        await taken(house, owner, "pause")
        await gateway.ask("a")
        refusal = await gateway.hear("refused", "a")
        assert refusal.code == "inference.node_away"
        assert not asked.exists(), "the off switch is off"
        await taken(house, owner, "resume")
        await taken(house, owner, "load", on="small")
        await until(asked.exists)
        house.proxy.closed = False
        await until(lambda: phases(house).get("small") == "ready")
        await gateway.ask("b")
        granted = await gateway.hear("granted", "b")
        await gateway.say(Ended(request_id="b", fence=granted.fence, outcome="ok"))
