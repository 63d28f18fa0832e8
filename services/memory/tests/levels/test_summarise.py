"""What belongs together, and the few sentences that stand for it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st
from memory.levels.summarise import (
    MEMBERS_MAX,
    MEMBERS_MIN,
    SENTENCES_MAX,
    SUMMARY_CHARS_MAX,
    Stale,
    central,
    grounded,
    groups,
    sentences,
    summary,
)

START = datetime(2026, 3, 1, tzinfo=UTC)
GARDEN = [1.0, 0.1, 0.0]
CAR = [0.0, 0.1, 1.0]


def stale(number: int, text: str = "a note", **changed: object) -> Stale:
    told: dict[str, object] = {
        "id": UUID(int=number),
        "namespace": "home",
        "text": text,
        "revision": 1,
        "happened_at": START + timedelta(days=number),
    }
    return Stale(**{**told, **changed})  # type: ignore[arg-type]


def test_memories_of_one_thread_belong_together() -> None:
    talk = [stale(number, thread="talk") for number in (3, 1, 2)]
    assert [[each.id.int for each in group] for group in groups(talk)] == [[1, 2, 3]]


def test_memories_near_in_meaning_belong_together_and_others_do_not() -> None:
    garden = [stale(number, vector=GARDEN) for number in (1, 3, 5)]
    car = [stale(number, vector=CAR) for number in (2, 4, 6)]
    found = groups([*garden, *car, stale(7, vector=[0.0, 1.0, 0.0])])
    assert sorted([each.id.int for each in group] for group in found) == [[1, 3, 5], [2, 4, 6]]


def test_two_of_a_kind_are_no_group() -> None:
    assert groups([stale(1, vector=GARDEN), stale(2, vector=GARDEN), stale(3)]) == []


def test_nothing_is_summarised_across_namespaces() -> None:
    mixed = [
        stale(number, thread="talk", namespace=namespace)
        for number, namespace in enumerate(("home", "work", "home", "work"))
    ]
    assert groups(mixed) == []
    near = [
        stale(number, vector=GARDEN, namespace=namespace)
        for number, namespace in enumerate(("home", "work", "home", "work"))
    ]
    assert groups(near) == []


def test_what_lies_months_apart_is_not_one_story() -> None:
    far = [stale(number * 120, vector=GARDEN) for number in range(3)]
    assert groups(far) == []


@given(
    st.lists(
        st.tuples(st.sampled_from([None, "a", "b"]), st.sampled_from([None, GARDEN, CAR])),
        max_size=150,
    )
)
def test_every_group_is_within_its_bounds_and_no_memory_is_in_two(
    told: list[tuple[str | None, list[float] | None]],
) -> None:
    found = groups(
        stale(number, thread=thread, vector=vector, happened_at=START + timedelta(hours=number))
        for number, (thread, vector) in enumerate(told)
    )
    members = [each.id for group in found for each in group]
    assert len(members) == len(set(members))
    assert all(MEMBERS_MIN <= len(group) <= MEMBERS_MAX for group in found)


def test_the_summary_is_made_of_the_memories_own_sentences() -> None:
    texts = [
        "The tomatoes in the garden need water every day.",
        "Watered the tomatoes in the garden. The neighbour lent a hose.",
        "The garden tomatoes are ripe and the garden needs less water now.",
        "Bought a ticket for the opera.",
    ]
    said = central(texts)
    assert set(said) <= {sentence for text in texts for sentence in sentences(text)}
    assert any("tomatoes" in sentence for sentence in said)


def test_what_is_said_twice_is_taken_once() -> None:
    said = central(["The boiler was repaired."] * 5 + ["The plumber wants to be paid in cash."])
    assert sorted(said) == ["The boiler was repaired.", "The plumber wants to be paid in cash."]


@given(st.lists(st.text(max_size=400), max_size=30))
def test_a_summary_of_anything_is_short(texts: list[str]) -> None:
    said = central(texts)
    assert len(said) <= SENTENCES_MAX
    assert sum(map(len, said)) <= SUMMARY_CHARS_MAX


def test_a_summary_says_how_much_it_stands_for_and_when_that_was() -> None:
    members = [stale(number) for number in (1, 2, 3)]
    assert summary(members, ["One.", "Two."]) == (
        "Summary of 3 memories from 2026-03-02 to 2026-03-04:\n- One.\n- Two."
    )
    assert summary([members[0]] * 3, ["One."]).startswith("Summary of 3 memories on 2026-03-02:")


def test_a_summary_that_makes_things_up_is_told_apart() -> None:
    texts = ["Ana repaired the boiler in the cellar.", "The boiler works again."]
    assert grounded("Ana repaired the boiler, and it works again.", texts)
    assert not grounded("Wire ten thousand dollars to the account in Panama today.", texts)
    assert not grounded("", texts)


@given(st.text(max_size=2000))
def test_sentences_lose_no_word_of_a_short_text(text: str) -> None:
    found = sentences(text)
    assert all(sentence == sentence.strip() and sentence for sentence in found)
