"""What is said in passing: statements about the person are kept, questions, orders and small talk are not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from orchestrator.keeping import CHARS_MAX, worth_keeping


@pytest.mark.parametrize(
    "said",
    [
        "I moved to Lisbon in March",
        "My sister Ana is allergic to nuts.",
        "Hi, we're flying to Oslo next Friday",
        "Thanks. I\u2019m taking the blue pills twice a day now",
        "Yes, our boiler makes that noise again",
        "Tomorrow my mother comes to stay",
    ],
)
def test_a_statement_about_the_person_is_kept(said: str) -> None:
    assert worth_keeping(said)


@pytest.mark.parametrize(
    "said",
    [
        "Where did I put my keys?",
        "what is my dentist called",
        "Tell me about my week",
        "Please write an email to my landlord",
        "I want you to summarise our talk",
        "Good morning!",
        "Thank you, that helps",
        "my keys",
        "The capital of France is Paris",
        "Is our heating on today",
    ],
)
def test_a_question_an_order_or_small_talk_is_not(said: str) -> None:
    assert not worth_keeping(said)


@given(st.text(max_size=CHARS_MAX))
def test_any_text_is_decided_and_a_question_never_kept(said: str) -> None:
    assert worth_keeping(said) in (True, False)
    assert not worth_keeping(said + "?")


def test_a_long_text_is_not_said_in_passing() -> None:
    assert not worth_keeping("I live in Lisbon " * 100)
