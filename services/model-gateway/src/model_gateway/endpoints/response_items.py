"""A Responses request as the chat request that means the same. Pure."""

from typing import Any, cast

from model_gateway.body import Fields
from model_gateway.errors import NotKept, RequestInvalid

ITEMS_MAX = 1024
TOOLS_MAX = 128
# The API's roles and a chat's: templates of models at home know no `developer`.
_ROLES = {"user": "user", "assistant": "assistant", "system": "system", "developer": "system"}
_TEXTS = {"input_text": "text", "output_text": "text", "text": "text", "refusal": "refusal"}
_SAME = ("temperature", "top_p", "parallel_tool_calls", "stream")


def chat_fields(fields: Fields) -> Fields:
    """Return the chat request's fields, `model` left out. Raises RequestInvalid or NotKept."""
    chat: Fields = {key: fields[key] for key in _SAME if fields.get(key) is not None}
    chat["messages"] = _messages(fields)
    if fields.get("max_output_tokens") is not None:
        chat["max_tokens"] = fields["max_output_tokens"]
    if fields.get("tools"):
        chat["tools"] = _tools(fields["tools"])
    if fields.get("tool_choice") is not None:
        chat["tool_choice"] = _tool_choice(fields["tool_choice"])
    shape = _shape(fields.get("text"))
    if shape is not None:
        chat["response_format"] = shape
    reasoning = fields.get("reasoning")
    if reasoning is not None:
        if not isinstance(reasoning, dict):
            raise RequestInvalid("`reasoning` is not an object.")
        if reasoning.get("effort") is not None:
            chat["reasoning_effort"] = reasoning["effort"]
    return chat


def _messages(fields: Fields) -> list[Fields]:
    messages: list[Fields] = []
    instructions = fields.get("instructions")
    if instructions is not None:
        if not isinstance(instructions, str):
            raise RequestInvalid("`instructions` is not a text.")
        messages.append({"role": "system", "content": instructions})
    given = fields.get("input")
    if isinstance(given, str) and given:
        messages.append({"role": "user", "content": given})
        return messages
    if not isinstance(given, list) or not given:
        raise RequestInvalid("`input` is neither a text nor a non-empty list of items.")
    if len(given) > ITEMS_MAX:
        raise RequestInvalid(f"`input` has more than {ITEMS_MAX} items.")
    for index, item in enumerate(given):
        if not isinstance(item, dict):
            raise RequestInvalid(f"`input[{index}]` is not an object.")
        _add(messages, item, f"input[{index}]")
    return messages


def _add(messages: list[Fields], item: Fields, where: str) -> None:
    kind = item.get("type", "message")
    if kind == "message":
        messages.append(_message(item, where))
    elif kind == "function_call":
        call = {
            "id": _word(item, "call_id", where),
            "type": "function",
            "function": {
                "name": _word(item, "name", where),
                "arguments": _text(item, "arguments", where),
            },
        }
        # Calls made at once are one message of the assistant, together with what it said before them.
        if messages and messages[-1]["role"] == "assistant":
            messages[-1].setdefault("tool_calls", []).append(call)
        else:
            messages.append({"role": "assistant", "content": None, "tool_calls": [call]})
    elif kind == "function_call_output":
        output = item.get("output")
        content = output if isinstance(output, str) else _parts(output, where, pictures=False)
        messages.append(
            {"role": "tool", "tool_call_id": _word(item, "call_id", where), "content": content}
        )
    elif kind == "reasoning":
        # What a model thought before is of no use to another one, and a chat has no place for it.
        return
    elif kind == "item_reference":
        raise NotKept(f"`{where}` refers to something said earlier, and nothing is kept here.")
    else:
        raise RequestInvalid(f"`{where}.type` is none that is understood: {str(kind)[:40]}.")


def _message(item: Fields, where: str) -> Fields:
    role = _ROLES.get(str(item.get("role")))
    if role is None:
        raise RequestInvalid(f"`{where}.role` is none of {', '.join(_ROLES)}.")
    content = item.get("content")
    if not isinstance(content, str):
        content = _parts(content, where, pictures=role == "user")
    return {"role": role, "content": content}


def _parts(parts: Any, where: str, *, pictures: bool) -> Any:
    if not isinstance(parts, list) or not parts:
        raise RequestInvalid(f"`{where}` has neither a text nor a list of parts.")
    out: list[Fields] = []
    for part in parts:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind in _TEXTS and isinstance(part.get(_TEXTS[kind]), str):
            out.append({"type": "text", "text": part[_TEXTS[kind]]})
        elif kind == "input_image" and pictures and isinstance(part.get("image_url"), str):
            picture: Fields = {"url": part["image_url"]}
            if isinstance(part.get("detail"), str):
                picture["detail"] = part["detail"]
            out.append({"type": "image_url", "image_url": picture})
        else:
            raise RequestInvalid(
                f"`{where}` has a part that is not understood: {str(kind)[:40]}.",
                fix="Send input_text, or an input_image with an image_url.",
            )
    if all(part["type"] == "text" for part in out):
        # One text: many templates of models at home take nothing else.
        return "".join(part["text"] for part in out)
    return out


def _tools(tools: Any) -> list[Fields]:
    if not isinstance(tools, list) or len(tools) > TOOLS_MAX:
        raise RequestInvalid(f"`tools` is not a list of at most {TOOLS_MAX}.")
    out: list[Fields] = []
    for tool in tools:
        if not isinstance(tool, dict) or tool.get("type") != "function":
            raise RequestInvalid(
                "`tools` names one that is not a function: a provider's own tools are not used.",
                fix="Offer functions alone; the house runs its tools itself.",
            )
        kept = ("name", "description", "parameters", "strict")
        function = {key: tool[key] for key in kept if tool.get(key) is not None}
        if not isinstance(function.get("name"), str):
            raise RequestInvalid("A function of `tools` has no name.")
        out.append({"type": "function", "function": function})
    return out


def _tool_choice(choice: Any) -> Any:
    if choice in ("none", "auto", "required"):
        return choice
    if isinstance(choice, dict) and choice.get("type") == "function":
        return {
            "type": "function",
            "function": {"name": _word(cast("Fields", choice), "name", "tool_choice")},
        }
    raise RequestInvalid("`tool_choice` is neither none, auto, required nor a function.")


def _shape(text: Any) -> Fields | None:
    if text is None:
        return None
    if not isinstance(text, dict):
        raise RequestInvalid("`text` is not an object.")
    shape = text.get("format")
    if shape is None:
        return None
    kind = shape.get("type") if isinstance(shape, dict) else None
    if kind == "text":
        return None
    if kind == "json_object":
        return {"type": "json_object"}
    if kind != "json_schema" or not isinstance(shape.get("schema"), dict):
        raise RequestInvalid("`text.format` is neither text, json_object nor a json_schema.")
    kept = ("name", "schema", "strict", "description")
    return {
        "type": "json_schema",
        "json_schema": {key: shape[key] for key in kept if shape.get(key) is not None},
    }


def _word(item: Fields, name: str, where: str) -> str:
    text = _text(item, name, where)
    if not text:
        raise RequestInvalid(f"`{where}.{name}` is empty.")
    return text


def _text(item: Fields, name: str, where: str) -> str:
    value = item.get(name)
    if not isinstance(value, str):
        raise RequestInvalid(f"`{where}.{name}` is not a text.")
    return value
