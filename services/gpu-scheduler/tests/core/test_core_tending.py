"""Steps 6 and 7 of the plan, and the owner's orders: what goes, what stays, what comes back by itself."""

from dataclasses import replace

from core_house import NODE, House, granted, model, of_kind, sleeper
from gpu_scheduler.core import State, apply, household, plan
from gpu_scheduler.core.actions import Drain, Refuse, Sleep, Start, Stop, Wake
from gpu_scheduler.core.events import ActionFailed, OriginResumed, PeaksLearned
from gpu_scheduler.core.model import Phase


def test_an_idle_model_sleeps_and_later_ends() -> None:
    house = House(sleeper("a", idle_sleep_s=60.0, idle_stop_s=600.0))
    house.load("a")
    house.pass_(61.0)
    assert of_kind(house.obey(), Sleep)
    house.pass_(600.0)
    assert of_kind(house.obey(), Stop)
    assert not house.state.instances


def test_a_pinned_model_stays_and_comes_back_by_itself() -> None:
    house = House(sleeper("a", idle_sleep_s=60.0, idle_stop_s=600.0, pinned=True))
    assert of_kind(house.obey(), Start)
    house.pass_(700.0)
    assert not house.decide()


def test_an_order_to_load_is_carried_out_though_nobody_asks() -> None:
    house = House(sleeper("a", 15000), sleeper("b", 15000))
    house.load("a")
    house.order("load", "b")
    assert [type(a) for a in of_kind(house.obey(), Sleep, Start)] == [Sleep, Start]
    assert not house.state.wanted


def test_an_order_to_load_what_no_card_can_hold_is_not_kept() -> None:
    house = House(model("big", 40000))
    house.order("load", "big")
    assert not house.state.wanted
    assert "no card is large enough" in house.state.journal[-1]
    assert not house.decide()


def test_an_order_to_evict_lets_what_runs_finish() -> None:
    house = House(model("a", slots=2))
    (a,) = house.load("a")
    request = house.ask("r1", "a")
    house.decide()
    house.order("evict", "a")
    (drain,) = of_kind(house.decide(), Drain)
    assert drain.fence <= (request.fence or 0)  # the node does not turn the running one away
    house.is_(a, Phase.DRAINING)
    house.ask("r2", "a")
    assert not granted(house.decide())
    house.done("r1")
    assert of_kind(house.decide(), Stop)
    house.is_(a, Phase.STOPPED)
    house.pass_(0.5)
    assert granted(house.obey()) == ["r2"]  # it is loaded anew for whoever waits


def test_a_node_that_is_drained_takes_nothing_new_and_empties_itself() -> None:
    house = House(model("a"), sleeper("b"))
    house.load("a", "b")
    house.ask("r1", "a")
    house.decide()
    house.order("drain_node", NODE)
    house.ask("r2", "b")
    actions = house.decide()
    assert [r.code for r in of_kind(actions, Refuse)] == ["inference.node_draining"]
    assert of_kind(actions, Stop)
    assert of_kind(actions, Drain)
    house.order("resume_node", NODE)
    house.ask("r3", "b")
    assert not of_kind(house.decide(), Refuse)


def test_a_model_whose_files_have_changed_is_started_anew_when_it_has_finished() -> None:
    house = House(model("a"))
    (a,) = house.load("a")
    house.ask("r1", "a")
    house.decide()
    house.change("a", fingerprint="a-2")
    house.ask("r2", "a")
    assert not granted(house.decide())
    house.is_(a, Phase.DRAINING)
    house.done("r1")
    assert granted(house.obey()) == ["r2"]
    assert house.of("a").fingerprint == "a-2"


def test_a_start_that_takes_for_ever_is_ended_and_counts_as_a_crash() -> None:
    house = House(model("a"))
    house.ask("r1", "a", "batch")
    (start,) = of_kind(house.decide(), Start)
    house.is_(start.instance_id, Phase.STARTING, 3000)
    house.pass_(301.0)
    assert of_kind(house.decide(), Stop)
    assert house.state.books[NODE, "a"].crashes == 1


def test_a_stop_that_is_not_answered_is_given_again() -> None:
    house = House(model("a"))
    (a,) = house.load("a")
    house.order("evict", "a")
    house.decide()
    house.is_(a, Phase.STOPPING)
    house.pass_(61.0)
    assert of_kind(house.decide(), Stop)


def test_an_idle_model_makes_way_for_foreign_use_that_outgrows_the_card() -> None:
    house = House(sleeper("a", 9000), sleeper("b", 9000))
    house.load("a", "b")
    house.ask("r1", "b")
    house.decide()
    house.foreign["card0"] = 6000  # somebody plays
    house.pass_(1.0)
    assert not house.decide()  # it may pass
    for _ in range(6):
        house.pass_(1.0)
        if sent := of_kind(house.decide(), Sleep):
            break
    assert [s.instance_id for s in sent] == [house.of("a").id]


def test_an_action_that_the_node_refuses_leaves_no_instance_behind() -> None:
    house = House(model("a"))
    house.ask("r1", "a", "batch")
    (start,) = of_kind(house.decide(), Start)
    house.apply(ActionFailed(start.instance_id, start.fence, "node.disabled"))
    assert not house.state.instances
    house.pass_(0.5)
    house.pass_(0.5)
    assert not house.state.cards["card0"].remnants
    house.pass_(5.0)
    assert of_kind(house.decide(), Start)


def test_a_start_that_may_have_arrived_stays_booked_until_the_node_has_said_so_for_long_enough() -> (
    None
):
    house = House(model("a", 15000), model("b", 15000))
    house.ask("r1", "a", "batch")
    (start,) = of_kind(house.decide(), Start)
    house.apply(ActionFailed(start.instance_id, start.fence, "inference.node_away"))
    house.ask("r2", "b", "batch")
    for _ in range(9):
        house.pass_(1.0)
        assert not of_kind(house.decide(), Start)
    for _ in range(3):
        house.pass_(1.0)
        started = of_kind(house.decide(), Start)
        if started:
            break
    assert started


def test_a_new_scheduler_takes_over_what_runs_and_grants_no_place_twice() -> None:
    house = House(model("a"), model("b"))
    (a,) = house.load("a")
    request = replace(house.ask("r1", "a"))
    house.decide()
    running = replace(house.state.requests["r1"])
    house.told[a] = replace(house.told[a], in_flight=1)
    house.state = State(household(), epoch=2, started_at=house.now)
    house.hear()
    house.ask("r2", "a")
    assert not granted(house.decide())  # somebody runs there; its gateway has not come back yet
    house.apply(OriginResumed("gateway", (running,)))
    house.ask("r2", "a")
    assert not granted(house.decide())
    assert house.of("a").running == {request.id}
    house.done("r1")
    (grant,) = [g for g in house.decide() if type(g).__name__ == "Grant"]
    assert grant.fence > 2_000_000_000


def test_a_new_scheduler_grants_nothing_until_the_gateways_have_had_time_to_speak() -> None:
    house = House(model("a", slots=2))
    house.load("a")
    house.state = State(household(), epoch=2, started_at=house.now)
    house.hear()  # nothing runs: a grant of the last scheduler may not have reached the node yet
    house.ask("r1", "a", "voice")
    assert not granted(house.decide())
    house.pass_(2.1)
    assert granted(house.decide()) == ["r1"]


def test_a_place_that_no_gateway_names_is_free_after_a_while() -> None:
    house = House(model("a"))
    (a,) = house.load("a")
    house.told[a] = replace(house.told[a], in_flight=1)
    house.state = State(household(), epoch=2, started_at=house.now)
    house.hear()
    house.ask("r1", "a")
    house.decide()
    house.pass_(2.1)
    assert granted(house.decide()) == ["r1"]


def test_measured_peaks_outlive_the_scheduler_and_belong_to_the_fingerprint() -> None:
    house = House(model("a", 8000, peak_mib=None))
    peaks = PeaksLearned({(NODE, "a", "a-1"): 9000})
    house.apply(peaks)
    assert house.state.deployments[NODE, "a"].peak_mib == 9000
    house.change("a", fingerprint="a-2")
    assert house.state.deployments[NODE, "a"].peak_mib is None
    early = State(household(), epoch=2)
    apply(early, peaks, 0.0)  # before the node has said anything
    apply(early, replace(house.report(), deployments=(model("a", 8000, peak_mib=None),)), 1.0)
    assert early.deployments[NODE, "a"].peak_mib == 9000


def test_after_a_silence_what_still_runs_is_taken_up_again() -> None:
    house = House(model("a"))
    house.load("a")
    house.lost()
    house.decide()
    house.pass_(5.0)
    house.ask("r1", "a")
    assert granted(house.decide()) == ["r1"]


def test_after_a_reboot_what_ran_is_gone_and_not_held_against_it() -> None:
    house = House(sleeper("a"))
    house.load("a")
    house.lost()
    house.told.clear()
    house.use.clear()
    house.now += 30.0
    house.boot = "boot-2"
    house.hear()
    assert not house.state.instances
    house.ask("r1", "a")
    house.pass_(0.5)
    assert of_kind(house.decide(), Start)
    assert house.state.books[NODE, "a"].crashes == 0


def test_an_order_to_sleep_is_an_order_to_end_for_what_cannot_sleep() -> None:
    house = House(model("a"))
    house.load("a")
    house.order("sleep", "a")
    assert of_kind(house.decide(), Stop)


def test_a_plan_is_the_same_until_something_happens() -> None:
    house = House(sleeper("a", 15000), sleeper("b", 15000))
    house.ask("r1", "a")
    house.ask("r2", "b")
    assert plan(house.state, house.now) == plan(house.state, house.now)
    house.decide()
    assert not house.decide()
    assert not of_kind(house.log, Wake)
