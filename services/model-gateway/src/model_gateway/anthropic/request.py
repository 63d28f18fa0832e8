"""A chat request in OpenAI's shape -> a Messages request. Pure.

Not sent: `temperature`, `top_p` and `top_k`, which the API refuses since its version 2026-10-21, unless the way's
`extra_fields` name them; and hints that the API does not know (`seed`, `logit_bias`, penalties). What would change the answer's meaning and cannot be
said there (`logprobs`, `json_object`, sound) is refused as ModelUnable, so that another way may answer.
"""

import json
from collections.abc import Collection
from typing import Any, cast

from model_gateway.body import Fields
from model_gateway.errors import ModelUnable, RequestInvalid

SAMPLING = ("temperature", "top_p", "top_k")
EFFORTS = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "xhigh"}
CHOICES = {"auto": "auto", "required": "any", "none": "none"}
SYSTEM_ROLES = ("system", "developer")
PICTURES = ("image/jpeg", "image/png", "image/gif", "image/webp")


def to_messages(payload: Fields, extra_fields: Collection[str] = ()) -> Fields:
    """Return the Messages request for a chat request. Raises ModelUnable or RequestInvalid."""
    if payload.get("logprobs") or payload.get("top_logprobs"):
        raise ModelUnable("This model tells no log probabilities.")
    request: Fields = {
        "model": payload["model"],
        "max_tokens": payload.get("max_tokens") or payload["max_completion_tokens"],
        "messages": _turns(payload["messages"]),
    }
    if system := _system(payload["messages"]):
        request["system"] = system
    if payload.get("stream"):
        request["stream"] = True
    if stop := payload.get("stop"):
        request["stop_sequences"] = [stop] if isinstance(stop, str) else stop
    request.update(
        {key: payload[key] for key in SAMPLING if key in payload and key in extra_fields}
    )
    if output := _output(payload):
        request["output_config"] = output
    if tools := payload.get("tools"):
        request["tools"] = [_tool(tool) for tool in tools]
        if choice := _choice(payload):
            request["tool_choice"] = choice
    return request


def _output(payload: Fields) -> Fields:
    output: Fields = {}
    effort = payload.get("reasoning_effort")
    if effort in EFFORTS:
        output["effort"] = EFFORTS[effort]
    shape = payload.get("response_format") or {}
    kind = shape.get("type") if isinstance(shape, dict) else None
    if kind == "json_schema":
        try:
            schema = shape["json_schema"]["schema"]
        except (KeyError, TypeError):
            raise RequestInvalid("`response_format.json_schema.schema` is missing.") from None
        output["format"] = {"type": "json_schema", "schema": schema}
    elif kind not in (None, "text"):
        raise ModelUnable(
            "This model answers in JSON by a schema alone: response_format.json_schema."
        )
    return output


def _tool(tool: Any) -> Fields:
    try:
        function = tool["function"]
        made: Fields = {
            "name": function["name"],
            "input_schema": function.get("parameters") or {"type": "object"},
        }
        if function.get("description"):
            made["description"] = function["description"]
        if function.get("strict"):
            made["strict"] = True
    except (KeyError, TypeError, AttributeError):
        raise RequestInvalid("A tool is not a function with a name.") from None
    return made


def _choice(payload: Fields) -> Fields:
    said = payload.get("tool_choice")
    choice: Fields = {}
    if isinstance(said, str):
        if said not in CHOICES:
            raise RequestInvalid("`tool_choice` is none of auto, required and none.")
        choice = {"type": CHOICES[said]}
    elif isinstance(said, dict):
        try:
            choice = {"type": "tool", "name": cast("Fields", said)["function"]["name"]}
        except (KeyError, TypeError):
            raise RequestInvalid("`tool_choice` names no function.") from None
    if payload.get("parallel_tool_calls") is False:
        choice = choice or {"type": "auto"}
        if choice["type"] != "none":
            choice["disable_parallel_tool_use"] = True
    return choice


def _system(messages: list[Fields]) -> list[Fields]:
    return [
        block
        for message in messages
        if message["role"] in SYSTEM_ROLES
        for block in _blocks(message.get("content"))
    ]


def _turns(messages: list[Fields]) -> list[Fields]:
    """Return the turns: results of tools are a user's, and what one side says in a row is one turn."""
    turns: list[Fields] = []
    for message in messages:
        role = message["role"]
        if role in SYSTEM_ROLES:
            continue
        if role == "tool":
            side, blocks = "user", [_result(message)]
        elif role == "assistant":
            side = "assistant"
            blocks = [*_blocks(message.get("content")), *_calls(message.get("tool_calls") or [])]
        else:
            side, blocks = "user", _blocks(message.get("content"))
        if not blocks:
            continue
        if turns and turns[-1]["role"] == side:
            turns[-1]["content"] += blocks
        else:
            turns.append({"role": side, "content": blocks})
    if not turns:
        raise RequestInvalid("`messages` holds nothing that a model could answer.")
    return turns


def _result(message: Fields) -> Fields:
    result: Fields = {"type": "tool_result", "tool_use_id": message.get("tool_call_id")}
    if not isinstance(result["tool_use_id"], str):
        raise RequestInvalid("A message of a tool has no tool_call_id.")
    if blocks := _blocks(message.get("content")):
        result["content"] = blocks
    return result


def _calls(calls: Any) -> list[Fields]:
    made: list[Fields] = []
    for call in calls:
        try:
            function = call["function"]
            arguments = json.loads(function.get("arguments") or "{}")
            made.append(
                {"type": "tool_use", "id": call["id"], "name": function["name"], "input": arguments}
            )
        except (KeyError, TypeError, ValueError, RecursionError):
            raise RequestInvalid(
                "A tool call has no id, no name, or arguments that are not JSON."
            ) from None
    return made


def _blocks(content: Any) -> list[Fields]:
    if content is None:
        return []
    parts: list[Any] = [{"type": "text", "text": content}] if isinstance(content, str) else content
    # An empty text is a block that the API refuses.
    return [_block(part) for part in parts if part.get("type") != "text" or part.get("text")]


def _block(part: Fields) -> Fields:
    kind = part.get("type")
    if kind == "text":
        return {"type": "text", "text": part["text"]}
    if kind == "refusal":
        return {"type": "text", "text": str(part.get("refusal"))}
    if kind == "image_url":
        return {"type": "image", "source": _source(part)}
    raise ModelUnable(f"This model takes no {kind} in messages.")


def _source(part: Fields) -> Fields:
    image = part.get("image_url")
    url = image.get("url") if isinstance(image, dict) else image
    if not isinstance(url, str):
        raise RequestInvalid("An image_url has no url.")
    if not url.startswith("data:"):
        return {"type": "url", "url": url}
    head, _, data = url.removeprefix("data:").partition(",")
    media_type, _, encoding = head.partition(";")
    if media_type not in PICTURES or encoding != "base64":
        raise RequestInvalid(f"A picture is none of {', '.join(PICTURES)} in base64.")
    return {"type": "base64", "media_type": media_type, "data": data}
