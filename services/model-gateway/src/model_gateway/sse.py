"""Server-sent events as OpenAI's servers send them: `data: {...}`, a blank line, at the end `data: [DONE]`.

A token's event is a few hundred bytes of which only the model's name changes on the way. An event that has the plain
shape of one is therefore checked and renamed as bytes; every other is parsed.
"""

import json
import re
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from model_gateway.errors import BackendInvalid

EVENT_BYTES_MAX = 1024 * 1024
STREAM_BYTES_MAX = 64 * 1024 * 1024
MEDIA_TYPE = "text/event-stream"
DONE = b"data: [DONE]\n\n"
PING = b": ping\n\n"
_BLANK = re.compile(rb"\r?\n\r?\n")

# JSON as a token's event has it, in any order of its keys. All repetitions are possessive: no input makes it slow.
# What has to be looked at stays out of it and is parsed: usage, timings, errors, a reason to finish, tool calls, logprobs.
_STRING = rb'"[^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*+)*+"'
_NUMBER = rb"(?:0|[1-9]\d*+)"
_PLAIN = rb"(?:" + _STRING + rb"|" + _NUMBER + rb"|null)"
_NEXT = rb"(?:, ?(?=\")|(?=\}))"
_DELTA = (
    rb"\{(?:(?:\"role\": ?" + _PLAIN + rb"|\"(?:refusal|tool_calls)\": ?null|"
    rb"\"(?:content|reasoning_content)\": ?"
    rb"(?:null|\"\"|(?P<text>" + _STRING + rb")))" + _NEXT + rb")*+\}"
)
_CHOICE = (
    rb"\{(?:(?:\"index\": ?"
    + _NUMBER
    + rb"|\"(?:finish_reason|logprobs|stop_reason|token_ids)\": ?null|\"delta\": ?"
    + _DELTA
    + rb")"
    + _NEXT
    + rb")*+\}"
)
_CHUNK = re.compile(
    rb"data: ?\{(?:(?:\"(?:id|object|created|system_fingerprint)\": ?" + _PLAIN + rb"|\"model\": ?"
    rb"(?P<model>"
    + _STRING
    + rb")|(?P<choices>\"choices\": ?\["
    + _CHOICE
    + rb"\]))"
    + _NEXT
    + rb")*+\}"
)


@dataclass
class Splitter:
    """Cuts a stream into its events."""

    _buffer: bytearray = field(default_factory=bytearray)
    _total: int = 0

    def feed(self, piece: bytes) -> list[bytes]:
        """Return the events that `piece` completes. Raises BackendInvalid beyond the limits."""
        self._total += len(piece)
        if self._total > STREAM_BYTES_MAX:
            raise BackendInvalid(f"The backend's stream is larger than {STREAM_BYTES_MAX} bytes.")
        buffer = self._buffer
        if not buffer and piece.endswith(b"\n\n") and b"\r" not in piece:
            # Nearly always: a server writes whole events.
            return piece[:-2].split(b"\n\n")
        # Blank lines before the piece were found already; three bytes of one may have come before it.
        searched = max(0, len(buffer) - 3)
        buffer += piece
        events: list[bytes] = []
        start = 0
        while found := _BLANK.search(buffer, max(start, searched)):
            events.append(bytes(buffer[start : found.start()]))
            start = found.end()
        del buffer[:start]
        if len(buffer) > EVENT_BYTES_MAX:
            raise BackendInvalid(
                f"One event of the backend's stream is larger than {EVENT_BYTES_MAX} bytes."
            )
        return events

    def rest(self) -> bytes:
        """Return what the stream's end leaves without its blank line."""
        return bytes(self._buffer).strip()


async def split(pieces: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    """Yield each event's bytes as soon as its blank line is there. Raises BackendInvalid beyond the limits."""
    splitter = Splitter()
    async for piece in pieces:
        for event in splitter.feed(piece):
            yield event
    if rest := splitter.rest():
        yield rest


def data_of(event: bytes) -> bytes | None:
    """Return the event's data, or None for a comment."""
    lines = [
        line.removeprefix(b"data:").removeprefix(b" ")
        for line in event.splitlines()
        if line.startswith(b"data:")
    ]
    return b"\n".join(lines) if lines else None


def encode(chunk: dict[str, Any]) -> bytes:
    """Return `chunk` as an event."""
    return b"data: " + _json(chunk) + b"\n\n"


def encode_named(name: str, data: dict[str, Any]) -> bytes:
    """Return `data` as an event that bears a name."""
    return b"event: " + name.encode() + b"\n" + encode(data)


def comment(text: str) -> bytes:
    """Return `text` as a line that every client skips."""
    return b": " + text.replace("\r", " ").replace("\n", " ").encode() + b"\n\n"


@dataclass
class Reader:
    """Turns a backend's events into what our client gets, and remembers what the stream said about itself.

    `name` is the model's name in the house. Events that a client did not ask for (usage) and fields of one server
    alone (timings) stay here.
    """

    name: str
    usage_wanted: bool
    done: bool = False
    finished: bool = False
    pieces: int = 0
    usage: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        self._name = _json(self.name)

    def read(self, event: bytes) -> bytes | None:
        """Return the event to send on, or None. Raises BackendInvalid for what is not the protocol."""
        plain = _CHUNK.fullmatch(event)
        if plain is not None and plain["choices"] is not None and _is_text(event):
            self.pieces += plain["text"] is not None
            at, end = plain.span("model")
            if at < 0:
                return event + b"\n\n"
            return b"%b%b%b\n\n" % (event[:at], self._name, event[end:])
        chunk = self.parse(event)
        if chunk is None:
            return None if self.done else PING
        if not self.usage_wanted:
            chunk.pop("usage", None)
            if not chunk["choices"]:
                return None
        return encode(chunk)

    def parse(self, event: bytes) -> dict[str, Any] | None:
        """Return the event's chunk under the house's name, or None for a comment or the end. Raises BackendInvalid."""
        data = data_of(event)
        if data is None:
            return None
        if data.strip() == b"[DONE]":
            self.done = True
            return None
        chunk = _chunk(data)
        chunk["model"] = self.name
        chunk.pop("timings", None)
        usage = chunk.get("usage")
        if isinstance(usage, dict):
            self.usage = usage
        for choice in chunk["choices"]:
            self._note(choice)
        return chunk

    def _note(self, choice: Any) -> None:
        if not isinstance(choice, dict) or not isinstance(choice.get("delta") or {}, dict):
            raise BackendInvalid("A choice in the backend's stream is not an object with a delta.")
        if choice.get("finish_reason"):
            self.finished = True
        delta = choice.get("delta") or {}
        if (
            delta.get("content")
            or delta.get("reasoning_content")
            or delta.get("tool_calls")
            or choice.get("text")
        ):
            self.pieces += 1


def read_object(data: bytes) -> dict[str, Any]:
    """Return an event's data as an object that reports no error. Raises BackendInvalid."""
    try:
        value: Any = json.loads(data)
    except (ValueError, RecursionError):
        raise BackendInvalid("An event of the backend's stream is not JSON.") from None
    if not isinstance(value, dict):
        raise BackendInvalid("An event of the backend's stream is not an object.")
    if value.get("error"):
        raise BackendInvalid("The backend reported an error in the middle of its stream.")
    return value


def _chunk(data: bytes) -> dict[str, Any]:
    chunk = read_object(data)
    if not isinstance(chunk.get("choices"), list):
        raise BackendInvalid("An event of the backend's stream has no choices.")
    return chunk


def _is_text(event: bytes) -> bool:
    try:
        event.decode()
    except UnicodeDecodeError:
        return False
    return True


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
