"""The ledger: what is charged, what stays charged until it has been read, what others use."""

import pytest
from core_house import NODE, House, model, of_kind, sleeper
from gpu_scheduler.core.actions import Grant, Refuse, Sleep, Start, Stop, Wake
from gpu_scheduler.core.ledger import by_card, card_sum, need_alone, need_of, ram_sums
from gpu_scheduler.core.model import Phase
from gpu_scheduler.core.policy import household


def sums(house: House, card: str = "card0"):
    known = house.state.cards[card]
    return card_sum(house.state, known, by_card(house.state)[card], True, house.now)


def test_a_measured_model_is_charged_its_peak_and_a_small_margin() -> None:
    need = need_of(model("a", 10000, predicted_mib=8000), household())
    assert need.mib == 10000 * 1.03 + 128


def test_a_model_that_was_never_measured_is_charged_as_much_as_predictions_err_by() -> None:
    need = need_of(model("a", 10000, peak_mib=None), household())
    assert need.mib == 10000 * 1.30 + 512


def test_a_prediction_above_the_measured_peak_is_what_is_charged() -> None:
    assert need_of(model("a", 10000, peak_mib=7000), household()).mib == 10000 * 1.03 + 128


def test_a_charge_is_booked_before_the_start_is_sent() -> None:
    house = House(model("a"))
    house.ask("r1", "a")
    before = sums(house).free
    (start,) = of_kind(house.decide(), Start)
    assert sums(house).free == before - start.charge_mib


def test_memory_that_a_start_takes_before_its_process_is_known_is_not_counted_twice_too_low() -> (
    None
):
    house = House(model("a", 8000))
    house.ask("r1", "a")
    (start,) = of_kind(house.decide(), Start)
    house.unnamed.add(start.instance_id)
    house.is_(start.instance_id, Phase.STARTING, 4000)
    # 4000 MiB look foreign until the driver names them: what is free may only be less than it will be.
    assert sums(house).free <= 24576 - 256 - start.charge_mib


def test_what_others_use_is_not_free() -> None:
    house = House(model("a"))
    house.foreign["card0"] = 5000
    house.hear()
    assert sums(house).free == 24576 - 256 - 5000


def test_the_memory_of_a_stopped_model_is_free_only_after_the_card_was_read_later() -> None:
    house = House(model("a"))
    (a,) = house.load("a")
    charge = house.of("a").charge_mib
    house.order("evict", "a")
    house.decide()
    house.is_(a, Phase.STOPPED)
    assert sums(house).free == 24576 - 256 - charge
    house.pass_(0.5)
    assert sums(house).free == 24576 - 256


def test_memory_that_stays_after_a_stop_is_foreign_and_not_forgotten() -> None:
    house = House(model("a"))
    (a,) = house.load("a")
    house.order("evict", "a")
    house.decide()
    house.is_(a, Phase.STOPPED)
    house.foreign["card0"] = 3000  # a process that has not gone yet
    house.pass_(0.5)
    assert sums(house).free == 24576 - 256 - 3000
    assert not house.state.cards["card0"].remnants


def test_a_model_that_sleeps_is_charged_what_sleep_leaves_once_that_was_read() -> None:
    house = House(sleeper("a"))
    (a,) = house.load("a")
    house.order("sleep", "a")
    house.decide()
    house.is_(a, Phase.ASLEEP)
    assert sums(house).free < 24576 - 256 - 200
    house.pass_(0.5)
    assert sums(house).free == 24576 - 256 - 200


def test_a_sleep_that_gives_nothing_back_frees_nothing() -> None:
    house = House(sleeper("a", 9000), model("b", 20000))
    (a,) = house.load("a")
    house.order("sleep", "a")
    house.decide()
    house.is_(a, Phase.ASLEEP, 9000)
    house.ask("r1", "b")
    for _ in range(20):
        house.pass_(1.0)
        assert not of_kind(house.decide(), Start)


def test_what_sleep_never_gave_back_is_got_by_ending_the_sleeper() -> None:
    house = House(sleeper("a", 9000), model("b", 20000))
    (a,) = house.load("a")
    house.order("sleep", "a")
    house.decide()
    house.is_(a, Phase.ASLEEP, 9000)
    house.ask("r1", "b")
    stops = []
    for _ in range(60):
        house.pass_(1.0)
        if stops := of_kind(house.decide(), Stop):
            break
    assert [stop.instance_id for stop in stops] == [a]
    house.is_(a, Phase.STOPPED)
    house.pass_(1.0)
    assert of_kind(house.decide(), Start)


def test_a_model_that_twice_did_not_give_its_memory_back_is_ended_and_not_put_to_sleep() -> None:
    house = House(sleeper("a", 9000), model("b", 20000))
    house.state.books.clear()
    house.load("a")
    house.state.books[NODE, "a"].sleep_failures = 2
    house.ask("r1", "b", "voice")
    house.pass_(20.0)
    sent = of_kind(house.decide(), Sleep, Stop)
    assert [type(action) for action in sent] == [Stop]


def test_an_old_reading_books_nothing_new() -> None:
    house = House(model("a"))
    house.ask("r1", "a")
    house.now += 6.0
    assert not of_kind(house.decide(), Start)
    house.hear()
    assert of_kind(house.decide(), Start)


def test_a_card_that_could_not_be_read_books_nothing_new_and_goes_on_serving() -> None:
    house = House(model("a", slots=2), model("b"))
    house.load("a")
    broken = house.report().cards[0].__class__("card0", 0, 24576, 0, {}, "the driver is busy")
    house.hear(cards=(broken,))
    house.ask("r1", "a")
    house.ask("r2", "b")
    actions = house.decide()
    assert [grant.request_id for grant in of_kind(actions, Grant)] == ["r1"]
    assert not of_kind(actions, Start)


def test_a_report_that_is_older_than_what_is_known_changes_nothing() -> None:
    house = House(model("a"))
    old = house.report()
    house.now += 1.0
    house.foreign["card0"] = 7000
    house.hear()
    house.apply(old)
    assert house.state.cards["card0"].used_mib == 7000


def test_a_model_above_its_charge_is_charged_more_at_once() -> None:
    house = House(model("a", 8000, peak_mib=None))
    (a,) = house.load("a")
    house.is_(a, Phase.READY, 12000)
    assert house.of("a").charge_mib >= 12000 * 1.03 + 128


def test_a_peak_counts_as_measured_only_when_requests_were_served() -> None:
    house = House(model("a", 8000, peak_mib=None))
    (a,) = house.load("a")
    house.is_(a, Phase.READY, 9000)
    assert not house.state.peaks
    for number in range(3):
        house.ask(f"r{number}", "a")
        house.decide()
        house.done(f"r{number}")
    house.is_(a, Phase.READY, 9000)
    assert house.state.peaks == {(NODE, "a", "a-1"): 9000}
    assert house.state.peaks_unsaved == {(NODE, "a", "a-1")}
    assert house.of("a").charge_mib == 9000 * 1.03 + 128


def test_a_model_too_large_for_its_first_margin_is_measured_alone_on_the_card() -> None:
    house = House(model("big", 19000, peak_mib=None), model("b", 200))
    assert need_of(house.models[0], household()).mib > 24320
    assert need_alone(house.models[0], household()).mib < 24320
    house.load("b")
    house.ask("r1", "big")
    house.pass_(10.0)
    actions = house.obey()
    assert [type(a) for a in of_kind(actions, Stop, Start, Grant)] == [Stop, Start, Grant]
    assert sums(house).free <= 0  # nothing is put beside it until it is measured


def test_host_memory_is_booked_like_the_cards() -> None:
    house = House(sleeper("a", 9000), sleeper("b", 8000))
    house.ram_budget_mib = 10000
    house.load("a")
    assert ram_sums(house.state)[NODE][0] == 9500
    house.order("sleep", "a")
    house.decide()
    assert (
        ram_sums(house.state)[NODE][0] == 1000
    )  # both on the card and in host memory for a moment
    house.is_(house.of("a").id, Phase.ASLEEP)
    assert ram_sums(house.state)[NODE][0] == 1000


def test_the_one_that_slept_longest_ends_when_the_host_has_no_room_for_another() -> None:
    house = House(sleeper("a", 9000), sleeper("b", 9000), model("c", 20000))
    house.ram_budget_mib = 12000
    house.load("a", "b")
    house.order("sleep", "a")
    house.obey()
    house.ask("r1", "c")
    house.pass_(30.0)
    actions = house.obey()
    moves = [(type(a).__name__, a.instance_id.split("-")[0]) for a in of_kind(actions, Sleep, Stop)]
    assert moves == [("Stop", "a"), ("Sleep", "b")]
    assert house.phase("c") is Phase.READY


def test_a_model_that_can_sleep_ends_when_the_host_has_no_room_at_all() -> None:
    house = House(sleeper("a", 9000), model("c", 20000))
    house.ram_budget_mib = 6000
    house.load("a")
    house.ask("r1", "c")
    house.pass_(30.0)
    assert [type(a) for a in of_kind(house.obey(), Sleep, Stop)] == [Stop]


def test_bare_memory_that_is_leased_is_not_given_to_a_model() -> None:
    house = House(model("a", 20000))
    house.lease("l1", 8000)
    house.decide()
    house.ask("r1", "a")
    house.pass_(1.0)
    assert not of_kind(house.decide(), Start)
    house.done("l1")
    assert of_kind(house.decide(), Start)


def test_what_a_holder_of_bare_memory_uses_is_counted_once_where_the_node_names_its_process() -> (
    None
):
    house = House(model("a"))
    house.lease("l1", 8000)
    house.decide()
    card = house.report().cards[0].__class__("card0", 0, 24576, 7500, {"l1": 7500})
    house.hear(cards=(card,))
    assert sums(house).free == 24576 - 256 - 8000


def test_memory_that_grows_beside_an_unused_lease_is_never_taken_for_its_holders() -> None:
    house = House(model("a", 12000))
    house.lease("l1", 8000)
    house.decide()
    house.foreign["card0"] = 6000  # somebody plays, and the holder has not begun
    house.pass_(1.0)
    house.ask("r1", "a")
    assert not of_kind(house.decide(), Start)


@pytest.mark.parametrize("mib", [24400, 30000])
def test_bare_memory_that_no_card_has_is_refused_with_the_arithmetic(mib: int) -> None:
    house = House(model("a"))
    house.lease("l1", mib)
    (refusal,) = of_kind(house.decide(), Refuse)
    assert refusal.code == "inference.never_fits"
    assert "24576 - 256 reserve - 0 foreign = 24320" in refusal.why


def test_a_wake_is_booked_like_a_start() -> None:
    house = House(sleeper("a"))
    house.load("a")
    house.order("sleep", "a")
    house.obey()
    house.ask("r1", "a")
    (wake,) = of_kind(house.decide(), Wake)
    assert wake.charge_mib == 8000 * 1.03 + 128
    assert sums(house).free == 24576 - 256 - wake.charge_mib
