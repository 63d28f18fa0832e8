"""What replaces what, whatever the order of arrival, and which of them answers at which time."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from contracts.tiers import Tier
from hypothesis import given, settings
from hypothesis import strategies as st
from memory.supersede.decide import replaces
from memory.supersede.evidence import sought
from memory.supersede.plan import BY_PERSON, BY_RULE, Clear, Known, Mark, Set, bears, plan
from memory.supersede.reading import Reading, read
from memory.supersede.readings import KEPT_SECONDS, QUIET_MAX, READINGS_MAX, Readings
from memory.supersede.resolve import Standing, resolve
from memory.supersede.settle import Found, settle
from memory.supersede.when import NOW, Kind, When, asking

START = datetime(2025, 1, 1, 12, tzinfo=UTC)
ASKED_AT = datetime(2026, 6, 1, tzinfo=UTC)


def said(text: str, day: int = 0, speaker: str | None = None) -> Reading:
    return read(text, speaker, START + timedelta(days=day))


@pytest.mark.parametrize(
    ("earlier", "later", "near"),
    [
        ("I live in Porto.", "I moved to Lisbon.", 0.3),
        ("We drive a grey Golf.", "We sold the Golf and bought a Polo.", 0.5),
        ("Our internet is from Vodafone.", "We switched from Vodafone to NOS last week.", 0.6),
        ("Tiago's piano lesson is on Mondays at five.", "Tiago's piano lesson has moved to Thursdays at six.", 0.8),
        ("I eat meat about twice a week.", "I no longer eat meat.", 0.6),
        ("Maya hates mushrooms.", "Turns out Maya likes mushrooms after all.", 0.7),
        ("Tom's birthday is 3 June.", "Correction: Tom's birthday is 13 June, not 3 June.", 0.9),
        ("My gym locker code is 4471.", "My locker at the gym has a new code: 9026.", 0.8),
        ("The spare key is under the flowerpot.", "I put the spare key in the shed instead.", 0.6),
        ("Bin day is Wednesday.", "The council changed bin day to Thursday.", 0.7),
        ("I take 5 mg of amlodipine every morning.", "The doctor raised my amlodipine to 10 mg.", 0.7),
        ("My sister Ana lives in Braga.", "Ana moved to Coimbra.", 0.4),
    ],
)  # fmt: skip
def test_a_later_memory_replaces_what_it_contradicts(earlier: str, later: str, near: float) -> None:
    assert replaces(said(later, 30), said(earlier), near) is not None


@pytest.mark.parametrize(
    ("earlier", "later", "near"),
    [
        ("We live in Porto.", "My sister Ana lives in Braga.", 0.5),
        ("We live in Porto.", "Ana moved to Coimbra.", 0.4),
        ("Tiago is allergic to peanuts.", "Tiago is also allergic to kiwi.", 0.8),
        ("I live in Porto.", "I might move to Madrid one day.", 0.5),
        ("I live in Porto.", "Where do I live?", 0.6),
        ("I live in Porto.", 'Paulo said "I live in Madrid now".', 0.5),
        ("Maya plays the recorder.", "Maya has also taken up the violin.", 0.7),
        ("I live in Porto.", "I used to live in Faro.", 0.6),
        ("I live in Porto.", "I live in Porto.", 1.0),
        ("Tiago's piano lesson is on Mondays.", "Our cleaner comes on Fridays now.", 0.3),
        ("I love fado.", "I love jazz.", 0.6),
        ("My brother Vikram lives in Leeds.", "My brother Arun lives in Bath.", 0.7),
    ],
)  # fmt: skip
def test_what_holds_beside_it_or_was_not_stated_replaces_nothing(
    earlier: str, later: str, near: float
) -> None:
    assert replaces(said(later, 30), said(earlier), near) is None


TEXTS = [
    "I live in Porto.", "I moved to Lisbon.", "I live in Faro now.", "I used to live in Evora.", "My sister Ana lives in Braga.",
    "Ana moved to Coimbra.", "The alarm code is 7719.", "We changed the alarm code to 3305.", "The alarm code is 1212 now.",
    "I eat meat.", "I no longer eat meat.", "I eat meat again.", "Does Ana live in Porto?", "I might move to Madrid.",
]  # fmt: skip
World = list[tuple[str, int]]


def arrive(world: World, order: list[int], tiers: list[Tier]) -> dict[tuple[UUID, bool], UUID]:
    """Let memories arrive one by one, each compared with all that are there."""
    marks: dict[tuple[UUID, bool], Mark] = {}
    there: list[Known] = []
    for place in order:
        text, day = world[place]
        new = Known(UUID(int=place + 1), tiers[place], said(text, day), START, 0.6)
        for move in plan(new, there, marks):
            key = (move.old_id, move.hidden)
            if isinstance(move, Set):
                marks[key] = Mark(move.old_id, move.new_id, BY_RULE)
            else:
                del marks[key]
        there.append(new)
    return {key: mark.new_id for key, mark in marks.items()}


worlds = st.lists(
    st.tuples(st.sampled_from(TEXTS), st.integers(0, 400)), max_size=8, unique_by=lambda x: x[1]
)


@settings(max_examples=120, deadline=None)
@given(worlds, st.randoms(use_true_random=False))
def test_the_order_of_arrival_does_not_change_what_is_current(
    world: World, chance: random.Random
) -> None:
    order = list(range(len(world)))
    tiers = [chance.choice([Tier.CONVENIENCE, Tier.SENSITIVE]) for _ in world]
    first = arrive(world, order, tiers)
    chance.shuffle(order)
    assert arrive(world, order, tiers) == first


@settings(max_examples=120, deadline=None)
@given(worlds)
def test_marks_point_forward_in_time_and_never_in_a_circle(world: World) -> None:
    marks = arrive(world, list(range(len(world))), [Tier.CONVENIENCE] * len(world))
    at = {UUID(int=place + 1): said(text, day) for place, (text, day) in enumerate(world)}
    for (old, _), new in marks.items():
        assert at[old].holds_at < at[new].holds_at


def known(number: int, text: str, day: int, tier: Tier = Tier.CONVENIENCE) -> Known:
    return Known(UUID(int=number), tier, said(text, day), START + timedelta(days=day), 0.6)


def test_an_edit_that_contradicts_no_more_takes_the_mark_back() -> None:
    old, new = known(1, "I live in Porto.", 0), known(2, "Ana moved to Lisbon.", 9)
    marks = {(old.id, False): Mark(old.id, new.id, BY_RULE)}
    assert plan(new, [old], marks) == [Clear(old.id, False)]


def test_what_a_person_decided_no_rule_undoes() -> None:
    old, new = known(1, "I live in Porto.", 0), known(2, "I moved to Lisbon.", 9)
    restored = {(old.id, False): Mark(old.id, new.id, BY_PERSON, START + timedelta(days=20))}
    assert plan(new, [old], restored) == []
    marked = {(old.id, False): Mark(old.id, UUID(int=9), BY_PERSON)}
    assert plan(new, [old], marked) == []
    later = known(3, "I live in Faro now.", 40)
    (move,) = plan(later, [old], restored)
    assert isinstance(move, Set)
    assert move.new_id == later.id


def test_a_more_private_memory_marks_a_less_private_one_out_of_sight() -> None:
    old = known(1, "I live in Porto.", 0)
    new = known(2, "I moved to Lisbon.", 9, Tier.SENSITIVE)
    (move,) = plan(new, [old], {})
    assert isinstance(move, Set)
    assert move.hidden
    (seen,) = plan(
        known(3, "I live in Porto.", 0, Tier.SENSITIVE), [known(4, "I moved to Lisbon.", 9)], {}
    )
    assert isinstance(seen, Set)
    assert not seen.hidden


def test_in_a_conversation_only_a_fact_of_a_known_shape_replaces_another() -> None:
    def turn(number: int, text: str, day: int) -> Known:
        return Known(
            UUID(int=number), Tier.CONVENIENCE, said(text, day, "Ana"), START, 0.8, turn=True
        )

    small_talk = turn(2, "The colours of your painting are so bright now!", 9)
    assert plan(small_talk, [turn(1, "The colours of your painting are lovely.", 0)], {}) == []
    assert len(plan(turn(4, "I moved to Lisbon.", 9), [turn(3, "I live in Porto.", 0)], {})) == 1


MORE = [
    "The boiler was replaced last week.", "Our landlord is called Paulo.", "Actually the dentist is on Friday.", "Lise has moved away.",
    "My locker at the gym has a new code: 9026.", "I sold the Golf.", "What a lovely day!", "", "Thanks, Ana!", "Bin day is Thursday now.",
]  # fmt: skip


@given(st.sampled_from(TEXTS + MORE), st.sampled_from(TEXTS + MORE), st.booleans(), st.booleans())
def test_what_bears_nothing_neither_replaces_nor_is_replaced(
    one: str, other: str, one_turn: bool, other_turn: bool
) -> None:
    both = [
        Known(UUID(int=1), Tier.CONVENIENCE, said(one), START, 0.9, one_turn),
        Known(UUID(int=2), Tier.CONVENIENCE, said(other, 9), START, 0.9, other_turn),
    ]
    turn = one_turn or other_turn
    if not all(bears(each.reading, turn) for each in both):
        assert plan(both[0], [both[1]], {}) == plan(both[1], [both[0]], {}) == []


def sizes(kept: Readings) -> list[int]:
    return sorted(len(each) for each in vars(kept).values() if isinstance(each, dict))


def test_readings_are_those_of_the_text_and_never_more_than_there_is_room_for() -> None:
    kept = Readings()
    for number in range(READINGS_MAX + 10):
        text = f"I live in Porto, at number {number}."
        assert kept.of(text, None, START, turn=False) == read(text, None, START)
    for number in range(QUIET_MAX + 10):
        assert kept.of(f"What a day, {number}!", "Ana", START, turn=True) is None
    assert sizes(kept) == [READINGS_MAX, QUIET_MAX]


def test_what_was_read_is_kept_no_longer_than_it_is_used() -> None:
    moment = [0.0]
    kept = Readings(lambda: moment[0])
    for text in ("I live in Porto.", "I moved to Lisbon.", "What a day!"):
        kept.of(text, None, START, turn=True)
    moment[0] = KEPT_SECONDS - 1
    kept.of("I live in Porto.", None, START, turn=True)
    moment[0] = KEPT_SECONDS + 1
    kept.forget()
    assert sizes(kept) == [0, 1]
    assert "Lisbon" not in repr(vars(kept))
    moment[0] += KEPT_SECONDS
    kept.forget()
    assert sizes(kept) == [0, 0]


def test_a_reading_is_of_who_said_it_and_when_and_to_whom() -> None:
    kept, later = Readings(), START + timedelta(days=3)
    text = "The dentist is nice."
    assert kept.of(text, None, START, turn=True) is None
    as_note = kept.of(text, None, START, turn=False)
    assert as_note == read(text, None, START)
    assert kept.of(text, None, START, turn=True) is None
    moved = "I moved to Lisbon yesterday."
    assert kept.of(moved, None, START, turn=True) == read(moved, None, START)
    assert kept.of(moved, None, later, turn=True) == read(moved, None, later)
    assert kept.of(moved, "Ana", later, turn=True) == read(moved, "Ana", later)


@pytest.mark.parametrize(
    ("query", "kind"),
    [
        ("Where do I live?", Kind.NOW),
        ("Where did I live in March 2025?", Kind.AT),
        ("Where was I living last year?", Kind.AT),
        ("which company insured my car in 2025", Kind.AT),
        ("And in September 2025, how much?", Kind.AT),
        ("When is Tom's birthday in June?", Kind.NOW),
        ("Where did I live before?", Kind.BEFORE),
        ("Who did I use to work for?", Kind.BEFORE),
        ("What car did we have originally?", Kind.FIRST),
        ("Where do I live now?", Kind.NOW),
    ],
)
def test_a_question_says_what_time_it_is_about(query: str, kind: Kind) -> None:
    assert asking(query, ASKED_AT).kind is kind


def test_what_is_looked_for_by_meaning_has_no_time_in_it() -> None:
    assert sought("Where did I live in March 2025?", ASKED_AT) == "Where did I live?"
    assert sought("When is Tom's birthday in June?", ASKED_AT) == "When is Tom's birthday in June?"


standings = st.lists(
    st.builds(
        Standing,
        id=st.integers(1, 8).map(lambda n: UUID(int=n)),
        score=st.floats(0, 1),
        said_at=st.integers(0, 400).map(lambda n: START + timedelta(days=n)),
        superseded_by=st.none() | st.integers(1, 8).map(lambda n: UUID(int=n)),
    ),
    max_size=8,
    unique_by=lambda each: each.id,
)


@settings(max_examples=200, deadline=None)
@given(standings, st.sampled_from([*Kind]))
def test_resolving_loses_no_memory_and_puts_what_stands_first(
    ranked: list[Standing], kind: Kind
) -> None:
    when = When(kind, START, START + timedelta(days=30)) if kind is Kind.AT else When(kind)
    out = resolve(ranked, when)
    assert sorted(each.id for each in out) == sorted(each.id for each in ranked)
    if kind is Kind.NOW:
        place = {each.id: number for number, each in enumerate(out)}
        for each in ranked:
            by = next((other for other in ranked if other.id == each.superseded_by), None)
            if by is not None and by.superseded_by is None and by.id != each.id:
                assert place[by.id] < place[each.id]


def found(number: int, text: str, day: int, score: float, **more: object) -> Found:
    base = {"speaker": None, "cosine": score, "said_at": START + timedelta(days=day)}
    return Found(UUID(int=number), score, text, **{**base, **more})  # type: ignore[arg-type]


def test_the_current_answer_comes_first_though_the_old_one_is_nearer() -> None:
    old = found(1, "I live in Porto.", 0, 0.8)
    new = found(2, "We moved to a flat in Lisbon.", 200, 0.4)
    other = found(3, "My sister Ana lives in Braga.", 210, 0.6)
    first = settle("Where do I live?", [old, new, other], ASKED_AT)[0]
    assert first[0].id.int == 2
    then = settle("Where did I live in March 2025?", [old, new, other], ASKED_AT)[0]
    assert then[0].id.int == 1


def test_settling_gives_every_candidate_back_with_the_scores_there_were() -> None:
    given = [found(n, text, n, 1 / (n + 1)) for n, text in enumerate(TEXTS, 1)]
    out = settle("Where do I live?", given, ASKED_AT)[0]
    assert sorted(each.id for each in out) == sorted(each.id for each in given)
    assert max(each.score for each in out) == max(each.score for each in given)


def test_turns_of_a_conversation_keep_their_order() -> None:
    turns = [
        found(1, "I live in Porto.", 0, 0.8, speaker="Ana", thread="talk"),
        found(2, "I moved to Lisbon.", 9, 0.4, speaker="Ana", thread="talk"),
    ]
    assert [each.id.int for each in settle("Where does Ana live?", turns, ASKED_AT)[0]] == [1, 2]


def test_a_question_about_now_is_the_default() -> None:
    assert asking("wifi password", ASKED_AT) == NOW
