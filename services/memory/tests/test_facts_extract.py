"""What the rules read from a text: facts with their slots and times, and nothing from what was not stated."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory.facts.extract import FACTS_MAX, ExtractedFact, extract, states
from memory.facts.predicates import PREDICATES, slot

SAID_AT = datetime(2026, 6, 10, 12, tzinfo=UTC)


def facts(text: str, speaker: str | None = None) -> list[ExtractedFact]:
    return extract(text, speaker, SAID_AT)


def short(text: str) -> set[tuple[str, str, str, bool]]:
    return {(fact.subject, fact.predicate, fact.object, fact.polarity) for fact in facts(text)}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("I live in Porto.", ("self", "lives_in", "Porto", True)),
        ("My sister Ana lives in Porto", ("Ana", "lives_in", "Porto", True)),
        ("My sister Ana lives in Porto", ("self", "sister", "Ana", True)),
        ("My sister moved to Braga.", ("self.sister", "lives_in", "Braga", True)),
        ("I moved to Lisbon in March", ("self", "lives_in", "Lisbon", True)),
        ("I no longer eat meat", ("self", "consumes", "meat", False)),
        ("I prefer tea over coffee", ("self", "prefers", "tea", True)),
        ("Tom's birthday is 3 June", ("Tom", "birthday", "3 June", True)),
        ("My dentist is Dr. Pinto.", ("self", "dentist", "Dr. Pinto", True)),
        ("We sold the Golf and bought a Polo", ("self", "owns", "Golf", False)),
        ("The wifi password is batata-42", ("self", "number", "batata-42", True)),
        ("Our internet is from Vodafone.", ("self", "provider", "Vodafone", True)),
        ("I work as an accountant at Sonae.", ("self", "works_at", "Sonae", True)),
        ("I quit Zalando.", ("self", "works_at", "Zalando", False)),
        ("Ana broke up with Rui.", ("Ana", "dating", "Rui", False)),
        ("The council changed bin day to Thursday.", ("self", "schedule", "Thursday", True)),
        ("Tiago is also allergic to kiwi.", ("Tiago", "allergic_to", "kiwi", True)),
        ("My mum's phone number is 020 7946 0112.", ("self.mother", "phone", "020 7946 0112", True)),
        ("I'm 21 now.", ("self", "age", "21", True)),
    ],
)  # fmt: skip
def test_a_plain_statement_becomes_the_fact_it_states(
    text: str, wanted: tuple[str, str, str, bool]
) -> None:
    assert wanted in short(text)


@pytest.mark.parametrize(
    "text",
    [
        "Where do I live?",
        "I might move to Madrid.",
        "If I get the job I live in Oslo.",
        "I would move to Leipzig if they opened an office.",
        "I'm thinking of moving to Toulouse.",
        'Paulo said "I live for Fridays and I work at the bank".',
        "Maybe I work at Siemens next year.",
    ],
)
def test_what_is_asked_supposed_or_quoted_states_no_fact(text: str) -> None:
    assert facts(text) == []


def test_a_time_of_validity_is_read_relative_to_when_it_was_said() -> None:
    (since,) = facts("I live in Lisbon since May.")
    assert (since.valid_from, since.valid_to) == (datetime(2026, 5, 1, tzinfo=UTC), None)
    (once,) = facts("Knitting evening used to be on Mondays.")
    assert once.valid_to == SAID_AT
    (span,) = [
        fact for fact in facts("In 2019 I used to live in Paris.") if fact.predicate == "lives_in"
    ]
    assert span.valid_from == datetime(2019, 1, 1, tzinfo=UTC)
    assert span.valid_to == datetime(2020, 1, 1, tzinfo=UTC)


def test_what_holds_from_a_month_holds_from_the_nearest_such_month() -> None:
    (ahead,) = facts("I'm a project manager from July.")
    assert ahead.valid_from == datetime(2026, 7, 1, tzinfo=UTC)
    (behind,) = facts("I'm a project manager from May.")
    assert behind.valid_from == datetime(2026, 5, 1, tzinfo=UTC)


def test_a_named_speaker_is_the_one_who_says_i() -> None:
    (fact,) = extract("I live in Porto.", "Caroline", SAID_AT)
    assert fact.subject == "Caroline"


def test_one_value_at_a_time_has_a_slot_and_many_have_none() -> None:
    (home,) = facts("I live in Porto.")
    (likes,) = facts("I love fado.")
    assert slot(home) is not None
    assert slot(likes) is None


def test_the_slot_of_a_thing_is_named_by_the_thing() -> None:
    (lesson,) = facts("Tiago's piano lesson is on Mondays at five.")
    (door,) = facts("The alarm code is 7719.")
    assert (lesson.qualifier, door.qualifier) == ("piano lesson", "alarm code")


def test_states_says_no_to_what_nothing_can_replace() -> None:
    assert states("I live in Porto.")
    assert not states("Lovely sunset tonight")


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=400))
def test_any_text_gives_bounded_well_formed_facts(text: str) -> None:
    found = facts(text)
    assert len(found) <= FACTS_MAX
    for fact in found:
        assert fact.predicate in PREDICATES
        assert fact.object
        assert 0 <= fact.span[0] <= fact.span[1] <= len(text)
        assert fact.valid_from is None or fact.valid_to is None or fact.valid_from < fact.valid_to


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            ["I", "my", "sister", "Ana", "is", "was", "moved", "to", "in", "on", "from", "live", "the", ",", ".", "and", "'", "the", "a", "new", "3", "June", "2025", "new", "not", "Porto's"]
        ),
        max_size=400,
    )
)  # fmt: skip
def test_words_of_the_patterns_in_any_order_are_read_to_an_end(words: list[str]) -> None:
    # A pattern that backtracks without end would hang here.
    assert len(facts(" ".join(words))) <= FACTS_MAX
