"""A Messages answer, whole or in events -> OpenAI's chat completion, whole or in chunks."""

import json
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from model_gateway import sse
from model_gateway.body import Fields
from model_gateway.errors import BackendBusy, BackendFailed, BackendInvalid, BackendUnavailable

FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
TOOL_CALL = "tool_use"


def usage_of(said: Any) -> Fields:
    """Return OpenAI's account of tokens. What was read from the provider's cache was read, too."""
    usage: Fields = said if isinstance(said, dict) else {}

    def count(name: str) -> int:
        value = usage.get(name)
        return value if isinstance(value, int) and value > 0 else 0

    cached = count("cache_read_input_tokens")
    read = count("input_tokens") + count("cache_creation_input_tokens") + cached
    written = count("output_tokens")
    return {
        "prompt_tokens": read,
        "completion_tokens": written,
        "total_tokens": read + written,
        "prompt_tokens_details": {"cached_tokens": cached},
    }


def to_completion(message: Fields) -> Fields:
    """Return a whole answer as a chat completion. Raises BackendInvalid."""
    content = message.get("content")
    if message.get("type") != "message" or not isinstance(content, list):
        raise BackendInvalid("The backend's answer is not a message.")
    blocks = [block for block in content if isinstance(block, dict)]
    text = "".join(str(block.get("text")) for block in blocks if block.get("type") == "text")
    thought = "".join(
        str(block.get("thinking")) for block in blocks if block.get("type") == "thinking"
    )
    calls = [_call(block) for block in blocks if block.get("type") == TOOL_CALL]
    said: Fields = {"role": "assistant", "content": text or None}
    if thought:
        said["reasoning_content"] = thought
    if calls:
        said["tool_calls"] = calls
    return {
        "id": str(message.get("id")),
        "object": "chat.completion",
        "created": 0,
        "model": str(message.get("model")),
        "choices": [{"index": 0, "message": said, "finish_reason": _finish(message)}],
        "usage": usage_of(message.get("usage")),
    }


def _call(block: Fields) -> Fields:
    arguments = json.dumps(block.get("input") or {}, ensure_ascii=False)
    function = {"name": str(block.get("name")), "arguments": arguments}
    return {"id": str(block.get("id")), "type": "function", "function": function}


def _finish(said: Fields) -> str | None:
    reason = said.get("stop_reason")
    return None if reason is None else FINISH.get(str(reason), "stop")


async def to_chunks(pieces: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    """Yield OpenAI's events for Anthropic's, and `[DONE]` after `message_stop` alone.

    Raises what an `error` event means, and BackendInvalid for what is not the protocol.
    """
    events = Events()
    async for event in sse.split(pieces):
        for chunk in events.read(event):
            yield chunk
        if events.done:
            return


class Events:
    """Turns one stream's events into chunks; remembers which block is which call, and the usage."""

    def __init__(self) -> None:
        self.done = False
        self._id = ""
        self._model = ""
        self._usage: Fields = {}
        # A block's index -> its number among the calls, and whether its arguments have begun.
        self._calls: dict[int, int] = {}
        self._empty: set[int] = set()

    def read(self, event: bytes) -> list[bytes]:
        """Return what is sent on for one event."""
        data = sse.data_of(event)
        if data is None:
            return []
        try:
            said: Any = json.loads(data)
        except (ValueError, RecursionError):
            raise BackendInvalid("An event of the backend's stream is not JSON.") from None
        if not isinstance(said, dict):
            raise BackendInvalid("An event of the backend's stream is not an object.")
        return self._read(said)

    def _read(self, said: Fields) -> list[bytes]:
        kind = said.get("type")
        try:
            if kind == "message_start":
                return self._start(said["message"])
            if kind == "content_block_start":
                return self._block(said["index"], said["content_block"])
            if kind == "content_block_delta":
                return self._delta(said["index"], said["delta"])
            if kind == "content_block_stop":
                return self._stop(said["index"])
            if kind == "message_delta":
                self._count(said.get("usage"))
                return [self._chunk({}, _finish(said["delta"]))]
            if kind == "message_stop":
                return self._end()
            if kind == "error":
                raise _failure(said["error"])
        except (KeyError, TypeError, AttributeError):
            raise BackendInvalid(f"A {kind} event of the backend's stream is not whole.") from None
        # `ping`, and what later versions add.
        return [sse.PING]

    def _start(self, message: Fields) -> list[bytes]:
        self._id, self._model = str(message["id"]), str(message["model"])
        self._count(message.get("usage"))
        return [self._chunk({"role": "assistant", "content": ""})]

    def _block(self, index: int, block: Fields) -> list[bytes]:
        if block["type"] == TOOL_CALL:
            number = self._calls[index] = len(self._calls)
            self._empty.add(index)
            function = {"name": block["name"], "arguments": ""}
            call = {"index": number, "id": block["id"], "type": "function", "function": function}
            return [self._chunk({"tool_calls": [call]})]
        text = block.get("text") if block["type"] == "text" else None
        return [self._chunk({"content": text})] if text else []

    def _delta(self, index: int, delta: Fields) -> list[bytes]:
        kind = delta["type"]
        if kind == "text_delta":
            return [self._chunk({"content": delta["text"]})]
        if kind == "thinking_delta":
            return [self._chunk({"reasoning_content": delta["thinking"]})]
        if kind == "input_json_delta" and delta["partial_json"]:
            self._empty.discard(index)
            return [self._arguments(index, delta["partial_json"])]
        return []

    def _stop(self, index: int) -> list[bytes]:
        if index in self._empty:
            # A call without arguments streams none, and OpenAI's clients parse what they get.
            self._empty.discard(index)
            return [self._arguments(index, "{}")]
        return []

    def _arguments(self, index: int, text: str) -> bytes:
        call = {"index": self._calls[index], "function": {"arguments": text}}
        return self._chunk({"tool_calls": [call]})

    def _end(self) -> list[bytes]:
        self.done = True
        last = {**self._head(), "choices": [], "usage": usage_of(self._usage)}
        return [sse.encode(last), sse.DONE]

    def _count(self, usage: Any) -> None:
        # Cumulative: a later number replaces an earlier one, and what is left out stays.
        if isinstance(usage, dict):
            self._usage.update({key: value for key, value in usage.items() if value is not None})

    def _head(self) -> Fields:
        return {
            "id": self._id,
            "object": "chat.completion.chunk",
            "created": 0,
            "model": self._model,
        }

    def _chunk(self, delta: Fields, finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return sse.encode({**self._head(), "choices": [choice]})


def _failure(error: Fields) -> BackendBusy | BackendFailed | BackendUnavailable:
    kind = error.get("type")
    if kind == "overloaded_error":
        return BackendUnavailable("The provider is overloaded.", Retry_After="10")
    if kind == "rate_limit_error":
        return BackendBusy(Retry_After="10")
    return BackendFailed("The provider reported an error in the middle of its answer.")
