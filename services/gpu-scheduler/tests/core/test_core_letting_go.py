"""Steps 1 and 2 of the plan: who goes because its time is over, and who is refused because nothing can serve it."""

from dataclasses import replace

from core_house import House, granted, model, of_kind
from gpu_scheduler.core import household
from gpu_scheduler.core.actions import (
    Preempt,
    Refuse,
    Revoke,
    Start,
    Stop,
    WakeNode,
)
from gpu_scheduler.core.events import (
    AgentGone,
    AgentSeen,
    LeaseRenewed,
    OriginLost,
    OriginResumed,
)
from gpu_scheduler.core.model import Phase


def refusals(actions: list) -> dict[str, str]:
    return {action.request_id: action.code for action in of_kind(actions, Refuse)}


# 1. Letting go.


def test_a_request_whose_deadline_has_passed_is_refused() -> None:
    house = House(model("a", start_s=60.0))
    house.ask("r1", "a", deadline=house.now + 5.0)
    house.decide()
    house.pass_(5.0)
    assert refusals(house.decide()) == {"r1": "inference.deadline_passed"}


def test_whoever_has_waited_for_as_long_as_its_class_may_is_refused() -> None:
    house = House(model("a"))
    house.ask("r1", "a", "voice")
    house.decide()
    house.now += 31.0
    assert refusals(house.decide()) == {"r1": "inference.waited_too_long"}


def test_a_lease_that_is_not_renewed_runs_out_and_its_place_is_free() -> None:
    house = House(model("a"))
    house.load("a")
    house.ask("l1", "a", lease=True, lease_ttl_s=5.0)
    house.ask("r1", "a")
    house.decide()
    house.pass_(5.0)
    actions = house.decide()
    assert [action.request_id for action in of_kind(actions, Revoke)] == ["l1"]
    assert granted(house.decide()) == ["r1"]


def test_a_lease_is_renewed_with_its_own_fence_alone() -> None:
    house = House(model("a"))
    house.load("a")
    lease = house.ask("l1", "a", lease=True, lease_ttl_s=5.0)
    house.decide()
    house.pass_(3.0)
    house.apply(LeaseRenewed("l1", (lease.fence or 0) - 1))
    assert lease.lease_until == house.now + 2.0
    house.apply(LeaseRenewed("l1", lease.fence or 0))
    assert lease.lease_until == house.now + 5.0


def test_the_leases_and_places_of_an_agent_that_falls_silent_are_free() -> None:
    house = House(model("a"))
    house.load("a")
    house.apply(AgentSeen("scribe", "anna", 10.0))
    house.ask("l1", "a", lease=True, lease_ttl_s=600.0, agent="scribe")
    house.decide()
    house.ask("r1", "a", agent="scribe")
    house.ask("r2", "a")
    house.pass_(11.0)
    actions = house.decide()
    assert [action.request_id for action in of_kind(actions, Revoke)] == ["l1"]
    assert refusals(actions) == {"r1": "inference.agent_gone"}
    assert granted(house.decide()) == ["r2"]


def test_an_agent_that_says_goodbye_leaves_nothing() -> None:
    house = House(model("a"))
    house.load("a")
    house.apply(AgentSeen("scribe", "anna", 10.0))
    house.ask("r1", "a", agent="scribe")
    house.ask("r2", "a", agent="scribe")
    house.decide()
    house.apply(AgentGone("scribe"))
    assert set(refusals(house.decide())) == {"r1", "r2"}
    assert not house.state.requests


def test_a_gateway_that_is_lost_takes_what_it_asked_for_with_it() -> None:
    house = House(model("a"))
    house.load("a")
    house.ask("r1", "a")
    house.ask("r2", "a")
    house.decide()
    house.apply(OriginLost("gateway"))
    assert not house.state.requests
    assert not house.of("a").running


def test_a_gateway_that_is_back_keeps_what_it_names_and_the_places_it_asks_for_again() -> None:
    house = House(model("a"))
    house.load("a")
    first = house.ask("r1", "a")
    house.ask("r2", "a")
    house.decide()
    arrived = house.state.requests["r2"].arrived
    house.now += 1.0
    house.apply(OriginResumed("gateway", (replace(first),)))
    house.ask("r2", "a")
    house.decide()
    assert house.of("a").running == {"r1"}
    assert house.state.requests["r2"].arrived == arrived


def test_what_a_gateway_that_is_back_does_not_ask_for_again_is_let_go() -> None:
    house = House(model("a"))
    house.load("a")
    house.ask("r1", "a")
    house.ask("r2", "a")
    house.decide()
    house.apply(OriginResumed("gateway", ()))
    assert granted(house.decide()) == []  # neither is granted to somebody who may not want it
    house.pass_(2.0)
    assert set(refusals(house.decide())) == {"r1", "r2"}


def test_a_place_that_was_given_up_is_not_taken_back_by_a_gateway_that_is_late() -> None:
    house = House(model("a"))
    house.load("a")
    mine = house.ask("r1", "a")
    house.decide()
    kept = replace(mine)
    house.apply(OriginLost("gateway"))
    house.ask("r2", "a", caller="ben")
    house.decide()
    house.apply(OriginResumed("gateway-2", (replace(kept, origin="gateway-2"),)))
    actions = house.decide()
    assert refusals(actions) == {"r1": "inference.holder_gone"}
    assert house.of("a").running == {"r2"}


def test_a_request_whose_model_ends_before_its_first_byte_is_put_back_once() -> None:
    house = House(model("a"))
    (a,) = house.load("a")
    house.ask("r1", "a")
    house.decide()
    house.is_(a, Phase.FAILED, error="killed")
    (back,) = of_kind(house.decide(), Preempt)
    house.done("r1", "preempted")
    assert back.request_id == "r1"
    assert house.state.requests["r1"].queued
    assert house.state.requests["r1"].preemptions == 0


def test_a_request_whose_model_ends_in_the_middle_of_its_answer_is_refused() -> None:
    house = House(model("a"))
    (a,) = house.load("a")
    house.ask("r1", "a")
    house.decide()
    house.began("r1")
    house.is_(a, Phase.FAILED, error="killed")
    assert refusals(house.decide()) == {"r1": "inference.instance_lost"}


# 2. Refusing at once.


def test_a_model_that_no_node_has_is_refused_at_once() -> None:
    house = House(model("a"))
    house.ask("r1", "nothing")
    assert refusals(house.decide()) == {"r1": "inference.not_offered"}


def test_a_scheduler_that_has_just_begun_waits_for_its_nodes_before_it_refuses() -> None:
    house = House(model("a"))
    house.state.started_at = house.now
    house.ask("r1", "nothing")
    assert not house.decide()
    house.pass_(2.0)
    assert refusals(house.decide()) == {"r1": "inference.not_offered"}


def test_a_model_that_can_never_fit_is_refused_at_once_with_the_arithmetic_card_by_card() -> None:
    house = House(model("big", 30000), cards=(24576, 12288))
    house.ask("r1", "big")
    (refusal,) = of_kind(house.decide(), Refuse)
    assert refusal.code == "inference.never_fits"
    assert refusal.why == (
        "big can never have a card of forge: "
        "card 0: 24576 - 256 reserve - 0 foreign - 0 pinned = 24320 MiB, charge 30128 "
        "(30000 MiB + 128, alone on the card); "
        "card 1: 12288 - 256 reserve - 0 foreign - 0 pinned = 12032 MiB, charge 30128 "
        "(30000 MiB + 128, alone on the card)"
    )


def test_foreign_use_that_has_just_come_makes_nobody_be_refused() -> None:
    house = House(model("a", 20000))
    house.foreign["card0"] = 10000
    house.hear()
    house.ask("r1", "a")
    assert not of_kind(house.decide(), Refuse)


def test_foreign_use_that_stays_is_part_of_the_arithmetic() -> None:
    house = House(model("a", 20000))
    house.foreign["card0"] = 10000
    for _ in range(24):
        house.pass_(1.0)
    house.ask("r1", "a")
    (refusal,) = of_kind(house.decide(), Refuse)
    assert "24576 - 256 reserve - 10000 foreign - 0 pinned = 14320" in refusal.why


def test_what_does_not_fit_beside_pinned_models_is_refused_and_says_so() -> None:
    house = House(model("a", 10000, pinned=True), model("b", 16000))
    house.load("a")
    house.ask("r1", "b")
    (refusal,) = of_kind(house.decide(), Refuse)
    assert "- 10428 pinned" in refusal.why


def test_a_model_that_needs_two_cards_is_refused_where_only_one_is_large_enough() -> None:
    house = House(model("wide", 20000, cards_needed=2), cards=(24576, 12288))
    house.ask("r1", "wide")
    assert refusals(house.decide()) == {"r1": "inference.never_fits"}


def test_whoever_would_have_to_replace_a_pinned_member_of_its_group_is_refused() -> None:
    house = House(model("a", 4000, group="voices", pinned=True), model("b", 4000, group="voices"))
    house.load("a")
    house.ask("r1", "b")
    (refusal,) = of_kind(house.decide(), Refuse)
    assert refusal.code == "inference.never_fits"
    assert refusal.why.endswith("a is pinned, and of the group voices one is resident at a time")


def test_full_queues_refuse_by_caller_by_class_and_in_all() -> None:
    policy = household()
    classes = {k: replace(c, queue_max=3) for k, c in policy.classes.items()}
    policy = replace(policy, classes=classes, caller_queue_max=2, queue_max=4)
    house = House(model("a", start_s=60.0), policy=policy)
    for name, caller, kind in (
        ("r1", "anna", "agent"),
        ("r2", "anna", "agent"),
        ("over-caller", "anna", "agent"),
        ("r3", "ben", "agent"),
        ("over-class", "cleo", "agent"),
        ("r4", "cleo", "batch"),
        ("over-all", "dan", "voice"),
    ):
        house.ask(name, "a", kind, caller)
    told = {a.request_id: a.why for a in of_kind(house.decide(), Refuse)}
    assert set(told) == {"over-caller", "over-class", "over-all"}
    assert "anna" in told["over-caller"]
    assert "agent" in told["over-class"]


def test_a_banned_model_is_refused_and_its_instance_ends() -> None:
    house = House(model("a"))
    house.load("a")
    house.order("ban", "a")
    house.ask("r1", "a")
    actions = house.decide()
    assert refusals(actions) == {"r1": "inference.model_banned"}
    assert of_kind(actions, Stop)


def test_when_a_node_falls_silent_all_that_waits_for_it_is_refused_at_once() -> None:
    house = House(model("a", start_s=60.0))
    house.ask("r1", "a")
    house.decide()
    house.lost()
    assert refusals(house.decide()) == {"r1": "inference.node_away"}


def test_when_a_node_falls_silent_what_runs_there_is_told_and_its_leases_end() -> None:
    house = House(model("a", slots=2))
    house.load("a")
    house.ask("r1", "a")
    house.ask("l1", "a", lease=True)
    house.lease("l2", 1000)
    house.decide()
    house.began("r1")
    house.lost()
    actions = house.decide()
    assert refusals(actions) == {"r1": "inference.node_away"}
    assert {a.request_id for a in of_kind(actions, Revoke)} == {"l1", "l2"}


def test_a_node_that_can_be_woken_is_woken_once_and_waited_for() -> None:
    house = House(model("a"))
    house.wakeable = True
    house.hear()
    house.lost()
    house.ask("r1", "a")
    assert [type(a) for a in house.decide()] == [WakeNode]
    house.now += 30.0
    assert not house.decide()
    house.hear(boot="boot-2")
    assert of_kind(house.decide(), Start)


def test_a_node_that_does_not_wake_is_given_up_after_a_while() -> None:
    house = House(model("a"))
    house.wakeable = True
    house.hear()
    house.lost()
    house.ask("r1", "a")
    house.decide()
    house.now += 91.0
    house.ask("r2", "a")
    actions = house.decide()
    assert set(refusals(actions).values()) == {"inference.node_away"}
    assert not of_kind(actions, WakeNode)
