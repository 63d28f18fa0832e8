"""What holds for every queue, every card and every error of a prediction that is small enough."""

from core_house import House, granted, model, of_kind, sleeper
from gpu_scheduler.core import household
from gpu_scheduler.core.actions import Refuse, Start
from gpu_scheduler.core.ledger import by_card, card_sum, need_of
from gpu_scheduler.core.model import Phase
from gpu_scheduler.core.sets import cheapest
from hypothesis import given, settings
from hypothesis import strategies as st

POLICY = household()
KINDS = [kind.value for kind in POLICY.classes]
SPAN_S = (
    max(one.priority for one in POLICY.classes.values())
    + POLICY.deadline_boost_s
    + POLICY.fairness_cap_s
)
DRAIN_S = max(one.drain_after_s for one in POLICY.classes.values())


@given(predicted=st.integers(1, 100_000), error=st.floats(-0.3, 0.3))
def test_a_first_charge_covers_every_error_of_up_to_thirty_percent(
    predicted: int, error: float
) -> None:
    assert predicted * (1 + error) <= need_of(model("a", predicted, peak_mib=None), POLICY).mib


@given(
    predicted=st.integers(1, 100_000),
    error=st.floats(-0.3, 0.3),
    seen=st.floats(0.97, 1.0),
)
def test_a_measured_charge_covers_what_was_not_seen_of_the_peak(
    predicted: int, error: float, seen: float
) -> None:
    truth = predicted * (1 + error)
    assert truth <= need_of(model("a", predicted, peak_mib=int(truth * seen)), POLICY).mib + 1


@given(
    mib=st.integers(100, 60_000),
    measured=st.booleans(),
    foreign=st.integers(0, 8000),
    cards=st.lists(st.sampled_from([8192, 12288, 24576, 49152]), min_size=1, max_size=3),
    wide=st.booleans(),
)
def test_a_model_that_is_asked_for_is_refused_at_once_or_served_and_nothing_between(
    mib: int, measured: bool, foreign: int, cards: list[int], wide: bool
) -> None:
    needed = 2 if wide and len(cards) > 1 else 1
    one = model("a", mib, peak_mib=mib if measured else None, cards_needed=needed)
    house = House(one, cards=tuple(cards))
    house.foreign["card0"] = min(foreign, cards[0])
    for _ in range(25):
        house.pass_(1.0)  # until foreign use counts as there to stay
    house.ask("r1", "a")
    first = house.decide()
    if of_kind(first, Refuse):
        assert not house.state.requests
        return
    for action in of_kind(first, Start):
        house.is_(action.instance_id, Phase.READY)
    assert granted(house.obey()) == ["r1"]


@given(
    sizes=st.lists(st.integers(500, 14_000), min_size=2, max_size=6),
    asked=st.lists(st.tuples(st.integers(0, 5), st.sampled_from(KINDS)), min_size=1, max_size=25),
    foreign=st.integers(0, 9000),
)
@settings(max_examples=60)
def test_whatever_is_asked_for_the_card_is_never_booked_beyond_its_budget(
    sizes: list[int], asked: list[tuple[int, str]], foreign: int
) -> None:
    house = House(*(sleeper(f"m{i}", mib) for i, mib in enumerate(sizes)))
    house.foreign["card0"] = foreign
    house.hear()
    for number, (which, kind) in enumerate(asked):
        house.ask(f"r{number}", f"m{which % len(sizes)}", kind)
        house.obey(rounds=2)
        known = house.state.cards["card0"]
        total = card_sum(house.state, known, by_card(house.state)["card0"], True, house.now)
        assert total.booked + total.foreign <= 24576 - 256
        for request in list(house.state.granted):
            house.done(request)


@given(
    entries=st.lists(st.tuples(st.floats(0, 100), st.integers(1, 9000)), min_size=1, max_size=8),
    share=st.floats(0.01, 1.0),
)
def test_those_who_make_room_are_enough_and_none_of_them_is_needless(
    entries: list[tuple[float, int]], share: float
) -> None:
    short = max(1, int(sum(gain for _, gain in entries) * share))
    priced = sorted((cost, 0.0, str(i), gain, None) for i, (cost, gain) in enumerate(entries))
    chosen = cheapest(priced, short)  # type: ignore[arg-type]
    gains = [entry[3] for entry in chosen]
    assert sum(gains) >= short
    assert all(sum(gains) - gain < short for gain in gains)


@given(
    asked=st.lists(
        st.tuples(
            st.sampled_from(["a", "b"]),
            st.sampled_from(KINDS),
            st.sampled_from(["anna", "ben", "cleo"]),
            st.sampled_from([0.0, 0.0, 1.0, 5.0, 40.0]),
            st.sampled_from([None, None, 15.0]),
        ),
        min_size=5,
        max_size=40,
    ),
    work_s=st.sampled_from([0.5, 3.0, 9.0]),
    factor=st.sampled_from([0.0, 5.0]),
)
@settings(max_examples=40)
def test_nobody_is_overtaken_by_one_who_comes_later_than_priorities_and_patience_allow(
    asked: list[tuple[str, str, str, float, float | None]], work_s: float, factor: float
) -> None:
    """The bound of everybody's waiting: a request's own queue, and who may still come before it, is finite."""
    house = House(
        sleeper("a", 15000, min_dwell_s=factor),
        sleeper("b", 15000, min_dwell_s=factor),
        policy=POLICY,
    )
    arrivals: dict[str, float] = {}
    pending = list(asked)
    since = 0.0
    slack = 2 * 15.0 + work_s  # dwelling, a load, and one that is running
    for _ in range(2000):
        while pending and since >= pending[0][3]:
            which, kind, caller, _, near = pending.pop(0)
            name = f"r{len(arrivals)}"
            arrivals[name] = house.now
            # A deadline that only orders: far enough for nobody to be refused.
            house.ask(name, which, kind, caller, work_s=near or 1.0)
            since = 0.0
        for one in granted(house.obey(rounds=1)):
            left = [r for r in house.state.requests.values() if r.queued]
            worst = max((arrivals[one] - arrivals[r.id] for r in left), default=0.0)
            assert worst <= max(SPAN_S, DRAIN_S, POLICY.drain_loads * 4.0) + slack
        house.pass_(0.5)
        since += 1.0
        for request in list(house.state.granted.values()):
            if house.now - (request.granted_at or 0.0) >= work_s:
                house.done(request.id, seconds=work_s)
        if not pending and not house.state.requests:
            break
    assert not pending
    late = [r for r in house.state.requests.values() if r.queued]
    assert not late, f"still waiting: {late}"


@given(st.data())
@settings(max_examples=25)
def test_no_more_run_on_an_instance_than_it_has_places(data: st.DataObject) -> None:
    slots = data.draw(st.integers(1, 4))
    house = House(model("a", slots=slots))
    house.load("a")
    for number in range(data.draw(st.integers(1, 30))):
        house.ask(f"r{number}", "a", data.draw(st.sampled_from(KINDS)))
        house.decide()
        assert len(house.of("a").running) <= slots
        if house.state.granted and data.draw(st.booleans()):
            house.done(data.draw(st.sampled_from(sorted(house.state.granted))))
