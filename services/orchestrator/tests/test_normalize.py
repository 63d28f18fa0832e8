"""The rules that decide what may act must read people's words the way people mean them."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from orchestrator.domain import Intent, IntentKind, Tier
from orchestrator.normalize import SACRED_PLACEHOLDER, normalize, title_from, visible_text

REMEMBER = IntentKind.REMEMBER


@pytest.mark.parametrize(
    ("text", "fact", "tier"),
    [
        ("Remember that my dog is called Rex", "my dog is called Rex", Tier.CONVENIENCE),
        ("remember my dog is called Rex.", "my dog is called Rex.", Tier.CONVENIENCE),
        (
            "Please remember: the bins go out on Tuesday",
            "the bins go out on Tuesday",
            Tier.CONVENIENCE,
        ),
        ("note that Ada is allergic to nuts", "Ada is allergic to nuts", Tier.CONVENIENCE),
        ("Make a note that we moved in 2019", "we moved in 2019", Tier.CONVENIENCE),
        ("Don't forget that Mum's birthday is 3 May", "Mum's birthday is 3 May", Tier.CONVENIENCE),
        ("Don\u2019t forget that it rains", "it rains", Tier.CONVENIENCE),
        ("Lares, remember that I like tea", "I like tea", Tier.CONVENIENCE),
        ("Can you remember that I like tea?", "I like tea?", Tier.CONVENIENCE),
        ("Could you please keep in mind that I like tea", "I like tea", Tier.CONVENIENCE),
        ("remember to buy milk", "to buy milk", Tier.CONVENIENCE),
        ("Remember as sacred that I see a therapist", "I see a therapist", Tier.SACRED),
        ("remember this as sacred: I see a therapist", "I see a therapist", Tier.SACRED),
        ("Remember privately that I see a therapist", "I see a therapist", Tier.SACRED),
        ("remember secretly: I see a therapist", "I see a therapist", Tier.SACRED),
        ("Remember that, as sacred: I see a therapist", "I see a therapist", Tier.SACRED),
        ("Remember that I see a therapist, as sacred", "I see a therapist", Tier.SACRED),
        ("remember I see a therapist (sacred)", "I see a therapist", Tier.SACRED),
        ("Make a sacred note: I see a therapist", "I see a therapist", Tier.SACRED),
        ("remember as sensitive that my IBAN ends in 42", "my IBAN ends in 42", Tier.SENSITIVE),
        (
            "Remember as a sensitive memory: my IBAN ends in 42",
            "my IBAN ends in 42",
            Tier.SENSITIVE,
        ),
        (
            "remember private lessons start on Monday",
            "private lessons start on Monday",
            Tier.CONVENIENCE,
        ),
        ("save that the code is 42", "the code is 42", Tier.CONVENIENCE),
        ("note down: the code is 42", "the code is 42", Tier.CONVENIENCE),
        ("remember in private that I snore", "I snore", Tier.SACRED),
        ("Remember:\nline one\nline two", "line one\nline two", Tier.CONVENIENCE),
    ],
)
def test_an_order_to_remember_is_understood(text: str, fact: str, tier: Tier):
    assert normalize(text) == Intent(REMEMBER, fact, tier)


@pytest.mark.parametrize(
    ("text", "subject"),
    [
        ("Forget that my dog is called Rex", "my dog is called Rex"),
        ("forget what I said about my dog.", "my dog"),
        ("Please forget everything I told you about Paris", "Paris"),
        ("forget about my dog", "my dog"),
        ("Forget my old address", "my old address"),
        ("Can you forget what you know about my ex?", "my ex"),
        ("delete the memory about my dog", "my dog"),
        ("erase my memories of Paris", "Paris"),
    ],
)
def test_an_order_to_forget_is_understood(text: str, subject: str):
    intent = normalize(text)
    assert intent.kind is IntentKind.FORGET
    assert intent.subject == subject


@pytest.mark.parametrize(
    ("text", "subject"),
    [
        ("What do you remember about my dog?", "my dog"),
        ("what do you know about Paris", "Paris"),
        ("Tell me what you remember about me", "me"),
        ("What did I say about the boiler?", "the boiler"),
    ],
)
def test_a_question_for_memories_lists_them(text: str, subject: str):
    assert normalize(text) == Intent(IntentKind.RECALL, subject)


@pytest.mark.parametrize(
    "text",
    [
        "What is my dog's name?",
        "Remember my dog's name?",
        "remember when we went to Paris?",
        "Do you remember my dog?",
        "How do I delete a file?",
        "delete the last line of this poem",
        "What does forget mean?",
        "I can't remember where I put my keys",
        "Did I forget my umbrella?",
        "memory is a strange thing",
        "notes on a scandal: who wrote it?",
        "save the whales?",
        "save the whales",
        "note the difference between Paris and Rome",
        "remembering is hard",
        "notebook prices",
        "forgetting is human",
        "deleted scenes of Alien",
        "Who said 'remember that you must die'?",
    ],
)
def test_a_question_never_acts(text: str):
    assert normalize(text).kind is IntentKind.ASK


@pytest.mark.parametrize(
    "text", ["remember", "Remember that.", "remember this", "please remember it"]
)
def test_remember_without_a_fact_asks_back(text: str):
    assert normalize(text).kind is IntentKind.UNCLEAR


@pytest.mark.parametrize("text", ["forget", "Forget it.", "forget everything", "forget that"])
def test_forget_without_an_object_asks_back_and_erases_nothing(text: str):
    assert normalize(text).kind is IntentKind.UNCLEAR


def test_sacred_words_leave_neither_text_nor_title_behind():
    text = "Remember as sacred that I see a therapist"
    intent = normalize(text)
    assert visible_text(text, intent) == SACRED_PLACEHOLDER
    assert "therapist" not in title_from(text, intent)


def test_sacred_words_are_an_order_even_when_they_end_in_a_question_mark():
    # Taken for a question they would go to the model and into the conversation.
    assert normalize("remember as sacred my diagnosis is X, ok?").is_sacred


@pytest.mark.parametrize(
    "filler", [" ", "\n", ",", ".", "!", "(", "please ", "as a ", "?!", "that "]
)
@pytest.mark.parametrize("head", ["", "remember ", "forget ", "what do you remember about ", "x"])
def test_no_text_takes_long_to_understand(head: str, filler: str):
    # Of the processor: a machine that is busy with something else does not count.
    started = time.process_time()
    normalize((head + filler * 8000)[:8000])
    normalize((head + filler * 8000)[:7990] + "x")
    assert time.process_time() - started < 0.2


@given(st.text(max_size=400))
def test_any_text_is_understood_as_something(text: str):
    intent = normalize(text)
    assert isinstance(intent.kind, IntentKind)


@given(
    st.text(min_size=1, max_size=200),
    st.sampled_from(["as sacred", "privately", "secretly", "as secret"]),
)
def test_a_sacred_order_never_shows_its_words(fact: str, how: str):
    text = f"Remember {how}: {fact}"
    intent = normalize(text)
    assert intent.is_sacred
    assert visible_text(text, intent) == SACRED_PLACEHOLDER


@given(st.text(max_size=300))
def test_a_title_fits_and_is_cut_at_a_word(text: str):
    title = title_from("word " * 30 + text, Intent(IntentKind.ASK, text))
    assert 1 <= len(title) <= 60
