"""What voices ask for tells what they ask for next, and what they need at once is taken back from work that has not begun."""

from core_house import House, model, names, of_kind, sleeper
from gpu_scheduler.core.actions import Hold, Preempt, Sleep, Start, Wake
from gpu_scheduler.core.model import Phase


def heard(house: House, times: int, kind: str = "voice", gap_s: float = 30.0) -> None:
    """So often an ear is asked and a mouth a second later, both on the card."""
    for number in range(times):
        for name in ("ear", "mouth"):
            house.ask(f"{name}{number}", name, kind)
            house.decide()
            house.done(f"{name}{number}")
            house.pass_(1.0)
        house.pass_(gap_s)


def speaking(kind: str = "voice", gap_s: float = 30.0, times: int = 5) -> House:
    """A house whose mouth sleeps though it was asked for after every ear."""
    house = House(sleeper("ear", 2000), sleeper("mouth", 9000), sleeper("other", 14_000))
    house.load("ear", "mouth")
    heard(house, times, kind, gap_s)
    house.order("sleep", "mouth")
    house.obey()
    return house


def test_a_model_that_always_follows_another_is_brought_up_when_that_one_is_asked_for() -> None:
    house = speaking()
    house.ask("again", "ear", "voice")
    (wake,) = of_kind(house.decide(), Wake)
    assert wake.instance_id == house.of("mouth").id
    assert "mouth" in wake.why


def test_an_idle_model_makes_room_for_what_is_about_to_be_asked_for() -> None:
    house = speaking()
    house.load("other")
    house.ask("again", "ear", "voice")
    assert names(house.obey(), Sleep, Wake) == [("Sleep", "other"), ("Wake", "mouth")]


def test_a_busy_model_is_not_disturbed_for_what_nobody_has_asked_for_yet() -> None:
    house = speaking()
    house.load("other")
    house.ask("works", "other", "batch")
    house.decide()
    house.ask("again", "ear", "voice")
    assert not of_kind(house.decide(), Hold, Preempt, Sleep, Wake)


def test_one_that_was_expected_in_vain_is_not_expected_for_ever() -> None:
    house = speaking()
    house.load("other")
    house.ask("works", "other", "batch")
    house.decide()
    house.ask("again", "ear", "voice")
    house.decide()
    house.pass_(6.0)
    house.done("works")
    assert not of_kind(house.decide(), Sleep, Wake)


def test_two_times_are_no_habit() -> None:
    house = speaking(times=2)
    house.ask("again", "ear", "voice")
    assert not of_kind(house.decide(), Wake)


def test_what_agents_ask_for_one_after_another_is_nothing_that_anybody_hurries_for() -> None:
    house = speaking("agent")
    house.ask("again", "ear", "voice")
    assert not of_kind(house.decide(), Wake)


def test_a_model_that_the_owner_has_banned_is_not_brought_up_though_it_always_followed() -> None:
    house = speaking()
    house.state.banned.add("mouth")
    house.ask("again", "ear", "voice")
    assert not of_kind(house.decide(), Wake, Start)


def test_nothing_is_remembered_of_names_that_nobody_declares() -> None:
    house = speaking()
    for number in range(50):
        house.ask(f"x{number}", f"made-up-{number}", "voice")
        house.decide()
    assert set(house.state.demand) == {"ear", "mouth"}
    assert set(house.state.demand["ear"].followers) == {"mouth"}
    assert len(house.state.before) <= 16


def test_a_voice_takes_back_all_that_has_not_begun_where_its_model_is_up_in_time() -> None:
    house = House(sleeper("a", 15_000, slots=2), model("b", 15_000, start_s=1.0))
    house.load("a")
    for name in ("one", "two"):
        house.ask(name, "a", "agent")
    house.decide()
    house.ask("voice", "b", "voice")
    house.pass_(1.0)
    assert {p.request_id for p in of_kind(house.decide(), Preempt)} == {"one", "two"}
    for name in ("one", "two"):
        house.done(name, "preempted")
    moves = house.obey()
    assert names(moves, Sleep, Start) == [("Sleep", "a"), ("Start", "b")]
    assert house.phase("b") is Phase.READY


def test_nothing_is_taken_back_when_one_of_them_has_begun_to_answer() -> None:
    house = House(sleeper("a", 15_000, slots=2), model("b", 15_000, start_s=1.0))
    house.load("a")
    for name in ("one", "two"):
        house.ask(name, "a", "agent")
    house.decide()
    house.began("one")
    house.ask("voice", "b", "voice")
    house.pass_(1.0)
    assert not of_kind(house.decide(), Preempt, Hold)


def test_nothing_is_taken_back_for_a_voice_whose_model_takes_too_long_anyway() -> None:
    house = House(sleeper("a", 15_000), model("b", 15_000, start_s=12.0))
    house.load("a")
    house.ask("one", "a", "agent")
    house.decide()
    house.ask("voice", "b", "voice")
    house.pass_(1.0)
    assert not of_kind(house.decide(), Preempt, Hold)
