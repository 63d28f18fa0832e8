"""Where each one that waits stands, when it will probably begin, and why it waits."""

from core_house import House, model, of_kind, sleeper
from gpu_scheduler.core.actions import Start
from gpu_scheduler.core.estimate import estimates


def place(house: House, request: str):
    return estimates(house.state, house.now)[request]


def test_positions_follow_the_order_in_which_requests_will_be_granted() -> None:
    house = House(model("a"))
    house.load("a")
    house.ask("running", "a")
    house.decide()
    house.ask("agent", "a", "agent")
    house.ask("voice", "a", "voice")
    house.ask("person", "a", "interactive")
    found = estimates(house.state, house.now)
    assert [found[r].position for r in ("voice", "person", "agent")] == [1, 2, 3]
    seconds = [found[r].seconds or 0.0 for r in ("voice", "person", "agent")]
    assert seconds == sorted(seconds)
    assert found["voice"].why.startswith("it is next: a is resident")


def test_what_is_being_started_begins_when_the_start_is_over() -> None:
    house = House(model("a", start_s=30.0))
    house.ask("r1", "a")
    house.decide()
    house.pass_(10.0)
    assert place(house, "r1").seconds == 20.0
    assert "a is being started" in place(house, "r1").why


def test_what_sleeps_begins_after_its_wake() -> None:
    house = House(sleeper("a", wake_s=1.5))
    house.load("a")
    house.order("sleep", "a")
    house.obey()
    house.ask("r1", "a")
    assert place(house, "r1").seconds == 1.5


def test_whoever_needs_room_is_told_who_is_in_the_way() -> None:
    house = House(model("a", 15000), model("b", 15000))
    house.load("a")
    house.ask("job", "a", "batch")
    house.decide()
    house.began("job")
    house.ask("r1", "b", "interactive")
    told = place(house, "r1")
    assert "b needs room" in told.why
    assert "a is at work" in told.why
    assert told.seconds is not None


def test_a_model_that_failed_says_why_and_when_it_is_tried_again() -> None:
    house = House(model("a"))
    house.ask("r1", "a", "batch")
    (start,) = of_kind(house.decide(), Start)
    from gpu_scheduler.core.model import Phase

    house.is_(start.instance_id, Phase.FAILED, error="exit 137")
    told = place(house, "r1")
    assert "exit 137" in told.why
    assert told.seconds is not None
    assert told.seconds >= 5.0


def test_while_all_is_paused_nobody_can_say_when() -> None:
    house = House(model("a"))
    house.order("pause")
    house.ask("r1", "a")
    assert place(house, "r1").seconds is None
    assert "paused by the owner" in place(house, "r1").why


def test_bare_memory_is_told_what_is_free() -> None:
    house = House(model("a", 20000))
    house.load("a")
    house.lease("l1", 9000)
    house.ask("x", "a")
    assert place(house, "l1").why == "9000 MiB are asked for; free now: card 0: 3592"
