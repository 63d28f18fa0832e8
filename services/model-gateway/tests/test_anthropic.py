"""Anthropic's Messages API behind OpenAI's chat completions, before a server that speaks the real protocol."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from anthropic import AsyncAnthropic
from hypothesis import given
from hypothesis import strategies as st
from model_gateway.anthropic.reply import Events, to_completion
from model_gateway.anthropic.request import to_messages
from model_gateway.app import build
from model_gateway.errors import ModelUnable, RequestInvalid
from model_gateway.settings import Settings

from .claude import KEY, Claude
from .conftest import Outsider, Served, book, listen, serving
from .house_of_gpus import eventually

HELLO: list[Any] = [
    {"role": "system", "content": "You are Lares."},
    {"role": "user", "content": "hello"},
]
CONVENIENCE = {"X-Lares-Max-Tier": "convenience"}
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather somewhere.",
        "parameters": {"type": "object", "properties": {"place": {"type": "string"}}},
    },
}
PIXEL = base64.b64encode(b"not really a png!!").decode()


@pytest.fixture
async def claude() -> AsyncIterator[Claude]:
    script = Claude()
    async for _ in listen(script, None):
        yield script


@pytest.fixture
def gateway(
    claude: Claude, outsider: Outsider, settings_for: Callable[..., Settings], tmp_path: Path
) -> Iterator[Served]:
    (tmp_path / "backend_claude_api_key").write_text(KEY)
    content = book(outsider.url, queue_max=8)
    content["backends"]["claude"] = {
        "url": f"http://127.0.0.1:{claude.port}/v1",
        "in_house": True,
        "protocol": "anthropic",
        "api_key_secret": "backend_claude_api_key",
        "silence_seconds": 15,
    }
    content["models"]["talker"] = {
        "kind": "chat",
        "context_tokens": 1000,
        "output_tokens_max": 500,
        "routes": [{"backend": "claude", "upstream_name": "claude-sonnet-5"}],
    }
    content["models"]["either"] = {
        **content["models"]["talker"],
        "routes": [{"backend": "claude", "upstream_name": "c"}, {"backend": "outsider"}],
    }
    warm = {"backend": "claude", "upstream_name": "c", "extra_fields": ["temperature"]}
    content["models"]["warm"] = {**content["models"]["talker"], "routes": [warm]}
    with serving(build(settings_for(content))) as served:
        yield served


async def ask(gateway: Served, **more: Any) -> Any:
    fields: dict[str, Any] = {"model": "talker", "messages": HELLO, **more}
    return await gateway.client.chat.completions.create(**fields, extra_headers=CONVENIENCE)


async def test_the_scripted_provider_is_understood_by_its_own_client(claude: Claude) -> None:
    claude.content = [
        {"type": "text", "text": "Let me look."},
        {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"place": "Rome"}},
    ]
    url = f"http://127.0.0.1:{claude.port}"
    async with AsyncAnthropic(base_url=url, api_key=KEY, max_retries=0) as client:
        asked: dict[str, Any] = {
            "model": "claude-sonnet-5",
            "max_tokens": 9,
            "messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}],
        }
        whole = await client.messages.create(**asked)
        async with client.messages.stream(**asked) as stream:
            streamed = await stream.get_final_message()
    assert [block.type for block in whole.content] == ["text", "tool_use"]
    assert [block.type for block in streamed.content] == ["text", "tool_use"]
    call: Any = streamed.content[1]
    assert call.input == {"place": "Rome"}
    assert (streamed.stop_reason, streamed.usage.output_tokens) == ("end_turn", 7)


async def test_a_whole_answer_is_translated_both_ways(gateway: Served, claude: Claude) -> None:
    reply = await ask(gateway, max_tokens=40, temperature=0.2, stop="END", seed=7, user="ana")
    [choice] = reply.choices
    assert (choice.message.content, choice.finish_reason) == ("Salve, the house.", "stop")
    assert reply.model == "talker"
    # What the provider read from its cache, or wrote into it, was read, too.
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (17, 7)
    assert reply.usage.prompt_tokens_details.cached_tokens == 4
    assert claude.asked == [
        {
            "model": "claude-sonnet-5",
            "max_tokens": 40,
            "system": [{"type": "text", "text": "You are Lares."}],
            "messages": [{"role": "user", "content": [{"type": "text", "text": "hello"}]}],
            "stop_sequences": ["END"],
        }
    ]
    [sent] = claude.headers
    assert (sent["x-api-key"], sent["anthropic-version"]) == (KEY, "2026-10-21")
    assert "authorization" not in sent


async def test_a_stream_is_translated_word_by_word(gateway: Served, claude: Claude) -> None:
    claude.content.insert(0, {"type": "thinking", "thinking": "Hm.", "signature": "s"})
    stream = await ask(gateway, stream=True, stream_options={"include_usage": True})
    chunks = [chunk async for chunk in stream]
    choices = [chunk.choices[0] for chunk in chunks if chunk.choices]
    assert "".join(choice.delta.content or "" for choice in choices) == "Salve, the house."
    assert sum(bool(choice.delta.content) for choice in choices) == 3
    thoughts = [getattr(choice.delta, "reasoning_content", None) for choice in choices]
    assert [thought for thought in thoughts if thought] == ["Hm."]
    assert [choice.finish_reason for choice in choices if choice.finish_reason] == ["stop"]
    [usage] = [chunk.usage for chunk in chunks if chunk.usage]
    assert (usage.prompt_tokens, usage.completion_tokens) == (17, 7)
    assert {chunk.model for chunk in chunks} == {"talker"}
    assert claude.asked[0]["stream"] is True
    written = 'lares_inference_tokens_total{direction="written",model="talker"}'
    assert gateway.numbers()[written] == 7


@pytest.mark.parametrize("streamed", [True, False])
async def test_a_tool_is_called_and_its_result_goes_back(
    gateway: Served, claude: Claude, streamed: bool
) -> None:
    claude.content = [
        {"type": "text", "text": "Let me look."},
        {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"place": "Rome"}},
        {"type": "tool_use", "id": "toolu_2", "name": "weather", "input": {}},
    ]
    claude.stop_reason = "tool_use"
    more = {"tools": [WEATHER], "tool_choice": "required", "parallel_tool_calls": False}
    reply = await ask(gateway, stream=streamed, **more)
    message = await whole(reply) if streamed else reply.choices[0].message.model_dump()
    calls = message["tool_calls"]
    assert [call["id"] for call in calls] == ["toolu_1", "toolu_2"]
    assert [json.loads(call["function"]["arguments"]) for call in calls] == [{"place": "Rome"}, {}]
    sent = claude.asked[0]
    assert sent["tool_choice"] == {"type": "any", "disable_parallel_tool_use": True}
    assert sent["tools"][0]["input_schema"]["properties"] == {"place": {"type": "string"}}

    claude.content, claude.stop_reason = [{"type": "text", "text": "Sunny."}], "end_turn"
    results = [{"role": "tool", "tool_call_id": call["id"], "content": "sunny"} for call in calls]
    history = [*HELLO, {"role": "assistant", "content": "Let me look.", "tool_calls": calls}]
    reply = await ask(gateway, messages=[*history, *results], tools=[WEATHER])
    assert reply.choices[0].message.content == "Sunny."
    turns = claude.asked[1]["messages"]
    assert [turn["role"] for turn in turns] == ["user", "assistant", "user"]
    assert [block["type"] for block in turns[1]["content"]] == ["text", "tool_use", "tool_use"]
    assert [block["type"] for block in turns[2]["content"]] == ["tool_result", "tool_result"]


async def whole(stream: Any) -> dict[str, Any]:
    """Put a stream's calls together as OpenAI's clients do."""
    calls: dict[int, dict[str, Any]] = {}
    async for chunk in stream:
        for call in (chunk.choices[0].delta.tool_calls or []) if chunk.choices else []:
            made = calls.setdefault(
                call.index, {"type": "function", "function": {"name": "", "arguments": ""}}
            )
            if call.id:
                made["id"] = call.id
            made["function"]["name"] += call.function.name or ""
            made["function"]["arguments"] += call.function.arguments or ""
    return {"tool_calls": [calls[index] for index in sorted(calls)]}


@pytest.mark.parametrize("size", [1, 100_000])
async def test_pictures_and_schemas_go_along(gateway: Served, claude: Claude, size: int) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    shape = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}
    parts = [
        {"type": "text", "text": "what is this"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL * size}"}},
        {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
    ]
    messages = [{"role": "user", "content": parts}]
    await ask(gateway, messages=messages, response_format=shape, reasoning_effort="low")
    sent = claude.asked[0]
    assert sent["output_config"] == {
        "effort": "low",
        "format": {"type": "json_schema", "schema": schema},
    }
    sources = [block["source"] for block in sent["messages"][0]["content"][1:]]
    assert sources == [
        {"type": "base64", "media_type": "image/png", "data": PIXEL * size},
        {"type": "url", "url": "https://example.org/a.png"},
    ]


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("max_tokens", "length"),
        ("stop_sequence", "stop"),
        ("refusal", "content_filter"),
        ("model_context_window_exceeded", "length"),
        ("pause_turn", "stop"),
    ],
)
async def test_each_reason_to_stop_has_its_name(
    gateway: Served, claude: Claude, reason: str, finish: str
) -> None:
    claude.stop_reason = reason
    assert (await ask(gateway)).choices[0].finish_reason == finish


@pytest.mark.parametrize(
    ("mode", "status", "code"),
    [
        ("overloaded", 503, "inference.backend_unavailable"),
        ("limited", 429, "inference.backend_busy"),
        ("long", 400, "inference.prompt_too_long"),
    ],
)
@pytest.mark.parametrize("streamed", [True, False])
async def test_each_refusal_of_the_provider_has_its_code(
    gateway: Served, claude: Claude, mode: str, status: int, code: str, streamed: bool
) -> None:
    claude.mode = mode
    with pytest.raises(openai.APIStatusError) as caught:
        await ask(gateway, stream=streamed)
    body: Any = caught.value.body
    assert (caught.value.status_code, body["code"]) == (status, code)


async def test_an_error_before_the_first_word_passes_to_the_next_way_though_the_status_was_200(
    gateway: Served, claude: Claude, outsider: Outsider
) -> None:
    claude.mode = "fails at once"
    stream = await ask(gateway, model="either", stream=True)
    assert [chunk async for chunk in stream]
    assert len(outsider.asked) == 1


@pytest.mark.parametrize("mode", ["fails midway", "stops"])
async def test_half_an_answer_is_not_taken_for_a_whole_one(
    gateway: Served, claude: Claude, outsider: Outsider, mode: str
) -> None:
    claude.mode = mode
    stream = await ask(gateway, model="either", stream=True)
    with pytest.raises(openai.APIError):
        async for _ in stream:
            pass
    assert not outsider.asked


async def test_a_client_that_goes_stops_the_provider(gateway: Served, claude: Claude) -> None:
    claude.mode = "endless"
    stream = await ask(gateway, stream=True)
    async for _ in stream:
        break
    await stream.close()
    await asyncio.wait_for(claude.left.wait(), 8)


async def test_what_cannot_be_said_there_is_asked_of_another_way(
    gateway: Served, claude: Claude, outsider: Outsider
) -> None:
    await ask(gateway, model="either", response_format={"type": "json_object"})
    await eventually(lambda: len(outsider.asked) == 1)
    assert not claude.asked
    with pytest.raises(openai.BadRequestError) as caught:
        await ask(gateway, response_format={"type": "json_object"})
    body: Any = caught.value.body
    assert body["code"] == "inference.model_unable"


async def test_a_model_that_takes_sampling_is_asked_in_the_older_version(
    gateway: Served, claude: Claude
) -> None:
    await ask(gateway, model="warm", temperature=0.2)
    assert claude.asked[0]["temperature"] == 0.2
    assert claude.headers[0]["anthropic-version"] == "2023-06-01"


BASE: dict[str, Any] = {"model": "m", "max_tokens": 9, "messages": HELLO}


def test_sampling_is_sent_only_to_a_model_that_is_said_to_take_it() -> None:
    asked = {**BASE, "temperature": 0.1, "top_k": 3}
    assert not {"temperature", "top_k"} & set(to_messages(asked))
    assert to_messages(asked, {"temperature"})["temperature"] == 0.1


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"logprobs": True}, ModelUnable),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, ModelUnable),
        ({"messages": [{"role": "system", "content": "x"}]}, RequestInvalid),
        ({"messages": [*HELLO, {"role": "tool", "content": "x"}]}, RequestInvalid),
        ({"tools": [{"type": "function"}]}, RequestInvalid),
        ({"tools": [WEATHER], "tool_choice": "some"}, RequestInvalid),
        ({"response_format": {"type": "json_schema"}}, RequestInvalid),
        (
            {
                "messages": [
                    {
                        "role": "assistant",
                        "tool_calls": [{"id": "1", "function": {"name": "a", "arguments": "{"}}],
                    }
                ]
            },
            RequestInvalid,
        ),
    ],
)
def test_a_request_that_cannot_be_translated_is_refused(
    wrong: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        to_messages({**BASE, **wrong})


TEXTS = st.text(max_size=30)
BLOCKS = st.one_of(
    st.builds(lambda text: {"type": "text", "text": text}, TEXTS),
    st.builds(
        lambda number, value: {
            "type": "tool_use",
            "id": f"toolu_{number}",
            "name": "weather",
            "input": value,
        },
        st.integers(0, 99),
        st.dictionaries(TEXTS, TEXTS | st.integers(), max_size=3),
    ),
)


@given(st.lists(BLOCKS, max_size=6))
def test_a_stream_says_what_the_whole_answer_says(content: list[dict[str, Any]]) -> None:
    from anthropic.types import Message

    from .claude import events_of

    message = Message.model_validate(
        {
            "id": "msg",
            "type": "message",
            "role": "assistant",
            "model": "m",
            "content": content,
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": {"input_tokens": 3, "output_tokens": 4},
        }
    )
    said = to_completion(json.loads(message.model_dump_json()))
    reader, text = Events(), ""
    calls: dict[int, list[str]] = {}
    usage: Any = None
    for event in events_of(message):
        for chunk in reader.read(b"data: " + event.model_dump_json().encode()):
            if not chunk.startswith(b"data: {"):
                continue
            fields = json.loads(chunk.removeprefix(b"data: "))
            usage = fields.get("usage", usage)
            for choice in fields["choices"]:
                text += choice["delta"].get("content") or ""
                for call in choice["delta"].get("tool_calls", []):
                    made = calls.setdefault(call["index"], ["", "", ""])
                    made[0] += call.get("id", "")
                    made[1] += call["function"].get("name", "")
                    made[2] += call["function"].get("arguments", "")
    whole_message = said["choices"][0]["message"]
    assert text == (whole_message["content"] or "")
    assert reader.done
    assert usage == said["usage"]
    assert [(made[0], json.loads(made[2])) for _, made in sorted(calls.items())] == [
        (call["id"], json.loads(call["function"]["arguments"]))
        for call in whole_message.get("tool_calls", [])
    ]
