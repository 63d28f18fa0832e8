"""How a chat request is read and what is sent of it: without a wire."""

import json
from dataclasses import replace
from typing import Any

import pytest
from model_gateway.catalogue import Catalogue
from model_gateway.endpoint import Form
from model_gateway.endpoints.chat import Chat
from model_gateway.errors import PromptTooLong, RequestInvalid, TooManyTokens
from model_gateway.ways import choose

BOOK = Catalogue.model_validate(
    {
        "version": 1,
        "backends": {"home": {"url": "http://10.0.0.2:8000/v1", "in_house": True}},
        "models": {
            "small": {
                "backend": "home",
                "kind": "chat",
                "context_tokens": 100,
                "output_tokens_max": 40,
                "extra_fields": ["top_k"],
            }
        },
    }
)
HELLO: dict[str, Any] = {"messages": [{"role": "user", "content": "hello"}]}


def sent(fields: dict[str, Any], **way: Any) -> dict[str, Any]:
    """Return what goes to the model's server for a request."""
    ask = Chat().read(Form({"model": "small", **HELLO, **fields}), BOOK.models["small"])
    [chosen] = choose(BOOK, "small", ask.needs, tier="sacred")
    body = Chat().outgoing(ask, replace(chosen, **way)).body
    return json.loads(body) if isinstance(body, bytes) else {}


def test_an_answer_is_bounded_where_nobody_bounds_it() -> None:
    assert sent({})["max_tokens"] == 40
    assert sent({"max_tokens": None})["max_tokens"] == 40


@pytest.mark.parametrize("key", ["max_tokens", "max_completion_tokens"])
@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
def test_a_bound_is_sent_under_the_name_that_the_backend_knows(key: str, field: str) -> None:
    payload = sent({key: 7}, tokens_field=field)
    assert payload[field] == 7
    assert len({"max_tokens", "max_completion_tokens"} & set(payload)) == 1


@pytest.mark.parametrize("wanted", [41, 10**9])
def test_more_tokens_than_the_model_gives_are_refused(wanted: int) -> None:
    with pytest.raises(TooManyTokens, match="40"):
        sent({"max_tokens": wanted})


def test_a_prompt_that_cannot_fit_is_refused_before_it_is_sent() -> None:
    with pytest.raises(PromptTooLong):
        sent({"messages": [{"role": "user", "content": "x" * 801}]})
    assert sent({"messages": [{"role": "user", "content": "x" * 800}]})


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
        sent(wrong)


def test_fields_that_tell_who_asks_are_not_sent_on() -> None:
    payload = sent(
        {"user": "ana", "metadata": {"a": 1}, "store": True, "top_k": 3, "temperature": 0}
    )
    assert set(payload) == {"model", "messages", "max_tokens", "top_k", "temperature"}


def test_a_field_that_one_way_does_not_know_is_left_out_there() -> None:
    assert "top_k" not in sent({"top_k": 3}, extra_fields=frozenset())


def test_parts_and_tool_messages_are_messages_too() -> None:
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "what is this"}]},
        {"role": "assistant", "content": None, "tool_calls": []},
    ]
    assert sent({"messages": messages})["messages"] == messages


def test_what_a_request_needs_is_read_from_it() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    fields = {
        "messages": [{"role": "user", "content": [picture, {"type": "text", "text": "what?"}]}],
        "tools": [{"type": "function", "function": {"name": "look"}}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {}}},
    }
    needs = Chat().read(Form(fields), BOOK.models["small"]).needs
    assert needs.skills == {"vision", "tools", "json_schema"}
    assert needs.prompt_chars == 5
