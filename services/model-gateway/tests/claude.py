"""A provider that speaks the Messages API: its requests are checked and its answers made with the provider's own types."""

import asyncio
import json
from typing import Any, get_type_hints

from aiohttp import web
from anthropic.types import (
    Message,
    RawContentBlockDeltaEvent,
    RawContentBlockStartEvent,
    RawContentBlockStopEvent,
    RawMessageDeltaEvent,
    RawMessageStartEvent,
    RawMessageStopEvent,
)
from anthropic.types.message_create_params import MessageCreateParamsBase
from pydantic import BaseModel, TypeAdapter, ValidationError

KEY = "sk-ant-of-the-house"
OLD = frozenset({"temperature", "top_p", "top_k"})  # removed by the version 2026-10-21
KNOWN = frozenset(get_type_hints(MessageCreateParamsBase)) | {"stream"}
PARAMS: TypeAdapter[Any] = TypeAdapter(MessageCreateParamsBase)


class Claude:
    """`content`: the blocks of the next answer. `mode`: how it misbehaves next."""

    def __init__(self) -> None:
        self.mode = "well"
        self.content: list[dict[str, Any]] = [{"type": "text", "text": "Salve, the house."}]
        self.stop_reason = "end_turn"
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.left = asyncio.Event()
        self.release = asyncio.Event()
        self.port = 0

    def app(self) -> web.Application:
        app = web.Application(client_max_size=16 << 20)
        app.router.add_post("/v1/messages", self.messages)
        return app

    async def messages(self, request: web.Request) -> web.StreamResponse:
        fields = await request.json()
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        # The API's reference names x-api-key; its newest client sends a bearer.
        if KEY not in (
            request.headers.get("x-api-key"),
            request.headers.get("authorization", "").removeprefix("Bearer "),
        ):
            return _error(401, "authentication_error", "x-api-key header is required")
        version = request.headers.get("anthropic-version")
        if version not in ("2023-06-01", "2026-10-21"):
            return _error(400, "invalid_request_error", "anthropic-version: header is required")
        self.asked.append(fields)
        if wrong := _wrong(fields, OLD if version == "2023-06-01" else frozenset()):
            return _error(400, "invalid_request_error", wrong)
        if self.mode == "overloaded":
            return _error(529, "overloaded_error", "Overloaded")
        if self.mode == "limited":
            return _error(429, "rate_limit_error", "Too many requests", {"retry-after": "17"})
        if self.mode == "long":
            return _error(400, "invalid_request_error", "prompt is too long: 9 tokens > 1 maximum")
        message = Message.model_validate(
            {
                "id": "msg_01",
                "type": "message",
                "role": "assistant",
                "model": fields["model"],
                "content": self.content,
                "stop_reason": self.stop_reason,
                "stop_sequence": None,
                "usage": {
                    "input_tokens": 11,
                    "output_tokens": 7,
                    "cache_read_input_tokens": 4,
                    "cache_creation_input_tokens": 2,
                },
            }
        )
        if fields.get("stream"):
            return await self._stream(request, message)
        return web.json_response(text=message.model_dump_json(exclude_none=True))

    async def _stream(self, request: web.Request, message: Message) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        try:
            for count, event in enumerate(events_of(message)):
                if self.mode == "fails at once" or (self.mode == "fails midway" and count == 3):
                    await _send(
                        response,
                        "error",
                        {"type": "error", "error": {"type": "overloaded_error", "message": "x"}},
                    )
                    return response
                if self.mode == "stops" and count == 3:
                    return response
                if self.mode == "endless" and count == 3:
                    await asyncio.sleep(30)
                await _send(response, event.type, json.loads(event.model_dump_json()))  # type: ignore[attr-defined]
                if count == 0:
                    await _send(response, "ping", {"type": "ping"})
        except (ConnectionResetError, asyncio.CancelledError):
            self.left.set()
            raise
        return response


def events_of(message: Message) -> list[BaseModel]:
    """Return the events in which the API streams `message`."""
    start = message.model_copy(update={"content": [], "stop_reason": None})
    start.usage = start.usage.model_copy(update={"output_tokens": 1})
    events: list[BaseModel] = [RawMessageStartEvent(type="message_start", message=start)]
    for index, block in enumerate(message.content):
        said = block.model_dump(exclude_none=True)
        deltas: list[dict[str, Any]] = []
        if said["type"] == "text":
            words = said["text"].split(" ")
            deltas = [
                {"type": "text_delta", "text": word + " " * (place < len(words) - 1)}
                for place, word in enumerate(words)
            ]
            said["text"] = ""
        elif said["type"] == "thinking":
            deltas = [
                {"type": "thinking_delta", "thinking": said["thinking"]},
                {"type": "signature_delta", "signature": said["signature"]},
            ]
            said["thinking"] = said["signature"] = ""
        elif said["type"] == "tool_use":
            text = json.dumps(said["input"]) if said["input"] else ""
            # The API begins with an empty piece, and cuts anywhere.
            pieces = ["", *(text[place : place + 7] for place in range(0, len(text), 7))]
            deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
            said["input"] = {}
        events.append(
            RawContentBlockStartEvent.model_validate(
                {"type": "content_block_start", "index": index, "content_block": said}
            )
        )
        events += [
            RawContentBlockDeltaEvent.model_validate(
                {"type": "content_block_delta", "index": index, "delta": delta}
            )
            for delta in deltas
        ]
        events.append(RawContentBlockStopEvent(type="content_block_stop", index=index))
    ending = {"stop_reason": message.stop_reason, "stop_sequence": None}
    usage = {"output_tokens": message.usage.output_tokens}
    events.append(
        RawMessageDeltaEvent.model_validate(
            {"type": "message_delta", "delta": ending, "usage": usage}
        )
    )
    return [*events, RawMessageStopEvent(type="message_stop")]


async def _send(response: web.StreamResponse, name: str, data: dict[str, Any]) -> None:
    await response.write(f"event: {name}\ndata: {json.dumps(data)}\n\n".encode())


def _error(
    status: int, kind: str, message: str, headers: dict[str, str] | None = None
) -> web.Response:
    body = {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}
    return web.json_response(body, status=status, headers=headers)


def _look_at_all(value: Any) -> None:
    """Read every list in `value`: pydantic checks an Iterable while it is read."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, str | bytes | BaseModel) or not hasattr(value, "__iter__"):
        return
    for one in value:
        _look_at_all(one)


def _wrong(fields: dict[str, Any], also: frozenset[str]) -> str | None:
    """Return what the API would say against a request, or None."""
    unknown = sorted(set(fields) - KNOWN - also)
    if unknown:
        return f"{unknown[0]}: Extra inputs are not permitted"
    try:
        _look_at_all(PARAMS.validate_python(fields))
    except ValidationError as error:
        return str(error.errors()[0])
    called: set[str] = set()
    before = None
    for message in fields["messages"]:
        blocks = message["content"]
        if message["role"] == before:
            return "messages: roles must alternate"
        before = message["role"]
        for block in blocks:
            if block["type"] == "text" and not block["text"]:
                return "messages: text content blocks must be non-empty"
            if block["type"] == "tool_result" and block["tool_use_id"] not in called:
                return "messages: unexpected tool_use_id found in tool_result blocks"
        called = {block["id"] for block in blocks if block["type"] == "tool_use"}
    return "messages: tool_use ids were found without tool_result blocks" if called else None
