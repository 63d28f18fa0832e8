"""What others of its kind got wrong, each once: deadlocks, livelocks, thrashing, and looks that change what they look at."""

from itertools import pairwise

from core_house import NODE, House, granted, model, of_kind, sleeper
from gpu_scheduler.core import household, plan
from gpu_scheduler.core.actions import Refuse, Sleep, Start, Stop, Wake
from gpu_scheduler.core.estimate import estimates
from gpu_scheduler.core.events import Asked
from gpu_scheduler.core.model import Phase, Request, ServiceClass


def test_a_victim_that_is_asked_for_again_while_it_goes_does_not_stop_the_one_it_goes_for() -> None:
    house = House(model("a", 15000), model("b", 15000))
    (a,) = house.load("a")
    house.ask("r1", "b", "voice")
    house.pass_(1.0)
    assert of_kind(house.decide(), Stop)
    house.ask("r2", "a", "interactive")  # it is on its way out, and wanted again
    for _ in range(4):
        house.pass_(0.5)
        house.decide()
    house.is_(a, Phase.STOPPED)
    house.pass_(0.5)
    assert granted(house.obey()) == ["r1"]
    house.done("r1")
    house.pass_(10.0)
    assert granted(house.obey()) == ["r2"]


def test_a_victim_that_comes_back_by_itself_is_sent_away_again() -> None:
    house = House(sleeper("a", 15000), model("b", 15000))
    (a,) = house.load("a")
    house.ask("r1", "b", "voice")
    house.pass_(1.0)
    assert of_kind(house.decide(), Sleep)
    house.is_(a, Phase.READY)  # it took the order and stayed awake
    assert of_kind(house.decide(), Sleep)
    house.is_(a, Phase.READY)
    assert of_kind(house.decide(), Stop)  # twice is enough: it ends
    house.is_(a, Phase.STOPPED)
    house.pass_(0.5)
    assert granted(house.obey()) == ["r1"]


def test_an_order_that_the_node_never_heard_is_given_again() -> None:
    house = House(sleeper("a", 15000), model("b", 15000))
    house.load("a")
    house.ask("r1", "b", "interactive")
    house.pass_(12.5)
    before = of_kind(house.decide(), Sleep)
    for _ in range(11):
        house.pass_(1.0)  # the node goes on saying "ready", with the fence of before
        again = of_kind(house.decide(), Sleep)
    assert len(before) == 1
    assert len(again) == 1
    assert again[0].fence > before[0].fence


def test_a_model_that_can_never_fit_is_not_tried_over_and_over() -> None:
    house = House(model("big", 40000), sleeper("a", 15000))
    house.load("a")
    house.log.clear()
    for number in range(20):
        house.ask(f"r{number}", "big")
        house.pass_(1.0)
        house.decide()
    assert len(of_kind(house.log, Refuse)) == 20
    assert not of_kind(house.log, Start, Stop, Sleep)


def test_a_model_that_slept_and_can_never_fit_again_is_refused_and_not_waited_for() -> None:
    house = House(sleeper("a", 15000), model("b", 12000))
    house.load("a")
    house.order("sleep", "a")
    house.obey()
    house.order("pin", "b")
    house.load("b")
    house.ask("r1", "a")
    (refusal,) = of_kind(house.decide(), Refuse)
    assert "pinned" in refusal.why


def test_memory_that_is_free_already_is_not_waited_for() -> None:
    house = House(model("a", 15000), model("b", 15000))
    (a,) = house.load("a")
    house.order("evict", "a")
    house.decide()
    house.is_(a, Phase.STOPPED)
    house.pass_(0.5)
    house.ask("r1", "b")
    assert of_kind(house.decide(), Start)


def test_an_instance_that_vanished_from_its_node_is_not_waited_for() -> None:
    house = House(model("a", 15000), model("b", 15000))
    (a,) = house.load("a")
    del house.told[a]
    house.pass_(0.5)
    house.pass_(0.5)
    house.ask("r1", "b")
    assert granted(house.obey()) == ["r1"]


def test_a_chat_does_not_end_a_job_that_takes_twenty_minutes() -> None:
    house = House(model("images", 15000), model("chat", 15000))
    house.load("images")
    house.ask("job", "images", "batch", lease=True, lease_ttl_s=60.0)
    house.decide()
    house.ask("hello", "chat", "interactive")
    for _ in range(1150):
        house.pass_(1.0)
        house.state.requests["job"].lease_until = house.now + 60.0
        assert not of_kind(house.decide(), Stop, Sleep)
        if "hello" not in house.state.requests:
            break
    assert house.of("images").running == {"job"}


def test_a_chat_that_cannot_have_its_room_in_time_is_told_so() -> None:
    house = House(model("images", 15000), model("chat", 15000))
    house.load("images")
    house.ask("job", "images", "batch", lease=True, lease_ttl_s=6000.0)
    house.decide()
    house.ask("hello", "chat", "interactive", deadline=house.now + 20.0)
    assert "images is at work" in estimates(house.state, house.now)["hello"].why
    house.pass_(20.0)
    assert [r.code for r in of_kind(house.decide(), Refuse)] == ["inference.deadline_passed"]


def test_looking_never_causes_a_switch() -> None:
    house = House(sleeper("a", 15000), sleeper("b", 15000))
    house.load("a")
    house.ask("r1", "b", "batch")
    house.ask("r2", "a", "batch")
    house.log.clear()
    before = repr(house.state)
    for _ in range(200):
        estimates(house.state, house.now)
        plan(house.state, house.now)
    assert repr(house.state) == before


def test_three_models_asked_for_in_turn_are_collated_by_what_is_resident() -> None:
    house = House(model("a", 15000), model("b", 15000), model("c", 15000))
    house.load("a")
    house.log.clear()
    for number in range(30):
        house.ask(f"r{number}", "abc"[number % 3], "agent")
    for _ in range(300):
        house.obey(rounds=3, step=0.2)
        for request in list(house.state.granted):
            house.done(request, seconds=0.2)
        if not house.state.requests:
            break
    assert not house.state.requests
    assert len(of_kind(house.log, Start)) == 2  # AAABBBCCC, where ABCABC would load thirty times


def test_a_model_that_was_loaded_for_somebody_serves_it_before_it_goes() -> None:
    house = House(model("a", 15000, start_s=0.1), model("b", 15000, start_s=0.1))
    house.ask("r1", "a", "batch")
    (start,) = of_kind(house.decide(), Start)
    house.ask("r2", "b", "voice")
    house.pass_(1.0)
    house.is_(start.instance_id, Phase.READY)
    assert granted(house.decide()) == ["r1"]


def test_many_who_preempt_do_not_keep_one_from_ever_being_served() -> None:
    house = House(model("a"))
    house.load("a")
    house.ask("job", "a", "batch")
    house.decide()
    for number in range(300):
        house.ask(f"v{number}", "a", "voice")
        house.pass_(0.5)
        for action in house.decide():
            if type(action).__name__ == "Preempt":
                house.done(action.request_id, "preempted")
        house.decide()
        for request in list(house.state.granted):
            house.done(request)
        if "job" not in house.state.requests:
            return
    raise AssertionError("the job has never been served")


def test_a_crash_loop_backs_off_and_then_is_reported_to_whoever_asks() -> None:
    house = House(model("a"))
    starts = []
    house.ask("r0", "a", "batch")
    for _ in range(400):
        for action in house.decide():
            if isinstance(action, Start):
                starts.append(house.now)
                house.is_(action.instance_id, Phase.FAILED, error="exit 1")
        house.pass_(1.0)
        if house.state.books[NODE, "a"].refused_why:
            break
    gaps = [b - a for a, b in pairwise(starts)]
    assert gaps == sorted(gaps)
    assert gaps[-1] >= 8 * gaps[0] / 1.5
    house.decide()
    house.ask("r1", "a")
    (refusal,) = of_kind(house.decide(), Refuse)
    assert refusal.code == "inference.model_failing"
    assert "exit 1" in refusal.why
    assert refusal.retry_after_s is not None


def test_a_start_that_runs_out_of_memory_is_tried_once_more_alone_and_then_reported() -> None:
    house = House(model("a", 8000, peak_mib=None), sleeper("b", 8000))
    house.load("b")
    house.ask("r1", "a", "interactive")
    (first,) = of_kind(house.decide(), Start)
    house.is_(first.instance_id, Phase.FAILED, error="out of memory", oom=True)
    house.pass_(12.5)
    assert of_kind(house.decide(), Stop)  # whoever is beside it makes way, with all it has
    house.is_(house.of("b").id, Phase.STOPPED)
    house.pass_(0.5)
    (second,) = of_kind(house.decide(), Start)
    assert second.charge_mib > 20000
    house.is_(second.instance_id, Phase.FAILED, error="out of memory", oom=True)
    (refusal,) = of_kind(house.decide(), Refuse)
    assert refusal.code == "inference.model_failing"
    assert "ran out of memory twice" in refusal.why


def test_an_ask_that_is_repeated_is_one_ask() -> None:
    house = House(model("a", start_s=60.0))
    first = house.ask("r1", "a")
    house.now += 1.0
    again = Request("r1", "gateway", "a", ServiceClass.INTERACTIVE, "anna", house.now, 0)
    house.apply(Asked(again))
    assert house.state.requests["r1"] is first
    assert house.state.queued_by_class.total() == 1


def test_a_wake_that_fails_is_not_tried_again_at_once() -> None:
    house = House(sleeper("a"))
    house.load("a")
    house.order("sleep", "a")
    house.obey()
    house.ask("r1", "a", "batch")
    (wake,) = of_kind(house.decide(), Wake)
    house.is_(wake.instance_id, Phase.ASLEEP, error="cuMemMap failed")
    house.pass_(1.0)
    assert not of_kind(house.decide(), Wake)
    house.pass_(5.0)
    assert of_kind(house.decide(), Wake)


def test_a_batch_has_its_turn_though_the_model_in_its_way_is_never_idle() -> None:
    house = House(sleeper("a", 15000, slots=2), sleeper("b", 15000))
    house.load("a")
    house.ask("job", "b", "batch")
    asked = house.now
    for number in range(700):
        house.ask(f"r{number}", "a", "interactive")
        house.obey(rounds=1, step=1.0)
        if "job" in house.state.granted:
            break
        for request in list(house.state.granted.values()):
            if house.now - (request.granted_at or 0.0) >= 2.0:
                house.done(request.id, seconds=2.0)
    bound = household().classes[ServiceClass.BATCH].drain_after_s
    assert "job" in house.state.granted
    assert house.now - asked <= bound + 60.0
