"""What a text shows of itself, and how the best of a recall are weighed together."""

from __future__ import annotations

import math
import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory.supersede.evidence import (
    ANSWER,
    REPLACE,
    Answer,
    Query,
    answer,
    answers_by,
    question,
)
from memory.supersede.reading import read
from memory.supersede.signs import signs, sought, strange
from memory.supersede.weights import ANSWER as ANSWER_WEIGHTS
from memory.supersede.weights import REPLACE as REPLACE_WEIGHTS
from memory.supersede.when import asking
from memory.supersede.worth import pairs, worths

START = datetime(2025, 1, 1, 12, tzinfo=UTC)
ASKED_AT = datetime(2026, 6, 1, tzinfo=UTC)
TEXTS = (
    "I live in Porto.",
    "Removal van came at seven. Now at 27 Osier Road",
    "Mum's still in Porto",
    "Thinking about Madrid one day",
    "",
    "86.2 kg this morning",
    "The rent is 780",
    "also a cellar, 20 a month",
)


def asked(query: str) -> Query:
    return question(query, asking(query, ASKED_AT), ASKED_AT)


def seen(query: Query, *told: tuple[str, int, float]) -> list[Answer]:
    """Return what each text brings, said on that day and so near the question."""
    return [
        answer(read(text, None, START + timedelta(days=day)), text, near, query)
        for text, day, near in told
    ]


def best(query: str, *told: tuple[str, int, float]) -> str:
    wanted = asked(query)
    worth = worths(wanted, seen(wanted, *told))
    return told[worth.index(max(worth))][0]


def test_there_is_a_weight_for_each_piece_of_evidence() -> None:
    assert set(ANSWER_WEIGHTS) == set(ANSWER)
    assert set(REPLACE_WEIGHTS) == set(REPLACE)
    wanted = asked("Where do I live?")
    told = seen(wanted, ("I live in Porto.", 0, 0.8), ("Now at 27 Osier Road", 9, 0.3))
    assert len(answers_by(wanted, told[0], 0.8)) == len(ANSWER)
    assert [len(evidence) for _, evidence in pairs(wanted, told)] == [len(REPLACE)]


@pytest.mark.parametrize(
    ("query", "old", "new", "near"),
    [
        # What takes up the name and says that something turned, though no rule knows its shape.
        ("Where do we keep the money?", "Savings with Fennick, 4.2%", "Fennick closed, everything is at Ardent now", (0.4, 0.35)),
        ("Which evening is choir?", "Choir rehearsal Wednesdays 7.30pm", "New conductor. Choir rehearsals are now Thursdays", (0.6, 0.5)),
        ("What do I pay Marisol per hour?", "Cleaner: Marisol, 15/hr", "Marisol asks for 17 an hour from July", (0.6, 0.55)),
    ],
)  # fmt: skip
def test_what_takes_a_matter_up_again_answers_before_what_it_replaced(
    query: str, old: str, new: str, near: tuple[float, float]
) -> None:
    assert best(query, (old, 0, near[0]), (new, 200, near[1])) == new
    then = f"{query.rstrip('?').replace(' do ', ' did ').replace(' is ', ' was ')} in January 2025?"
    assert best(then, (old, 0, near[0]), (new, 200, near[1])) == old


def test_what_holds_beside_it_takes_no_place() -> None:
    wanted = asked("What is the rent?")
    told = seen(wanted, ("The rent is 780", 0, 0.7), ("also a cellar, 20 a month", 30, 0.5))
    assert not list(pairs(wanted, told))


def test_only_what_time_favours_takes_a_place() -> None:
    told = (("I live in Porto.", 0, 0.8), ("I moved to Lisbon.", 200, 0.6))
    for query, places in (
        ("Where do I live?", [(0, 1)]),
        ("Where did I live in March 2025?", [(1, 0)]),
        ("Where did I live at first?", [(1, 0)]),
    ):
        wanted = asked(query)
        assert [place for place, _ in pairs(wanted, seen(wanted, *told))] == places


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(TEXTS), st.integers(0, 500), st.floats(-1, 1)), max_size=10),
    st.sampled_from(
        ["Where do I live?", "Where did I live in 2025?", "How much did I weigh before?", "what"]
    ),
    st.integers(0, 99),
)
def test_worths_are_finite_and_do_not_depend_on_the_order(
    told: list[tuple[str, int, float]], query: str, seed: int
) -> None:
    wanted = asked(query)
    worth = worths(wanted, seen(wanted, *told))
    assert len(worth) == len(told)
    assert all(math.isfinite(each) for each in worth)
    places = list(range(len(told)))
    random.Random(seed).shuffle(places)
    again = worths(wanted, seen(wanted, *(told[place] for place in places)))
    assert again == pytest.approx([worth[place] for place in places], abs=1e-6)


def test_a_text_shows_whose_it_is_and_what_it_names() -> None:
    shown = signs("Tamsin's rate is 3.8, she got lucky, Dunmoor")
    assert shown.owners == {"tamsin"}
    assert shown.names == {"dunmoor"}
    assert shown.first == "tamsin"
    assert shown.numbers == {"3.8"}
    assert not shown.leads_self
    assert signs("Marisol's moved to Fridays").owners == frozenset()
    assert signs("ok so I’ve changed to Lindy hop").leads_self
    assert signs("my brother stays with Birgit").kin
    assert not signs("my brother stays with Birgit").leads_self


@pytest.mark.parametrize(
    ("text", "cues"),
    [
        ("Marisol can't do Tuesdays any longer so it's Fridays", 2),
        ("Scratch that, the card says O positive", 2),
        ("Streamly has gone up to 12.99", 2),
        ("I like my steak medium", 0),
        ("The boiler is behind the door", 0),
    ],
)
def test_a_text_shows_that_something_changed(text: str, cues: int) -> None:
    assert signs(text).cues == cues


def test_a_question_about_oneself_is_not_about_somebody_elses_matter() -> None:
    mine, hers = sought("What is our alarm code?"), sought("What is Mum's alarm code?")
    assert strange(mine, signs("mum's alarm: 5005"))
    assert not strange(mine, signs("engineer reset ours. code 1866"))
    assert not strange(mine, signs("my dentist is Dr. Pinto"))
    assert not strange(hers, signs("mum's alarm: 5005"))
    assert hers.whose == {"mum"}
    assert (mine.who, mine.where, mine.counted) == (False, False, True)
    assert sought("who does my hair").who
    assert sought("Where's the spare key?").where


def test_a_text_shows_who_does_what_and_which_initials_it_uses() -> None:
    assert signs("Callum has joined FlexHub, £49").agent == "callum"
    assert signs("Uncle Roy takes his black").agent == "roy"
    assert not signs("Moved to Osier Road").agent
    assert signs("Jude has sold his").theirs
    assert not signs("I sold his bike for him").theirs
    assert signs("R 19, C 10").initials == {"r", "c"}
    assert not signs("I bought a 5 and a 7").initials


@pytest.mark.parametrize(
    ("query", "old", "new", "sign", "weight"),
    [
        ("Which gym do I go to?", "FlexHub at 7", "Callum has joined Ironworks", "agent_new", -1),
        ("Where is my coat?", "Coat in the loft", "Jude's coat went to Oxfam", "owner_new", -1),
        ("How much Rioja is left?", "Cellar: Rioja 12, Chablis 6", "R 7, C 4", "initial", 1),
        ("How much Rioja is left?", "Cellar: Rioja 12, Chablis 6", "Rioja 7", "next", 1),
    ],
)
def test_a_sign_speaks_for_or_against_one_memory_having_replaced_another(
    query: str, old: str, new: str, sign: str, weight: int
) -> None:
    wanted = asked(query)
    [(_, evidence)] = pairs(wanted, seen(wanted, (old, 0, 0.5), (new, 90, 0.45)))
    assert evidence[REPLACE.index(sign)] * REPLACE_WEIGHTS[sign] * weight > 0
