"""Step 5 of the plan: when a model is brought in, who makes room for it, and when that is not worth it."""

from dataclasses import replace

from core_house import House, granted, model, names, of_kind, sleeper
from gpu_scheduler.core.actions import Grant, Hold, Preempt, Sleep, Start, Stop, Wake
from gpu_scheduler.core.model import Phase


def test_a_model_that_fits_is_started_at_once() -> None:
    house = House(model("a"), model("b"))
    house.ask("r1", "a", "batch")
    house.ask("r2", "b", "batch")
    assert names(house.decide(), Start) == [("Start", "a"), ("Start", "b")]


def test_a_model_is_started_once_however_many_wait_for_it() -> None:
    house = House(model("a"), cards=(24576, 24576))
    for number in range(5):
        house.ask(f"r{number}", "a")
    house.decide()
    house.pass_(1.0)
    house.ask("r9", "a")
    house.decide()
    assert names(house.log, Start) == [("Start", "a")]


def test_what_sleeps_is_woken_and_not_started() -> None:
    house = House(sleeper("a"))
    house.load("a")
    house.order("sleep", "a")
    house.obey()
    house.ask("r1", "a")
    assert names(house.obey(), Start, Wake, Grant) == [("Wake", "a"), ("Grant", "a")]


def test_an_idle_model_sleeps_for_one_whose_class_has_waited_long_enough() -> None:
    house = House(sleeper("a", 15000), sleeper("b", 15000))
    house.load("a")
    house.ask("r1", "b", "voice")
    house.pass_(2.0)
    moves = house.obey()
    assert names(moves, Sleep, Stop, Start, Grant) == [
        ("Sleep", "a"),
        ("Start", "b"),
        ("Grant", "b"),
    ]


def test_a_model_in_use_is_not_sent_away_for_a_batch_that_has_just_come() -> None:
    house = House(sleeper("a", 15000), sleeper("b", 15000))
    house.load("a")
    for number in range(30):
        house.ask(f"a{number}", "a", "interactive")
        house.decide()
        house.done(f"a{number}")
        house.pass_(1.0)
    house.ask("job", "b", "batch")
    house.pass_(1.0)
    assert not house.decide()


def test_a_batch_has_its_turn_when_its_patience_is_over() -> None:
    house = House(sleeper("a", 15000), sleeper("b", 15000))
    house.load("a")
    for number in range(30):
        house.ask(f"a{number}", "a", "interactive")
        house.decide()
        house.done(f"a{number}")
        house.pass_(1.0)
    house.ask("job", "b", "batch")
    house.pass_(61.0)
    assert names(house.obey(), Sleep, Start, Grant) == [
        ("Sleep", "a"),
        ("Start", "b"),
        ("Grant", "b"),
    ]


def test_the_model_that_is_used_least_makes_room() -> None:
    house = House(sleeper("a", 7000), sleeper("b", 7000), sleeper("c", 7000), sleeper("d", 7000))
    house.load("a", "b", "c")
    for number in range(20):
        for name in ("a", "c"):
            house.ask(f"{name}{number}", name)
            house.decide()
            house.done(f"{name}{number}")
        house.pass_(0.5)
    house.ask("r1", "d", "voice")
    house.pass_(1.0)
    assert names(house.decide(), Sleep, Stop) == [("Sleep", "b")]


def test_no_more_make_room_than_are_needed() -> None:
    house = House(*(sleeper(name, 5000) for name in "abcd"), sleeper("e", 9000))
    house.load("a", "b", "c", "d")
    house.ask("r1", "e", "voice")
    house.pass_(1.0)
    sent = names(house.decide(), Sleep, Stop)
    assert len(sent) == 2
    house.pass_(0.5)
    assert not of_kind(house.decide(), Sleep, Stop)  # what is on its way is waited for


def test_a_model_that_somebody_holds_by_a_lease_goes_on_serving_others_however_long_one_waits() -> (
    None
):
    house = House(model("a", 15000, slots=2), model("b", 15000))
    house.load("a")
    lease = house.ask("held", "a", "batch", lease=True, lease_ttl_s=60.0)
    house.ask("waits", "b", "agent")
    for number in range(90):
        house.ask(f"r{number}", "a", "batch")
        lease.lease_until = house.now + 60.0
        house.decide()
        house.pass_(1.0)
        if f"r{number}" in house.state.granted:
            house.done(f"r{number}")
    assert "r89" in granted(house.log)
    assert not of_kind(house.log, Hold, Stop)


def test_nobody_makes_room_for_one_who_is_less_urgent_than_its_own_queue() -> None:
    house = House(model("a", 15000), model("b", 15000))
    house.load("a")
    house.ask("runs", "a")
    house.decide()
    house.began("runs")
    house.ask("old", "a", "interactive")
    house.pass_(100.0)  # it is due before a voice that comes now
    house.ask("voice", "b", "voice")
    house.pass_(14.0)
    assert not of_kind(house.decide(), Hold)


def test_a_pinned_model_never_makes_room() -> None:
    house = House(sleeper("a", 9000), sleeper("b", 9000), model("c", 9000))
    house.order("pin", "b")
    house.load("a", "b")
    house.ask("r1", "c", "voice")
    house.pass_(20.0)
    assert names(house.decide(), Sleep, Stop) == [("Sleep", "a")]


def test_a_busy_model_is_never_evicted() -> None:
    house = House(model("a", 15000), model("b", 15000))
    house.load("a")
    house.ask("job", "a", "batch")
    house.decide()
    house.began("job")
    house.ask("r1", "b", "voice")
    for _ in range(20):
        house.pass_(1.0)
        assert not of_kind(house.decide(), Sleep, Stop)


def test_a_busy_model_takes_nothing_less_urgent_while_somebody_waits_for_its_room() -> None:
    house = House(model("a", 15000), model("b", 15000))
    house.load("a")
    house.ask("first", "a", "batch")
    house.decide()
    house.began("first")
    house.ask("r1", "b", "interactive")
    house.pass_(20.0)
    assert not of_kind(house.decide(), Hold)  # it would waste the card while it waits
    house.pass_(41.0)
    assert of_kind(house.decide(), Hold)
    house.ask("second", "a", "batch")
    house.done("first")
    actions = house.decide()
    assert not granted(actions)
    assert names(actions, Stop) == [("Stop", "a")]


def test_a_busy_model_that_is_held_still_serves_what_is_more_urgent() -> None:
    house = House(model("a", 15000), model("b", 15000))
    house.load("a")
    house.ask("first", "a", "agent")
    house.decide()
    house.began("first")
    house.ask("job", "b", "interactive")
    house.pass_(61.0)
    assert of_kind(house.decide(), Hold)
    house.ask("voice", "a", "voice")
    house.done("first")
    assert granted(house.decide()) == ["voice"]


def test_a_hold_ends_when_nobody_waits_for_the_room_any_more() -> None:
    house = House(model("a", 15000), model("b", 15000))
    house.load("a")
    house.ask("first", "a", "batch")
    house.decide()
    house.began("first")
    house.ask("r1", "b", "interactive", deadline=house.now + 62.0)
    house.pass_(61.0)
    assert of_kind(house.decide(), Hold)
    house.ask("second", "a", "batch")
    house.pass_(2.0)
    house.decide()
    house.done("first")
    assert granted(house.decide()) == ["second"]


def test_a_preemptible_job_on_another_model_gives_way_before_its_first_byte() -> None:
    house = House(sleeper("a", 15000), model("b", 15000, start_s=0.3))
    house.load("a")
    house.ask("job", "a", "batch")
    house.decide()
    house.ask("r1", "b", "voice")
    house.pass_(1.0)
    assert [p.request_id for p in of_kind(house.decide(), Preempt)] == ["job"]
    house.done("job", "preempted")
    assert names(house.decide(), Sleep) == [("Sleep", "a")]


def test_what_was_loaded_stays_until_it_has_been_worth_its_loading() -> None:
    house = House(model("a", 15000, start_s=30.0), model("b", 15000, start_s=30.0))
    house.ask("r1", "a", "agent")
    house.obey()
    house.done("r1")
    house.ask("r2", "b", "agent")
    house.pass_(16.0)  # its patience is over, and `a` has not been there for 30 s
    assert not of_kind(house.decide(), Stop)
    house.pass_(15.0)
    assert names(house.decide(), Stop) == [("Stop", "a")]


def test_of_two_that_take_turns_each_is_loaded_once_in_its_dwelling_time() -> None:
    house = House(model("a", 15000, start_s=20.0), model("b", 15000, start_s=20.0))
    for number in range(480):
        house.ask(f"a{number}", "a", "agent")
        house.ask(f"b{number}", "b", "agent")
        for action in house.decide():
            if isinstance(action, Start):
                house.is_(action.instance_id, Phase.READY)
            elif isinstance(action, Stop):
                house.is_(action.instance_id, Phase.STOPPED)
        for request in list(house.state.granted):
            house.done(request)
        house.pass_(1.0)
    starts = len(of_kind(house.log, Start))
    assert 3 <= starts <= 480 / 20 + 1
    served = {name[0] for name in granted(house.log)}
    assert served == {"a", "b"}


def test_the_room_that_one_waits_for_is_not_taken_by_one_who_is_less_urgent() -> None:
    house = House(model("a", 15000), model("b", 20000), model("c", 6000))
    (a,) = house.load("a")
    house.ask("r1", "b", "voice")
    house.pass_(1.0)
    assert names(house.decide(), Stop) == [("Stop", "a")]
    house.ask("r2", "c", "batch")  # would fit into what is free now, and then `b` would not
    assert not of_kind(house.decide(), Start)
    house.is_(a, Phase.STOPPED)
    house.pass_(0.5)
    assert names(house.decide(), Start) == [("Start", "b")]


def test_room_that_is_left_beside_what_a_more_urgent_one_waits_for_is_used_at_once() -> None:
    house = House(model("a", 15000), model("b", 15000), model("c", 6000))
    house.load("a")
    house.ask("r1", "b", "voice")
    house.pass_(1.0)
    house.decide()
    house.ask("r2", "c", "batch")
    assert names(house.decide(), Start) == [("Start", "c")]


def test_of_a_group_one_member_is_resident_at_a_time() -> None:
    house = House(sleeper("a", 4000, group="voices"), sleeper("b", 4000, group="voices"))
    house.ask("r1", "a")
    house.ask("r2", "b")
    assert names(house.decide(), Start) == [("Start", "a")]
    house.is_(house.of("a").id, Phase.READY)
    house.obey()
    house.done("r1")
    house.pass_(10.0)
    assert names(house.obey(), Sleep, Start, Grant) == [
        ("Sleep", "a"),
        ("Start", "b"),
        ("Grant", "b"),
    ]


def test_the_second_card_is_used_before_anybody_is_sent_away() -> None:
    house = House(model("a", 15000), model("b", 15000), cards=(24576, 24576))
    house.load("a")
    house.ask("r1", "b", "voice")
    (start,) = of_kind(house.decide(), Start)
    assert start.cards == ("card1",)


def test_a_model_over_two_cards_is_charged_on_both() -> None:
    house = House(model("wide", 15000, cards_needed=2), cards=(24576, 24576))
    house.ask("r1", "wide")
    (start,) = of_kind(house.decide(), Start)
    assert set(start.cards) == {"card0", "card1"}
    house.is_(start.instance_id, Phase.READY)
    house.ask("r2", "wide", cards_allowed=frozenset({"card0"}))
    assert granted(house.decide()) == ["r1"]


def test_a_model_over_two_unequal_cards_that_was_never_measured_wakes_again() -> None:
    wide = sleeper("wide", 8978, peak_mib=None, cards_needed=2)
    house = House(wide, model("b", 2000), cards=(12288, 24576))
    house.load("wide")
    house.order("sleep", "wide")
    house.obey()
    house.ask("r1", "wide", "voice")
    house.pass_(1.0)
    assert granted(house.obey()) == ["r1"]


def test_a_model_sleeping_on_a_card_that_it_cannot_have_starts_on_another() -> None:
    house = House(sleeper("a", 15000, cards=()), cards=(24576, 24576))
    house.load("a")
    house.order("sleep", "a")
    house.obey()
    card = house.of("a").cards[0]
    house.lease("l1", 20000, lease_card=card, lease_ttl_s=10_000.0)
    house.decide()
    house.ask("r1", "a", "voice")
    moves = house.obey()
    assert names(moves, Stop, Start, Grant) == [("Stop", "a"), ("Start", "a"), ("Grant", "a")]
    assert house.of("a").cards != (card,)


def test_a_lease_of_bare_memory_waits_for_idle_models_to_make_room() -> None:
    house = House(sleeper("a", 20000))
    house.load("a")
    house.lease("l1", 8000)
    house.pass_(61.0)
    actions = house.obey()
    assert names(actions, Sleep) == [("Sleep", "a")]
    assert granted(actions) == ["l1"]


def test_a_model_on_a_second_node_serves_when_the_first_is_away() -> None:
    house = House(model("a"))
    other = replace(house.report(), node="attic", cards=(), deployments=(), instances=())
    card = replace(house.report().cards[0], id="attic0")
    there = replace(house.models[0], node="attic")
    house.lost()
    house.apply(replace(other, cards=(card,), deployments=(there,)))
    house.ask("r1", "a")
    (start,) = of_kind(house.decide(), Start)
    assert start.deployment == ("attic", "a")


def test_two_who_are_due_at_the_same_moment_do_not_wait_for_one_another() -> None:
    house = House(model("a", 15000), model("b", 15000))
    house.load("a")
    house.ask("runs", "a", "agent")
    house.decide()
    house.began("runs")
    house.ask("mine", "a", "agent")
    house.ask("other", "b", "agent")
    house.pass_(200.0)
    house.of("a").held_for = "b"
    house.decide()
    house.done("runs")
    assert granted(house.obey()) == ["mine"]
    house.done("mine")
    assert granted(house.obey()) == ["other"]
