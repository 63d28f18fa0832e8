"""Steps 3 and 4 of the plan: who is granted, in which order, and who gives its place back."""

from core_house import NODE, House, granted, model, of_kind, sleeper
from gpu_scheduler.core.actions import Grant, Hold, Preempt, Refuse, Sleep, Start, Stop, Wake
from gpu_scheduler.core.events import Done, FirstByte, Withdrawn


def refusals(actions: list) -> dict[str, str]:
    return {action.request_id: action.code for action in of_kind(actions, Refuse)}


# 3. Granting.


def test_what_is_resident_is_granted_at_once() -> None:
    house = House(model("a"))
    house.load("a")
    house.ask("r1", "a")
    assert granted(house.decide()) == ["r1"]


def test_no_more_are_granted_than_an_instance_has_places() -> None:
    house = House(model("a", slots=2))
    house.load("a")
    for number in range(4):
        house.ask(f"r{number}", "a")
    assert granted(house.decide()) == ["r0", "r1"]
    house.done("r0")
    assert granted(house.decide()) == ["r2"]


def test_a_voice_goes_before_a_person_before_an_agent_before_a_batch() -> None:
    house = House(model("a", slots=4))
    house.load("a")
    for kind in ("batch", "agent", "interactive", "voice"):
        house.ask(kind, "a", kind)
    assert granted(house.decide()) == ["voice", "interactive", "agent", "batch"]


def test_whoever_has_waited_for_longer_than_priority_counts_goes_first() -> None:
    house = House(model("a"))
    house.load("a")
    house.ask("first", "a")
    house.decide()
    house.ask("old batch", "a", "batch")
    house.pass_(46.0)
    house.ask("new person", "a", "interactive")
    house.done("first")
    assert granted(house.decide()) == ["old batch"]


def test_a_near_deadline_goes_before_its_equals() -> None:
    house = House(model("a"))
    house.load("a")
    house.ask("first", "a")
    house.decide()
    house.ask("calm", "a", "agent")
    house.ask("due", "a", "agent", deadline=house.now + 20.0)
    house.done("first")
    assert granted(house.decide()) == ["due"]


def test_a_caller_who_has_had_much_stands_back_behind_one_who_has_had_nothing() -> None:
    house = House(model("a"))
    house.load("a")
    for number in range(10):
        house.ask(f"greedy{number}", "a", "agent", "anna")
    for number in range(3):
        house.decide()
        house.pass_(2.0)
        house.done(f"greedy{number}", seconds=5.0)
    house.ask("modest", "a", "agent", "ben")
    assert granted(house.decide()) == ["modest"]


def test_a_fence_is_higher_than_every_fence_before() -> None:
    house = House(sleeper("a"), model("b", 20000), sleeper("c"))
    for number, name in enumerate(("a", "b", "c", "a", "b", "c")):
        house.ask(f"r{number}", name)
        house.pass_(10.0)
        house.obey()
        house.done(f"r{number}")
    fences = [a.fence for a in of_kind(house.log, Grant, Start, Wake, Sleep, Stop)]
    assert fences == sorted(set(fences))
    assert fences[0] > 1_000_000_000


def test_an_end_with_a_stale_fence_ends_nothing() -> None:
    house = House(model("a"))
    house.load("a")
    request = house.ask("r1", "a")
    house.decide()
    house.apply(Done("r1", "ok", (request.fence or 0) - 1))
    assert house.of("a").running == {"r1"}


def test_a_request_that_is_withdrawn_leaves_its_place_to_the_next() -> None:
    house = House(model("a"))
    house.load("a")
    house.ask("r1", "a")
    house.ask("r2", "a")
    house.decide()
    house.apply(Withdrawn("r1"))
    assert granted(house.decide()) == ["r2"]


# 4. Preempting.


def test_a_voice_takes_the_place_of_a_batch_that_has_not_begun_to_answer() -> None:
    house = House(model("a"))
    house.load("a")
    house.ask("job", "a", "batch")
    house.decide()
    house.ask("voice", "a", "voice")
    house.pass_(0.3)
    (taken,) = of_kind(house.decide(), Preempt)
    assert taken.request_id == "job"
    house.done("job", "preempted")
    assert granted(house.decide()) == ["voice"]
    assert house.state.requests["job"].queued


def test_what_has_begun_to_answer_is_never_taken_away() -> None:
    house = House(model("a"))
    house.load("a")
    house.ask("job", "a", "batch")
    house.decide()
    house.began("job")
    house.ask("voice", "a", "voice")
    house.pass_(3.0)
    assert not of_kind(house.decide(), Preempt)


def test_nobody_is_preempted_twice() -> None:
    house = House(model("a"))
    house.load("a")
    house.ask("job", "a", "batch")
    house.decide()
    for number in range(2):
        house.ask(f"voice{number}", "a", "voice")
        house.pass_(0.3)
        preempted = of_kind(house.decide(), Preempt)
        assert len(preempted) == (1 if number == 0 else 0)
        if preempted:
            house.done("job", "preempted")
            house.decide()
            house.done("voice0")
            assert granted(house.decide()) == ["job"]


def test_a_lease_is_never_preempted() -> None:
    house = House(model("a"))
    house.load("a")
    house.ask("job", "a", "batch", lease=True, lease_ttl_s=600.0)
    house.decide()
    house.ask("voice", "a", "voice")
    house.pass_(5.0)
    assert not of_kind(house.decide(), Preempt, Hold, Stop)


def test_a_first_byte_that_crosses_a_preemption_wins() -> None:
    house = House(model("a"))
    house.load("a")
    job = house.ask("job", "a", "batch")
    house.decide()
    house.ask("voice", "a", "voice")
    house.pass_(0.3)
    house.decide()
    house.apply(FirstByte("job"))
    house.decide()
    assert house.of("a").running == {"job"}
    house.apply(Done("job", "ok", job.fence or 0, 1.0))
    assert granted(house.decide()) == ["voice"]


# Paused.


def test_paused_nothing_is_granted_or_started_and_what_runs_goes_on() -> None:
    house = House(model("a", slots=2), model("b"))
    house.load("a")
    house.ask("r1", "a")
    house.decide()
    house.order("pause")
    house.ask("r2", "a")
    house.ask("r3", "b")
    house.pass_(30.0)
    assert not house.decide()
    assert house.of("a").running == {"r1"}
    house.order("resume")
    assert granted(house.decide()) == ["r2"]


def test_a_node_is_named_where_a_request_may_only_go_there() -> None:
    house = House(model("a"))
    house.ask("r1", "a", nodes_allowed=frozenset({"elsewhere"}))
    assert refusals(house.decide()) == {"r1": "inference.node_away"}
    house.ask("r2", "a", nodes_allowed=frozenset({NODE}))
    assert of_kind(house.decide(), Start)
