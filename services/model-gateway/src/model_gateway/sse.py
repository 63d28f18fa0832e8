"""Server-sent events as OpenAI's servers send them: `data: {...}`, a blank line, at the end `data: [DONE]`."""

import json
import re
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Any

from model_gateway.errors import BackendInvalid

EVENT_BYTES_MAX = 1024 * 1024
STREAM_BYTES_MAX = 64 * 1024 * 1024
MEDIA_TYPE = "text/event-stream"
DONE = b"data: [DONE]\n\n"
PING = b": ping\n\n"
_BLANK = re.compile(rb"\r?\n\r?\n")


async def split(pieces: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    """Yield each event's bytes as soon as its blank line is there. Raises BackendInvalid beyond the limits."""
    buffer = bytearray()
    total = 0
    async for piece in pieces:
        total += len(piece)
        if total > STREAM_BYTES_MAX:
            raise BackendInvalid(f"The backend's stream is larger than {STREAM_BYTES_MAX} bytes.")
        # Blank lines before the piece were found already; three bytes of one may have come before it.
        searched = max(0, len(buffer) - 3)
        buffer += piece
        start = 0
        while found := _BLANK.search(buffer, max(start, searched)):
            yield bytes(buffer[start : found.start()])
            start = found.end()
        del buffer[:start]
        if len(buffer) > EVENT_BYTES_MAX:
            raise BackendInvalid(
                f"One event of the backend's stream is larger than {EVENT_BYTES_MAX} bytes."
            )
    if buffer.strip():
        yield bytes(buffer)


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
    return (
        b"data: " + json.dumps(chunk, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"
    )


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

    def read(self, event: bytes) -> bytes | None:
        """Return the event to send on, or None. Raises BackendInvalid for what is not the protocol."""
        data = data_of(event)
        if data is None:
            return PING
        if data.strip() == b"[DONE]":
            self.done = True
            return None
        chunk = _chunk(data)
        chunk["model"] = self.name
        chunk.pop("timings", None)
        usage = chunk.get("usage")
        if isinstance(usage, dict):
            self.usage = usage
        if not self.usage_wanted:
            chunk.pop("usage", None)
        for choice in chunk["choices"]:
            self._note(choice)
        if not chunk["choices"] and not self.usage_wanted:
            return None
        return encode(chunk)

    def _note(self, choice: Any) -> None:
        if not isinstance(choice, dict) or not isinstance(choice.get("delta", {}), dict):
            raise BackendInvalid("A choice in the backend's stream is not an object with a delta.")
        if choice.get("finish_reason"):
            self.finished = True
        delta = choice.get("delta") or {}
        if delta.get("content") or delta.get("reasoning_content") or delta.get("tool_calls"):
            self.pieces += 1


def _chunk(data: bytes) -> dict[str, Any]:
    try:
        chunk: Any = json.loads(data)
    except (ValueError, RecursionError):
        raise BackendInvalid("An event of the backend's stream is not JSON.") from None
    if not isinstance(chunk, dict):
        raise BackendInvalid("An event of the backend's stream is not an object.")
    if "error" in chunk:
        raise BackendInvalid("The backend reported an error in the middle of its stream.")
    if not isinstance(chunk.get("choices"), list):
        raise BackendInvalid("An event of the backend's stream has no choices.")
    return chunk
