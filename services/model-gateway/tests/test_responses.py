"""The Responses API through the gateway, by OpenAI's own client, before a server that only chats."""

import json
from typing import Any

import openai
import pytest
from openai.types.responses import Response

from .conftest import Served
from .studio import Studio, house, studio

__all__ = ["house", "studio"]

USAGE = {
    "prompt_tokens": 5,
    "completion_tokens": 7,
    "prompt_tokens_details": {"cached_tokens": 2},
}
WEATHER: Any = {
    "type": "function",
    "name": "weather",
    "description": "of a place",
    "parameters": {"type": "object", "properties": {"place": {"type": "string"}}},
    "strict": True,
}

CONVERSATION: Any = [
    {"role": "developer", "content": "Short."},
    {
        "type": "message",
        "role": "user",
        "content": [
            {"type": "input_text", "text": "what is this?"},
            {"type": "input_image", "image_url": "data:image/png;base64,xx", "detail": "low"},
        ],
    },
    {"type": "reasoning", "id": "rs_1", "summary": []},
    {
        "role": "assistant",
        "content": [
            {"type": "output_text", "text": "A"},
            {"type": "output_text", "text": "sk"},
        ],
    },
    {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": '{"place":"a"}'},
    {"type": "function_call", "call_id": "c2", "name": "weather", "arguments": '{"place":"b"}'},
    {"type": "function_call_output", "call_id": "c1", "output": "rain"},
    {
        "type": "function_call_output",
        "call_id": "c2",
        "output": [{"type": "input_text", "text": "sun"}],
    },
]


def code_of(error: openai.APIError) -> str:
    body: Any = error.body
    return body["code"]


def said(**message: Any) -> dict[str, Any]:
    finish = message.pop("finish", "stop")
    choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", **message}}
    return {"model": "m", "choices": [choice], "usage": USAGE}


def chunks(*deltas: dict[str, Any], finish: str = "stop") -> list[dict[str, Any]]:
    base = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    made = [
        {**base, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
        for delta in ({"role": "assistant", "content": None}, *deltas)
    ]
    made.append({**base, "choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
    return [*made, {**base, "choices": [], "usage": USAGE}]


async def test_a_response_is_made_from_a_chat_and_says_that_nothing_is_kept(
    house: Served, studio: Studio
) -> None:
    studio.reply = said(content="Salve.")
    reply = await house.client.responses.create(
        model="talker", instructions="Be brief.", input="hello", max_output_tokens=9, store=False
    )
    assert reply.output_text == "Salve."
    assert (reply.status, reply.model, reply.object) == ("completed", "talker", "response")
    assert reply.usage is not None
    assert (reply.usage.input_tokens, reply.usage.output_tokens) == (5, 7)
    assert reply.usage.input_tokens_details.cached_tokens == 2
    assert reply.to_dict()["store"] is False
    Response.model_validate(reply.to_dict(), strict=True)
    assert studio.asked[0] == {
        "model": "up-talker",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "hello"},
        ],
        "max_tokens": 9,
    }


async def test_an_answer_that_ran_into_its_limit_is_incomplete(
    house: Served, studio: Studio
) -> None:
    studio.reply = said(content="Sal", finish="length")
    reply = await house.client.responses.create(model="talker", input="hello")
    assert reply.status == "incomplete"
    assert reply.incomplete_details is not None
    assert reply.incomplete_details.reason == "max_output_tokens"
    assert reply.output[0].to_dict()["status"] == "incomplete"


async def test_thoughts_words_and_calls_become_items_in_order(
    house: Served, studio: Studio
) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    studio.reply = said(
        reasoning_content="Hm.", content="Wait.", tool_calls=[call], finish="tool_calls"
    )
    reply = await house.client.responses.create(model="talker", input="x", tools=[WEATHER])
    assert [item.type for item in reply.output] == ["reasoning", "message", "function_call"]
    made: Any = reply.output[2]
    assert (made.call_id, made.name, made.arguments) == ("c1", "weather", "{}")


async def test_a_conversation_with_calls_schema_and_a_picture_is_asked_as_a_chat(
    house: Served, studio: Studio
) -> None:
    studio.reply = said(content='{"a": 1}')
    schema = {"type": "object", "properties": {"a": {"type": "number"}}}
    await house.client.responses.create(
        model="talker",
        input=CONVERSATION,
        tools=[WEATHER],
        tool_choice={"type": "function", "name": "weather"},
        parallel_tool_calls=True,
        reasoning={"effort": "low"},
        text={"format": {"type": "json_schema", "name": "n", "schema": schema, "strict": True}},
        temperature=0.1,
        top_p=0.9,
        metadata={"who": "me"},
        user="me",
    )
    asked = studio.asked[0]
    calls = [
        {
            "id": f"c{number}",
            "type": "function",
            "function": {"name": "weather", "arguments": f'{{"place":"{place}"}}'},
        }
        for number, place in ((1, "a"), (2, "b"))
    ]
    assert asked["messages"] == [
        {"role": "system", "content": "Short."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "what is this?"},
                {
                    "type": "image_url",
                    "image_url": {"url": "data:image/png;base64,xx", "detail": "low"},
                },
            ],
        },
        {"role": "assistant", "content": "Ask", "tool_calls": calls},
        {"role": "tool", "tool_call_id": "c1", "content": "rain"},
        {"role": "tool", "tool_call_id": "c2", "content": "sun"},
    ]
    function = {key: value for key, value in WEATHER.items() if key != "type"}
    assert asked["tools"] == [{"type": "function", "function": function}]
    assert asked["tool_choice"] == {"type": "function", "function": {"name": "weather"}}
    assert asked["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "n", "schema": schema, "strict": True},
    }
    assert asked["reasoning_effort"] == "low"
    assert (asked["temperature"], asked["top_p"], asked["parallel_tool_calls"]) == (0.1, 0.9, True)
    assert not {"metadata", "user", "store", "input"} & asked.keys()


async def test_a_streamed_response_tells_each_step_in_the_apis_events(
    house: Served, studio: Studio
) -> None:
    studio.chunks = chunks({"reasoning_content": "Hm"}, {"content": "Sal"}, {"content": "ve."})
    stream = await house.client.responses.create(model="talker", input="hello", stream=True)
    events = [event async for event in stream]
    assert [event.type.removeprefix("response.") for event in events] == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "reasoning_text.delta",
        "reasoning_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    told: Any = [event.to_dict() for event in events]
    assert [event["sequence_number"] for event in told] == list(range(len(told)))
    assert {event.get("output_index") for event in told[8:15]} == {1}
    last: Any = events[-1]
    assert last.response.output_text == "Salve."
    assert last.response.usage.output_tokens == 7
    for event in events:
        type(event).model_validate(event.to_dict(), strict=True)
    assert studio.asked[0]["stream_options"] == {"include_usage": True}
    counted = house.numbers()['lares_inference_tokens_total{direction="written",model="talker"}']
    assert counted == 7


async def test_the_clients_own_helper_puts_a_stream_together(house: Served, studio: Studio) -> None:
    studio.chunks = chunks({"content": "Sal"}, {"content": "ve."})
    async with house.client.responses.stream(model="talker", input="hello") as stream:
        async for _ in stream:
            pass
        final = await stream.get_final_response()
    assert final.output_text == "Salve."


async def test_calls_of_tools_are_streamed_one_after_the_other(
    house: Served, studio: Studio
) -> None:
    def call(index: int, **function: str) -> dict[str, Any]:
        first = {"id": f"c{index}", "type": "function"} if "name" in function else {}
        return {"tool_calls": [{"index": index, **first, "function": function}]}

    studio.chunks = chunks(
        {"content": "Look:"},
        call(0, name="weather", arguments=""),
        call(0, arguments='{"place"'),
        call(0, arguments=':"a"}'),
        call(1, name="weather", arguments="{}"),
        finish="tool_calls",
    )
    stream = await house.client.responses.create(
        model="talker", input="x", tools=[WEATHER], stream=True
    )
    events = [event async for event in stream]
    deltas = [event for event in events if event.type == "response.function_call_arguments.delta"]
    assert [event.delta for event in deltas] == ['{"place"', ':"a"}', "{}"]
    assert [event.output_index for event in deltas] == [1, 1, 2]
    done = [event for event in events if event.type == "response.function_call_arguments.done"]
    assert [event.arguments for event in done] == ['{"place":"a"}', "{}"]
    last: Any = events[-1]
    assert [(item.type, item.status) for item in last.response.output] == [
        ("message", "completed"),
        ("function_call", "completed"),
        ("function_call", "completed"),
    ]
    assert [json.loads(item.arguments) for item in last.response.output[1:]] == [{"place": "a"}, {}]


async def test_a_streamed_answer_that_ran_into_its_limit_ends_incomplete(
    house: Served, studio: Studio
) -> None:
    studio.chunks = chunks({"content": "Sal"}, finish="length")
    stream = await house.client.responses.create(model="talker", input="hello", stream=True)
    last: Any = [event async for event in stream][-1]
    assert last.type == "response.incomplete"
    assert last.response.incomplete_details.reason == "max_output_tokens"


async def test_an_answer_without_a_word_is_an_empty_message(house: Served, studio: Studio) -> None:
    studio.chunks = chunks()
    stream = await house.client.responses.create(model="talker", input="hello", stream=True)
    last: Any = [event async for event in stream][-1]
    assert last.response.output_text == ""
    assert [item.type for item in last.response.output] == ["message"]


async def test_a_stream_that_breaks_off_fails_and_is_never_completed(
    house: Served, studio: Studio
) -> None:
    studio.mode, studio.chunks = "breaks", chunks(*[{"content": "word"}] * 9)
    stream = await house.client.responses.create(model="talker", input="hello", stream=True)
    events: list[Any] = []
    with pytest.raises(openai.APIError) as caught:
        async for event in stream:
            events.append(event)
    assert code_of(caught.value) == "inference.backend_failed"
    assert events[-1].type == "response.failed"
    assert events[-1].response.status == "failed"
    assert events[-1].response.output[0].content[0].text == "wordword"


async def test_a_client_that_goes_stops_the_chat(house: Served, studio: Studio) -> None:
    studio.mode, studio.chunks = "endless", chunks({"content": "word"})
    stream = await house.client.responses.create(model="talker", input="hello", stream=True)
    async for event in stream:
        if event.type == "response.output_text.delta":
            break
    await stream.close()
    await studio.left.wait()


@pytest.mark.parametrize(
    "kept",
    [
        {"previous_response_id": "resp_1"},
        {"conversation": "conv_1"},
        {"store": True},
        {"background": True},
        {"prompt": {"id": "p"}},
        {"input": [{"type": "item_reference", "id": "msg_1"}]},
    ],
)
async def test_what_would_need_something_kept_is_refused_as_that(
    house: Served, studio: Studio, kept: dict[str, Any]
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await house.client.responses.create(**{"model": "talker", "input": "x", **kept})
    assert code_of(caught.value) == "inference.not_kept"
    assert not studio.asked


@pytest.mark.parametrize(
    "wrong",
    [
        {"input": None},
        {"input": []},
        {"input": ["x"]},
        {"input": [{"role": "king", "content": "x"}]},
        {"input": [{"role": "user", "content": []}]},
        {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}]},
        {"input": [{"role": "assistant", "content": [{"type": "input_image", "image_url": "x"}]}]},
        {"input": [{"type": "function_call", "call_id": "", "name": "x", "arguments": ""}]},
        {"input": [{"type": "function_call_output", "call_id": "c", "output": 7}]},
        {"input": [{"type": "computer_call"}]},
        {"instructions": ["x"]},
        {"tools": [{"type": "web_search"}]},
        {"tools": [{"type": "function"}]},
        {"tool_choice": {"type": "mcp"}},
        {"text": {"format": {"type": "json_schema", "name": "x"}}},
        {"text": {"format": "json"}},
        {"reasoning": "high"},
        {"include": ["reasoning.encrypted_content"]},
        {"top_logprobs": 2},
        {"truncation": "auto"},
        {"max_output_tokens": 0},
        {"surprise": 1},
    ],
)
async def test_a_response_that_cannot_be_asked_is_refused(
    house: Served, studio: Studio, wrong: dict[str, Any]
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await house.client.responses.create(
            model="talker", **{"input": "x", **{k: v for k, v in wrong.items() if k != "surprise"}},
            extra_body={"surprise": 1} if "surprise" in wrong else None,
        )  # fmt: skip
    assert code_of(caught.value) == "inference.request_invalid"
    assert not studio.asked


@pytest.mark.parametrize(
    "reply",
    [
        {"choices": []},
        {"choices": [{"message": None}]},
        said(tool_calls=[{"function": {"arguments": "{}"}}]),
        said(tool_calls=[{"function": {"name": "x"}}]),
    ],
)
async def test_a_chat_that_is_none_is_no_response(
    house: Served, studio: Studio, reply: dict[str, Any]
) -> None:
    studio.reply = reply
    with pytest.raises(openai.InternalServerError) as caught:
        await house.client.responses.create(model="talker", input="x")
    assert code_of(caught.value) == "inference.backend_invalid"
