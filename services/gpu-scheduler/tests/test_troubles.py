"""What needs the owner is named: a node away, a card over its budget, a model that will not start; and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from contracts.gpustatus import TroubleList
from contracts.scheduling import CardView, Part
from gpu_scheduler.core.model import Card, Deployment, ModelBook, Node, State
from gpu_scheduler.core.policy import household
from gpu_scheduler.troubles import AWAY_SECONDS, OVER_SECONDS, troubles
from kit.testing.bus import until

from .a_house import Gateway, House
from .test_routes import SERVICE, client

NOW = 1000.0


def a_state(**node: Any) -> State:
    state = State(policy=household(), started_at=0.0)
    state.nodes["forge"] = Node("forge", **{"up": True, "last_seen": NOW, **node})
    state.cards["c"] = Card("c", "forge", 0, 24_000)
    state.deployments["forge", "m"] = Deployment("forge", "m", "chat", "f", 4000)
    return state


def card(booked: int, foreign: int) -> CardView:
    return CardView(
        id="c", node="forge", index=0, name="A card", total_mib=24_000, used_mib=0, booked_mib=booked,
        foreign_mib=foreign, free_mib=0, parts=(Part(what="free", mib=0),),
    )  # fmt: skip


def said(state: State, *cards: CardView) -> list[tuple[str, str]]:
    return [(one.kind, one.on) for one in troubles(state, ["forge"], cards, NOW)]


def test_a_house_that_is_well_has_no_troubles() -> None:
    assert said(a_state(), card(20_000, 300)) == []


def test_a_node_that_is_silent_for_long_is_a_trouble_and_one_that_blinks_is_none() -> None:
    away = ("node_away", "forge")
    assert said(a_state(up=False, last_seen=NOW - AWAY_SECONDS)) == [away]
    assert said(a_state(up=False, last_seen=NOW - AWAY_SECONDS + 1)) == []
    never_heard = State(policy=household(), started_at=NOW - AWAY_SECONDS)
    assert said(never_heard) == [away]
    assert troubles(State(policy=household(), started_at=0.0), [], (), NOW) == ()


def test_a_node_that_sleeps_is_none_until_it_would_not_wake() -> None:
    asleep = {"up": False, "last_seen": 0.0, "wakeable": True}
    waited = household().node_wake_s
    assert said(a_state(**asleep)) == []
    assert said(a_state(**asleep, wake_tried_at=NOW - waited + 1)) == []
    assert said(a_state(**asleep, wake_tried_at=NOW - waited - 1)) == [("node_away", "forge")]


def test_a_card_is_over_its_budget_when_it_has_been_for_a_while() -> None:
    state = a_state()
    assert said(state, card(20_000, 5_000)) == []
    state.cards["c"].over_since = NOW - OVER_SECONDS
    assert said(state, card(20_000, 5_000)) == [("card_over_budget", "A card of forge")]
    assert said(state, card(20_000, 3_000)) == []


def test_a_model_that_does_not_start_is_a_trouble_until_it_is_banned_or_gone() -> None:
    state = a_state()
    state.books["forge", "m"] = ModelBook(crashes=2, error="exit 1")
    assert said(state) == []
    state.books["forge", "m"].crashes = 3
    [one] = troubles(state, ["forge"], (), NOW)
    assert (one.kind, one.on, one.why) == ("crash_loop", "m on forge", "exit 1")
    state.banned.add("m")
    assert said(state) == []
    state.banned.clear()
    state.deployments.clear()
    assert said(state) == []


@pytest.mark.integration
async def test_who_may_look_is_told_what_is_wrong(
    house: House, gateways: Callable[..., Gateway], caller_factory: Any
) -> None:
    await (await gateways(house.url).connect()).offered("small", available=True)
    house.node.foreign_mib = 30_000
    house.node.changed()
    state = house.scheduler.house.loop.state
    async with client(house, SERVICE) as http:

        async def told() -> TroubleList:
            return TroubleList.model_validate_json((await http.get("/v1/troubles")).content)

        assert (await told()).troubles == ()
        await until(lambda: all(card.over_since is not None for card in state.cards.values()))
        for card in state.cards.values():
            card.over_since = (card.over_since or 0.0) - OVER_SECONDS
        async with asyncio.timeout(5):
            while not (found := (await told()).troubles):
                await asyncio.sleep(0.05)
        assert [one.kind for one in found] == ["card_over_budget"]
    async with client(house, caller_factory(role="member").headers) as http:
        assert (await http.get("/v1/troubles")).status_code == 403
