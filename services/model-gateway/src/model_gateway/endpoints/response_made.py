"""A response as the API gives it: the object, its items, its usage. Pure but for the ids it draws."""

import secrets
from dataclasses import dataclass, field
from typing import Any

from model_gateway.body import Fields
from model_gateway.errors import BackendInvalid


def new_id(kind: str) -> str:
    """Return an id of the API's shape: `resp_...`, `msg_...`, `fc_...`, `rs_...`."""
    return f"{kind}_{secrets.token_hex(16)}"


@dataclass
class Made:
    """A response while it is made."""

    asked: Fields = field(repr=False)  # the request's fields, which the response repeats
    model: str
    created_at: int
    id: str = field(default_factory=lambda: new_id("resp"))
    items: list[Fields] = field(default_factory=list[Fields], repr=False)
    usage: Fields | None = None
    finish: str | None = None  # why the chat says that it ended

    @property
    def status(self) -> str:
        """How it ended."""
        return "incomplete" if self.finish in ("length", "content_filter") else "completed"

    def object(self, status: str, error: Fields | None = None) -> Fields:
        """Return the response as it is now."""
        asked = self.asked
        reasons = {"length": "max_output_tokens", "content_filter": "content_filter"}
        reason = reasons.get(self.finish or "") if status == "incomplete" else None
        effort = asked.get("reasoning") or {}
        return {
            "id": self.id,
            "object": "response",
            "created_at": self.created_at,
            "status": status,
            "background": False,
            "error": error,
            "incomplete_details": {"reason": reason} if reason else None,
            "instructions": asked.get("instructions"),
            "max_output_tokens": asked.get("max_output_tokens"),
            "max_tool_calls": asked.get("max_tool_calls"),
            "metadata": asked.get("metadata") or {},
            "model": self.model,
            "output": self.items,
            "parallel_tool_calls": _or(asked.get("parallel_tool_calls"), True),
            "previous_response_id": None,
            "reasoning": {"effort": effort.get("effort"), "summary": None},
            "store": False,
            "temperature": _or(asked.get("temperature"), 1.0),
            "text": asked.get("text") or {"format": {"type": "text"}},
            "tool_choice": asked.get("tool_choice") or "auto",
            "tools": asked.get("tools") or [],
            "top_p": _or(asked.get("top_p"), 1.0),
            "truncation": "disabled",
            "usage": self.usage,
            "user": None,
        }


def _or(value: Any, default: Any) -> Any:
    return default if value is None else value


def usage_of(usage: Any) -> Fields | None:
    """Return a chat's usage under the names of the Responses API, None where there is none."""
    if not isinstance(usage, dict) or not isinstance(usage.get("prompt_tokens"), int):
        return None
    read, written = usage["prompt_tokens"], usage.get("completion_tokens")
    written = written if isinstance(written, int) else 0
    return {
        "input_tokens": read,
        "input_tokens_details": {
            "cached_tokens": _detail(usage, "prompt_tokens_details", "cached_tokens"),
            "cache_write_tokens": 0,
        },
        "output_tokens": written,
        "output_tokens_details": {
            "reasoning_tokens": _detail(usage, "completion_tokens_details", "reasoning_tokens")
        },
        "total_tokens": read + written,
    }


def _detail(usage: Fields, group: str, name: str) -> int:
    details = usage.get(group)
    count = details.get(name) if isinstance(details, dict) else None
    return count if isinstance(count, int) else 0


def message_item(status: str) -> Fields:
    """Return an empty message."""
    return {
        "id": new_id("msg"),
        "type": "message",
        "role": "assistant",
        "status": status,
        "content": [],
    }


def text_part(text: str) -> Fields:
    """Return a part of a message: text."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def call_item(call_id: str, name: str, arguments: str, status: str) -> Fields:
    """Return a call of a function."""
    return {
        "id": new_id("fc"),
        "type": "function_call",
        "status": status,
        "call_id": call_id,
        "name": name,
        "arguments": arguments,
    }


def reasoning_item() -> Fields:
    """Return an empty account of what the model thought."""
    return {"id": new_id("rs"), "type": "reasoning", "summary": [], "content": []}


def items_of(message: Any, status: str) -> list[Fields]:
    """Return a whole chat message as items. Raises BackendInvalid."""
    if not isinstance(message, dict):
        raise BackendInvalid("The backend's answer has no message.")
    items: list[Fields] = []
    if isinstance(thought := message.get("reasoning_content"), str) and thought:
        items.append({**reasoning_item(), "content": [{"type": "reasoning_text", "text": thought}]})
    parts: list[Fields] = []
    if isinstance(text := message.get("content"), str) and text:
        parts.append(text_part(text))
    if isinstance(refusal := message.get("refusal"), str) and refusal:
        parts.append({"type": "refusal", "refusal": refusal})
    calls = message.get("tool_calls") or []
    if parts or not calls:
        items.append({**message_item(status), "content": parts or [text_part("")]})
    for call in calls:
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise BackendInvalid("A tool call of the backend has no name.")
        arguments = function.get("arguments")
        if not isinstance(arguments, str):
            raise BackendInvalid("A tool call of the backend has no arguments.")
        items.append(
            call_item(str(call.get("id") or new_id("call")), function["name"], arguments, status)
        )
    return items
