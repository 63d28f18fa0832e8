"""What may be asked of which model: decided without a wire."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_gateway.catalogue import TIERS, Catalogue, Tier
from model_gateway.domain import choose, read_chat, read_tier
from model_gateway.errors import (
    ModelOff,
    ModelUnknown,
    PromptTooLong,
    RequestInvalid,
    TierRefused,
    TooManyTokens,
)

OUTSIDE = {"url": "https://api.example.org/v1", "in_house": False, "via_egress_proxy": True}
BOOK = Catalogue.model_validate(
    {
        "version": 1,
        "backends": {
            "home": {"url": "http://10.0.0.2:8000/v1", "in_house": True},
            "cloud": OUTSIDE,
            "trusted": {**OUTSIDE, "max_tier": "sensitive"},
            "resting": {"url": "http://10.0.0.3:8000/v1", "in_house": True, "enabled": False},
        },
        "models": {
            "small": {
                "backend": "home",
                "kind": "chat",
                "context_tokens": 100,
                "output_tokens_max": 40,
                "extra_fields": ["top_k"],
            },
            "large": {"backend": "cloud", "kind": "chat", "context_tokens": 1000},
            "clinic": {"backend": "trusted", "kind": "chat", "context_tokens": 1000},
            "careful": {
                "backend": "cloud",
                "kind": "chat",
                "context_tokens": 1000,
                "when_private": "small",
            },
            "asleep": {"backend": "resting", "kind": "chat", "context_tokens": 1000},
            "off": {"backend": "home", "kind": "chat", "context_tokens": 1000, "enabled": False},
            "map": {"backend": "home", "kind": "embeddings", "context_tokens": 100},
        },
    }
)
HELLO: dict[str, Any] = {"messages": [{"role": "user", "content": "hello"}]}


def test_a_request_that_says_nothing_of_its_tier_is_taken_for_sacred() -> None:
    assert read_tier([]) == "sacred"


@pytest.mark.parametrize("header", ["", "Sacred", "public", "convenience,sacred", "sacred "])
def test_a_tier_that_does_not_exist_is_refused_and_not_guessed(header: str) -> None:
    with pytest.raises(RequestInvalid):
        read_tier([header])


@pytest.mark.parametrize("headers", [["convenience", "sacred"], ["convenience", "convenience"]])
def test_a_tier_that_is_said_twice_is_refused(headers: list[str]) -> None:
    with pytest.raises(RequestInvalid):
        read_tier(headers)


def test_private_text_is_answered_by_the_model_of_the_house_that_the_file_names() -> None:
    assert choose(BOOK, "careful", "chat", "convenience", ()).backend_name == "cloud"
    for tier in ("sensitive", "sacred"):
        assert choose(BOOK, "careful", "chat", tier, ()).name == "small"
    with pytest.raises(ModelOff):
        choose(BOOK, "careful", "chat", "sacred", {"small"})


@pytest.mark.parametrize(
    ("name", "tier", "allowed"),
    [
        ("small", "sacred", True),
        ("small", "convenience", True),
        ("large", "convenience", True),
        ("large", "sensitive", False),
        ("large", "sacred", False),
        ("clinic", "sensitive", True),
        ("clinic", "sacred", False),
    ],
)
def test_text_goes_only_where_its_tier_may(name: str, tier: Tier, allowed: bool) -> None:
    if allowed:
        assert choose(BOOK, name, "chat", tier, ()).name == name
    else:
        with pytest.raises(TierRefused):
            choose(BOOK, name, "chat", tier, ())


@given(
    st.sampled_from(TIERS),
    st.sampled_from(sorted(BOOK.models)),
    st.sampled_from(["chat", "embeddings"]),
)
def test_sacred_text_never_leaves_the_house(tier: Tier, name: str, kind: Any) -> None:
    try:
        route = choose(BOOK, name, kind, tier, ())
    except (TierRefused, ModelUnknown, ModelOff):
        return
    assert route.backend.in_house or tier != "sacred"


def test_an_unknown_model_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ModelUnknown, match="asleep, careful, clinic, large, off, small"):
        choose(BOOK, "gpt", "chat", "convenience", ())


def test_a_model_is_not_asked_for_what_it_is_not_for() -> None:
    with pytest.raises(ModelUnknown):
        choose(BOOK, "map", "chat", "convenience", ())


@pytest.mark.parametrize("name", [None, "", 3, ["small"]])
def test_a_model_has_a_name(name: Any) -> None:
    with pytest.raises(RequestInvalid):
        choose(BOOK, name, "chat", "convenience", ())


@pytest.mark.parametrize("name", ["asleep", "off"])
def test_what_the_file_turns_off_is_off(name: str) -> None:
    with pytest.raises(ModelOff):
        choose(BOOK, name, "chat", "convenience", ())


@pytest.mark.parametrize(
    ("switch", "still_on"),
    [
        ("all", set()),
        ("outside", {"small"}),
        ("cloud", {"small", "clinic"}),
        ("small", {"large", "clinic"}),
        ("home", {"large", "clinic"}),
    ],
)
def test_the_off_switch_turns_off_what_it_names_and_nothing_else(
    switch: str, still_on: set[str]
) -> None:
    on: set[str] = set()
    for name in ("small", "large", "clinic"):
        try:
            on.add(choose(BOOK, name, "chat", "convenience", {switch}).name)
        except ModelOff:
            continue
    assert on == still_on


def small(fields: dict[str, Any]) -> Any:
    return read_chat(
        {"model": "small", **HELLO, **fields}, choose(BOOK, "small", "chat", "sacred", ())
    )


def test_an_answer_is_bounded_where_nobody_bounds_it() -> None:
    assert small({}).payload["max_tokens"] == 40
    assert small({"max_tokens": None}).payload["max_tokens"] == 40


@pytest.mark.parametrize("key", ["max_tokens", "max_completion_tokens"])
@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
def test_a_bound_is_sent_under_the_name_that_the_backend_knows(key: str, field: str) -> None:
    route = choose(BOOK, "small", "chat", "sacred", ())
    renamed = replace(route, model=route.model.model_copy(update={"tokens_field": field}))
    payload = read_chat({"model": "small", **HELLO, key: 7}, renamed).payload
    assert payload[field] == 7
    assert len({"max_tokens", "max_completion_tokens"} & set(payload)) == 1


@pytest.mark.parametrize("wanted", [41, 10**9])
def test_more_tokens_than_the_model_gives_are_refused(wanted: int) -> None:
    with pytest.raises(TooManyTokens, match="40"):
        small({"max_tokens": wanted})


def test_a_prompt_that_cannot_fit_is_refused_before_it_is_sent() -> None:
    with pytest.raises(PromptTooLong):
        small({"messages": [{"role": "user", "content": "x" * 801}]})
    assert small({"messages": [{"role": "user", "content": "x" * 800}]})


@pytest.mark.parametrize(
    "wrong",
    [
        {"messages": []},
        {"messages": "hello"},
        {"messages": ["hello"]},
        {"messages": [{"content": "hello"}]},
        {"messages": [{"role": "user", "content": 3}]},
        {"messages": [{"role": "user", "content": ["hello"]}]},
        {"messages": [{"role": "user", "content": "x"}] * 513},
        {"n": 2},
        {"stream": "yes"},
        {"stream_options": "usage"},
        {"max_tokens": 0},
        {"max_tokens": "9"},
        {"max_tokens": True},
        {"id_slot": 0},
    ],
)
def test_a_request_of_another_shape_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(RequestInvalid):
        small(wrong)


def test_fields_that_tell_who_asks_are_not_sent_on() -> None:
    payload = small(
        {"user": "ana", "metadata": {"a": 1}, "store": True, "top_k": 3, "temperature": 0}
    ).payload
    assert set(payload) == {"model", "messages", "max_tokens", "top_k", "temperature"}


def test_parts_and_tool_messages_are_messages_too() -> None:
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "what is this"}]},
        {"role": "assistant", "content": None, "tool_calls": []},
    ]
    assert small({"messages": messages}).payload["messages"] == messages
