"""The Responses API on a way that speaks Anthropic's: two translations, one after the other. And what cannot be translated."""

import json
from typing import Any

import openai
import pytest

from .claude import Claude
from .conftest import Served
from .test_anthropic import CONVENIENCE, claude, gateway

__all__ = ["claude", "gateway"]
WEATHER: Any = {
    "type": "function",
    "name": "weather",
    "description": "The weather somewhere.",
    "parameters": {"type": "object", "properties": {"place": {"type": "string"}}},
    "strict": False,
}


async def respond(gateway: Served, **more: Any) -> Any:
    fields: dict[str, Any] = {"model": "talker", "input": "hello", **more}
    return await gateway.client.responses.create(**fields, extra_headers=CONVENIENCE)


async def test_a_response_of_another_protocol_is_a_response(
    gateway: Served, claude: Claude
) -> None:
    reply = await respond(gateway, instructions="You are Lares.", max_output_tokens=40)
    assert (reply.output_text, reply.status) == ("Salve, the house.", "completed")
    assert (reply.usage.input_tokens, reply.usage.output_tokens) == (17, 7)
    assert reply.usage.input_tokens_details.cached_tokens == 4
    assert claude.asked[0]["system"] == [{"type": "text", "text": "You are Lares."}]
    assert claude.asked[0]["max_tokens"] == 40


async def test_its_stream_has_thoughts_and_words_as_items(gateway: Served, claude: Claude) -> None:
    claude.content.insert(0, {"type": "thinking", "thinking": "Hm.", "signature": "s"})
    events: list[Any] = [event async for event in await respond(gateway, stream=True)]
    assert [item.type for item in events[-1].response.output] == ["reasoning", "message"]
    assert events[-1].response.output[0].content[0].text == "Hm."
    assert events[-1].response.output_text == "Salve, the house."
    assert events[-1].response.usage.output_tokens == 7
    assert [event.sequence_number for event in events] == list(range(len(events)))


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
    reply = await respond(gateway, tools=[WEATHER], tool_choice="required", stream=streamed)
    if streamed:
        reply = [event async for event in reply][-1].response
    said, *calls = reply.output
    assert said.content[0].text == "Let me look."
    assert [(call.call_id, json.loads(call.arguments)) for call in calls] == [
        ("toolu_1", {"place": "Rome"}),
        ("toolu_2", {}),
    ]
    assert claude.asked[0]["tool_choice"]["type"] == "any"

    claude.content, claude.stop_reason = [{"type": "text", "text": "Sunny."}], "end_turn"
    results = [
        {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
        for call in calls
    ]
    # What came out goes in again as it is: that is how a conversation is kept by who has it.
    history = [{"role": "user", "content": "hello"}, *[item.to_dict() for item in reply.output]]
    again = await respond(gateway, input=[*history, *results], tools=[WEATHER])
    assert again.output_text == "Sunny."
    turns = claude.asked[1]["messages"]
    assert [turn["role"] for turn in turns] == ["user", "assistant", "user"]
    assert [block["type"] for block in turns[1]["content"]] == ["text", "tool_use", "tool_use"]


async def test_a_bare_completion_has_no_translation(gateway: Served, claude: Claude) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await gateway.client.completions.create(
            model="talker", prompt="x", extra_headers=CONVENIENCE
        )
    body: Any = caught.value.body
    assert body["code"] == "inference.model_unable"
    assert not claude.asked
