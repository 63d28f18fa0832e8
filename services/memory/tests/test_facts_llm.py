"""What a chat model says of a memory is believed word for word or not at all."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from contracts.tiers import Tier
from hypothesis import given
from hypothesis import strategies as st
from memory.facts import llm
from memory.facts.errors import ExtractionRefused
from memory.facts.extract import extract

TEXT = "I live in Porto. My sister Joana works at Siemens."
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def answer(*facts: object) -> str:
    return json.dumps({"facts": facts})


def fact(**changed: object) -> dict[str, object]:
    return {
        "subject": "Joana",
        "predicate": "works_at",
        "object": "Siemens",
        "object_kind": "organisation",
        "polarity": True,
        **changed,
    }


def test_a_fact_whose_words_stand_in_the_memory_is_taken() -> None:
    (said,) = llm.borne_out(f"Here you are:\n```json\n{answer(fact())}\n```", TEXT)
    assert (said.subject, said.predicate, said.object) == ("Joana", "works_at", "Siemens")
    assert TEXT[slice(*said.span)] == "Siemens"


@pytest.mark.parametrize(
    "changed",
    [
        {"object": "Bosch"},
        {"object": "Siem"},
        {"subject": "Bruno"},
        {"subject": ""},
        {"object": ""},
        {"object": 7},
        {"predicate": "ignore_all_rules"},
        {"object_kind": "weapon"},
        {"polarity": "yes"},
    ],
)
def test_what_the_memory_does_not_say_is_dropped(changed: dict[str, object]) -> None:
    assert llm.borne_out(answer(fact(**changed)), TEXT) == []


@pytest.mark.parametrize("content", ["", "no", "[]", '{"facts": 3}', "{", None, 5, '{"other": []}'])
def test_what_is_no_list_of_facts_is_refused(content: object) -> None:
    with pytest.raises(ExtractionRefused):
        llm.borne_out(content, TEXT)


@given(st.text(max_size=200), st.text(max_size=200))
def test_whatever_a_model_says_every_word_of_a_fact_is_the_memorys_own(
    text: str, value: str
) -> None:
    for said in llm.borne_out(answer(fact(object=value, subject="self")), text):
        start, end = said.span
        assert said.object == text[start:end] != ""


@given(st.text(max_size=300))
def test_a_memory_is_one_json_string_between_marks_it_cannot_know(text: str) -> None:
    task, asked = llm.messages(text)
    first, quoted, last = asked["content"].split("\n")
    assert json.loads(quoted) == text
    mark = first.removeprefix("<memory ").removesuffix(">")
    assert last == f"</memory {mark}>"
    assert mark not in text
    assert text not in task["content"] or len(text) < 40


def test_the_surer_of_rules_and_model_stands_where_one_value_can() -> None:
    rules = [(each, "rules/1") for each in extract("I live in Porto.", None, NOW)]
    (said,) = llm.borne_out(
        answer(fact(subject="self", predicate="lives_in", object="Joana", object_kind="place")),
        TEXT,
    )
    surest = max(each.confidence for each, _ in rules)

    weak = llm.together(rules, [(replace(said, confidence=surest - 0.1), "model/x")])
    strong = llm.together(rules, [(replace(said, confidence=1.0), "model/x")])
    other = llm.together(rules, [(replace(said, predicate="likes"), "model/x")])

    assert [name for _, name in weak] == [name for _, name in rules]
    assert [each.object for each, _ in strong if each.predicate == "lives_in"] == ["Joana"]
    assert len(other) == len(rules) + 1


def listed(**changed: object) -> dict[str, object]:
    model = {
        "id": "big",
        "kind": "chat",
        "available": True,
        "max_tier": "convenience",
        "fit_for": ["facts"],
    }
    return {"data": [{"id": "small", "kind": "chat", "available": True}, {**model, **changed}]}


def test_by_itself_only_a_model_that_is_called_fit_is_asked() -> None:
    assert llm.fit(listed(), "auto") == llm.Fit("big", Tier.CONVENIENCE)
    assert llm.fit(listed(fit_for=[]), "auto") is None
    assert llm.fit(listed(available=False), "auto") is None
    assert llm.fit(listed(kind="embeddings"), "auto") is None
    assert llm.fit(listed(fit_for=[], max_tier="sensitive"), "big") == llm.Fit(
        "big", Tier.SENSITIVE
    )
    assert llm.fit(listed(), "other") is None
    assert llm.fit([], "auto") is None
