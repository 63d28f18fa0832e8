"""What is read out of a question: names that are known, times, and what is left to search for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory.recall.question import at, names_in, read, told_by

ASKED = datetime(2026, 11, 20, 12, tzinfo=UTC)
SPEAKERS = ["Caroline", "Dr. Ana Silva", "Will", "user", "assistant"]


@pytest.mark.parametrize(
    ("text", "bare", "named"),
    [
        ("What did Caroline research?", "What did research?", {"caroline"}),
        ("Caroline's dog", "dog", {"caroline"}),
        ("what did caroline research", "what did research", {"caroline"}),
        ("When did Ana call?", "When did call?", {"dr. ana silva"}),
        ("Will it rain on Will's day?", "Will it rain on day?", {"will"}),
        ("will it rain", "will it rain", set()),
        ("the carolines of the coast", "the carolines of the coast", set()),
        ("What does the user like?", "What does the user like?", set()),
        ("Caroline?", "Caroline?", {"caroline"}),
    ],
)
def test_names_of_speakers_are_found_and_taken_out(text: str, bare: str, named: set[str]) -> None:
    question = read(text, SPEAKERS, ASKED)
    assert question.bare == bare
    assert question.named == named


@pytest.mark.parametrize(
    ("text", "spoken", "meant"),
    [
        ("What did Caroline research?", "What did I research?", {"caroline"}),
        ("what does caroline's dog eat", "what does my dog eat", {"caroline"}),
        ("Has Caroline met Ana Silva's boss?", "have I met your boss?", {"caroline"}),
        ("Where is Caroline with her kids?", "Where am I with my kids?", {"caroline"}),
        ("Is she sure that Caroline has it?", "am I sure that I have it?", {"caroline"}),
        ("What does Ana think of Caroline's plan?", "What do I think of your plan?", "ana"),
        ("What did Ana Silva hurt herself with?", "What did I hurt myself with?", "ana"),
        ("What do Caroline and Ana like?", "What do we like?", set()),
        ("Where were both Ana and Caroline?", "Where were we?", set()),
        ("What did Caroline tell me?", "What did tell me?", {"caroline"}),
        ("Caroline?", "Caroline?", {"caroline"}),
        ("Where does Anna live?", "Where does Anna live?", set()),
        ("What did she paint?", "What did she paint?", set()),
    ],
)
def test_a_question_is_embedded_as_the_one_it_is_about_would_put_it(
    text: str, spoken: str, meant: set[str] | str
) -> None:
    question = read(text, SPEAKERS, ASKED)
    assert question.spoken.casefold() == spoken.casefold()
    assert question.meant == ({"dr. ana silva"} if meant == "ana" else meant)


def test_of_two_with_one_name_neither_is_meant() -> None:
    question = read("What did Ana say?", ["Ana Silva", "Ana Costa"], ASKED)
    assert question.concerns("Ana Silva") == question.concerns("Ana Costa") == 0
    assert read("What did Ana Costa say?", ["Ana Silva", "Ana Costa"], ASKED).concerns("Ana Costa")


def test_of_two_who_are_named_the_one_who_acts_is_meant() -> None:
    question = read("What did Caroline say about Ana?", SPEAKERS, ASKED)
    assert question.concerns("Caroline") == 1
    assert question.concerns("Dr. Ana Silva") == 0


def test_only_speakers_of_this_person_are_names() -> None:
    assert read("Where does Anna live?", ["Caroline"], ASKED).bare == "Where does Anna live?"


def test_a_turn_of_the_one_who_is_named_is_what_was_asked_for() -> None:
    question = read("What did Caroline say?", SPEAKERS, ASKED)
    assert question.concerns("Caroline") == 1
    assert question.concerns("Will") == 0
    assert question.concerns(None) == 0


def test_of_two_who_do_it_together_neither_is_meant_more() -> None:
    question = read("What do Caroline and Ana share?", SPEAKERS, ASKED)
    assert question.concerns("Caroline") == question.concerns("Dr. Ana Silva") == 0


def test_who_asks_about_themselves_means_their_own_words() -> None:
    question = read("Where did I park?", SPEAKERS, ASKED)
    assert question.concerns(None) == question.concerns("user") > question.concerns("assistant")


@pytest.mark.parametrize(
    ("text", "since", "until"),
    [
        ("what happened yesterday?", datetime(2026, 11, 19), datetime(2026, 11, 20)),
        ("what did we plan last Tuesday?", datetime(2026, 11, 17), datetime(2026, 11, 18)),
        ("where was I in May?", datetime(2026, 5, 1), datetime(2026, 6, 1)),
        ("what was said two weeks ago?", datetime(2026, 11, 2), datetime(2026, 11, 9)),
        (
            "where was John between August 11 and August 15 2023?",
            datetime(2023, 8, 11),
            datetime(2023, 8, 16),
        ),
    ],
)
def test_a_time_is_read_from_the_moment_the_question_is_asked(
    text: str, since: datetime, until: datetime
) -> None:
    span = at(read(text, [], ASKED), ASKED)
    assert span == (since.replace(tzinfo=UTC), until.replace(tzinfo=UTC))


def test_a_month_without_a_year_is_the_last_one_that_has_memories() -> None:
    question = read("Where was I in May?", [], ASKED)
    assert at(question, datetime(2023, 8, 1, tzinfo=UTC)) == (
        datetime(2023, 5, 1, tzinfo=UTC),
        datetime(2023, 6, 1, tzinfo=UTC),
    )


def test_a_relative_time_is_never_moved_to_where_there_are_memories() -> None:
    question = read("What did I do last month?", [], ASKED)
    span = at(question, ASKED - timedelta(days=2000))
    assert span == (datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC))


def test_names_are_capitals_inside_a_sentence() -> None:
    assert names_in("When did I meet Ana Silva in Porto?") == ["Ana Silva", "Ana", "Silva", "Porto"]
    assert names_in("Ana's birthday") == ["Ana"]
    assert names_in("Where do I live?") == []


@given(st.text(max_size=200), st.lists(st.text(min_size=1, max_size=20), max_size=5))
def test_any_text_can_be_read(text: str, speakers: list[str]) -> None:
    question = read(text, speakers, ASKED)
    at(question, ASKED)
    assert question.text == text
    # What is searched for is never nothing where there was something.
    assert question.bare.strip() or not text.strip()
    assert question.spoken.strip() or not text.strip()
    assert question.meant <= question.named


def test_who_speaks_is_read_from_texts_that_begin_alike_and_from_no_heading() -> None:
    talk = [(None, f"Ana: turn {number}") for number in range(3)]
    notes = [(None, f"Correction: the door is number {number}") for number in range(5)]
    once = [(None, "Layoffs: none this year"), ("Rui", "Zoe: is what I said")]
    assert told_by([*talk, *notes, *once]) == {"Ana"}


def test_a_turn_is_of_the_one_before_its_colon() -> None:
    question = read("What did Ana say?", ["Ana"], ASKED)
    assert question.concerns(None, "Ana: the tram was late") == 1
    assert question.concerns("Rui", "Ana: is what I heard") == 0
