"""A streamed chat as the events of the Responses API. Pure but for the ids it draws.

An item is opened when its first piece comes and closed when another begins or the stream ends: items never overlap.
"""

from collections.abc import Iterator
from typing import Any

from model_gateway import sse
from model_gateway.body import Fields
from model_gateway.endpoints.response_made import (
    Made,
    call_item,
    message_item,
    new_id,
    reasoning_item,
    text_part,
    usage_of,
)
from model_gateway.errors import BackendInvalid

OUTPUT_CHARS_MAX = 16 * 1024 * 1024
CALLS_MAX = 256
# Kind of part -> its key, its event's name.
_PARTS = {
    "output_text": ("text", "response.output_text"),
    "reasoning_text": ("text", "response.reasoning_text"),
    "refusal": ("refusal", "response.refusal"),
}


class Events:
    """Takes a chat's chunks and gives events, encoded."""

    def __init__(self, made: Made) -> None:
        self.made = made
        self._sequence = 0
        self.begun = False  # the client has heard of the response
        self._open: Fields | None = None  # the item that is being written, the last of the output
        self._text: list[str] = []  # of its open part, or its arguments
        self._part: str | None = None  # the open part's kind
        self._call: Any = None  # the chat's index of the open call
        self._chars = 0

    def take(self, chunk: Fields) -> bytes:
        """Return the events that a chunk means. Raises BackendInvalid."""
        out = [*self.begin()]
        if (usage := usage_of(chunk.get("usage"))) is not None:
            self.made.usage = usage
        for choice in chunk["choices"]:
            out += self._choice(choice)
        return b"".join(out)

    def begin(self) -> Iterator[bytes]:
        """Yield the first two events, once."""
        if not self.begun:
            self.begun = True
            for name in ("response.created", "response.in_progress"):
                yield self._event(name, response=self.made.object("in_progress"))

    def end(self) -> bytes:
        """Return what closes the stream as it should end."""
        out = [*self.begin(), *self._close(self.made.status)]
        if not self.made.items:
            # An answer without a word is a message without one.
            out += [*self._into("output_text", "message"), *self._close(self.made.status)]
        name = f"response.{self.made.status}"
        out.append(self._event(name, response=self.made.object(self.made.status)))
        return b"".join(out)

    def fail(self, code: str, reason: str) -> bytes:
        """Return what says that the response broke off; what was said of it so far stays in it."""
        out = [*self.begin(), *self._close("incomplete")]
        error = {"code": "server_error", "message": f"{code}: {reason}"}
        out.append(self._event("response.failed", response=self.made.object("failed", error)))
        return b"".join(out)

    def _choice(self, choice: Fields) -> Iterator[bytes]:
        delta: Fields = choice.get("delta") or {}
        for key, kind, item in (
            ("reasoning_content", "reasoning_text", "reasoning"),
            ("content", "output_text", "message"),
            ("refusal", "refusal", "message"),
        ):
            text = delta.get(key)
            if isinstance(text, str) and text:
                yield from self._into(kind, item)
                yield self._piece(f"{_PARTS[kind][1]}.delta", text)
        for call in delta.get("tool_calls") or []:
            yield from self._called(call)
        if choice.get("finish_reason"):
            self.made.finish = str(choice["finish_reason"])

    def _into(self, kind: str, item_type: str) -> Iterator[bytes]:
        """Make a part of that kind the open one."""
        if self._part == kind:
            return
        if self._open is None or self._open["type"] != item_type:
            yield from self._close("completed")
            new = reasoning_item() if item_type == "reasoning" else message_item("in_progress")
            yield self._add(new)
        else:
            yield from self._close_part()
        self._part = kind
        yield self._event(
            "response.content_part.added", **self._where(part=True), part=_part(kind, "")
        )

    def _called(self, call: Any) -> Iterator[bytes]:
        if not isinstance(call, dict):
            raise BackendInvalid("A tool call of the backend is not an object.")
        function = call.get("function") or {}
        index = call.get("index", 0)
        opened = self._open is not None and self._open["type"] == "function_call"
        if not opened or index != self._call:
            name = function.get("name")
            if not isinstance(name, str) or not name:
                raise BackendInvalid("A tool call of the backend has no name.")
            if len(self.made.items) >= CALLS_MAX:
                raise BackendInvalid("The backend calls too many tools at once.")
            yield from self._close("completed")
            self._call = index
            yield self._add(
                call_item(str(call.get("id") or new_id("call")), name, "", "in_progress")
            )
        arguments = function.get("arguments")
        if isinstance(arguments, str) and arguments:
            yield self._piece("response.function_call_arguments.delta", arguments)

    def _add(self, item: Fields) -> bytes:
        self.made.items.append(item)
        self._open = item
        self._text = []
        return self._event("response.output_item.added", output_index=self._at, item=item)

    def _piece(self, name: str, text: str) -> bytes:
        self._chars += len(text)
        if self._chars > OUTPUT_CHARS_MAX:
            raise BackendInvalid("The backend's answer never ends.")
        self._text.append(text)
        more: Fields = {"logprobs": []} if name == "response.output_text.delta" else {}
        return self._event(name, **self._where(part=self._part is not None), delta=text, **more)

    def _close_part(self) -> Iterator[bytes]:
        if self._part is None or self._open is None:
            return
        text, kind = "".join(self._text), self._part
        key, name = _PARTS[kind]
        more: Fields = {"logprobs": []} if kind == "output_text" else {}
        where = self._where(part=True)
        yield self._event(f"{name}.done", **where, **{key: text}, **more)
        part = _part(kind, text)
        yield self._event("response.content_part.done", **where, part=part)
        self._open["content"].append(part)
        self._part, self._text = None, []

    def _close(self, status: str) -> Iterator[bytes]:
        """Close the open item, if there is one."""
        item = self._open
        if item is None:
            return
        yield from self._close_part()
        if item["type"] == "function_call":
            item["arguments"] = "".join(self._text)
            yield self._event(
                "response.function_call_arguments.done",
                **self._where(part=False),
                name=item["name"],
                arguments=item["arguments"],
            )
        if "status" in item:
            item["status"] = status
        yield self._event("response.output_item.done", output_index=self._at, item=item)
        self._open, self._text, self._call = None, [], None

    @property
    def _at(self) -> int:
        return len(self.made.items) - 1

    def _where(self, *, part: bool) -> Fields:
        where: Fields = {"item_id": self.made.items[-1]["id"], "output_index": self._at}
        if part and self._open is not None:
            where["content_index"] = len(self._open["content"])
        return where

    def _event(self, name: str, /, **data: Any) -> bytes:
        event = {"type": name, "sequence_number": self._sequence, **data}
        self._sequence += 1
        return sse.encode_named(name, event)


def _part(kind: str, text: str) -> Fields:
    return text_part(text) if kind == "output_text" else {"type": kind, _PARTS[kind][0]: text}
