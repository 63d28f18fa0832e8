"""`/v1/chat/completions`: whole answers, and streams of OpenAI's chunks."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any, cast

from model_gateway import sse
from model_gateway.body import Fields, read_json, to_json
from model_gateway.catalogue import Model, Skill
from model_gateway.endpoint import (
    JSON_TYPE,
    STREAM_TYPE,
    Answer,
    Ask,
    Endpoint,
    Form,
    Outgoing,
    Tally,
    Whole,
)
from model_gateway.errors import BackendFailed, BackendInvalid, RequestInvalid
from model_gateway.ways import Needs, Way, output_limit

# OpenAI's fields that say what to answer. `user`, `metadata` and `store` are left out: they tell a provider who asks.
CHAT_FIELDS = frozenset(
    {
        "frequency_penalty",
        "logit_bias",
        "logprobs",
        "max_completion_tokens",
        "max_tokens",
        "messages",
        "model",
        "n",
        "parallel_tool_calls",
        "presence_penalty",
        "reasoning_effort",
        "response_format",
        "seed",
        "stop",
        "stream",
        "stream_options",
        "temperature",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
    }
)
DROPPED_FIELDS = frozenset({"user", "metadata", "store", "safety_identifier", "prompt_cache_key"})
MESSAGES_MAX = 512


@dataclass(frozen=True)
class ChatAsk(Ask):
    """A checked chat request."""

    usage_wanted: bool = False


class Chat(Endpoint[ChatAsk]):
    """Chat, with tools, JSON schemas and pictures where the way can."""

    path = "/chat/completions"
    kinds = frozenset({"chat"})

    def read(self, form: Form, model: Model) -> ChatAsk:
        """Return the checked request. Raises RequestInvalid."""
        fields = form.fields
        refuse_unknown(fields, CHAT_FIELDS | DROPPED_FIELDS | extra_fields(model))
        chars, pictures = _check_messages(fields.get("messages"))
        if fields.get("n", 1) != 1:
            raise RequestInvalid("`n` is not 1. One answer is given at a time.")
        options = fields.get("stream_options") or {}
        if not isinstance(options, dict):
            raise RequestInvalid("`stream_options` is not an object.")
        skills: set[Skill] = set()
        if pictures:
            skills.add("vision")
        if fields.get("tools"):
            skills.add("tools")
        shape = fields.get("response_format")
        if isinstance(shape, dict) and cast("Fields", shape).get("type") == "json_schema":
            skills.add("json_schema")
        needs = Needs(
            prompt_chars=chars,
            output_tokens=asked_tokens(fields, "max_completion_tokens", "max_tokens"),
            skills=frozenset(skills),
        )
        wanted = bool(cast("Fields", options).get("include_usage"))
        return ChatAsk(form, needs, read_stream(fields), usage_wanted=wanted)

    def outgoing(self, ask: ChatAsk, way: Way) -> Outgoing:
        """Return the request under the way's name for the model, bounded, and with its usage asked for."""
        fields = ask.form.fields
        payload = {
            key: value
            for key, value in fields.items()
            if key in CHAT_FIELDS or key in way.extra_fields
        }
        payload["model"] = way.upstream_name
        for key in ("max_completion_tokens", "max_tokens", "stream_options"):
            payload.pop(key, None)
        # Without a bound a small model that loses its thread writes until its context is full.
        payload[way.tokens_field] = ask.needs.output_tokens or output_limit(way)
        if ask.stream and way.stream_usage:
            payload["stream_options"] = {"include_usage": True}
        accept = STREAM_TYPE if ask.stream else JSON_TYPE
        return Outgoing(self.path, to_json(payload), accept=accept)

    async def whole(self, ask: ChatAsk, way: Way, answer: Answer, tally: Tally) -> Whole:
        """Return the answer under the house's name for the model. Raises BackendInvalid."""
        reply = await read_json(answer.pieces())
        if not isinstance(reply.get("choices"), list) or not reply["choices"]:
            raise BackendInvalid("The backend's answer has no choices.")
        tally.take(reply.get("usage"))
        reply.pop("timings", None)
        return Whole(to_json({**reply, "model": way.model}))

    async def stream(
        self, ask: ChatAsk, way: Way, answer: Answer, tally: Tally
    ) -> AsyncGenerator[bytes]:
        """Yield the chunks as they come, and `[DONE]` at the end of a whole answer alone."""
        if not answer.content_type.startswith(STREAM_TYPE):
            raise BackendInvalid("The backend answered a streaming request without a stream.")
        reader = sse.Reader(way.model, ask.usage_wanted)
        async for event in sse.split(answer.pieces()):
            out = reader.read(event)
            tally.pieces = reader.pieces
            if reader.usage is not None:
                tally.take(reader.usage)
            if out is not None:
                yield out
            if reader.done:
                break
        if not (reader.done or reader.finished):
            raise BackendFailed("The backend stopped in the middle of its answer.")
        yield sse.DONE


def extra_fields(model: Model) -> frozenset[str]:
    """Return the fields beside OpenAI's that at least one way of the model takes."""
    lists = [model.extra_fields, *(leg.extra_fields for leg in model.legs)]
    return frozenset(name for names in lists for name in names or ())


def refuse_unknown(fields: Fields, known: frozenset[str]) -> None:
    """Return if every field is known. Raises RequestInvalid."""
    unknown = sorted(key for key in fields if key not in known)
    if unknown:
        raise RequestInvalid(
            f"Unknown fields: {', '.join(key[:40] for key in unknown[:5])}.",
            fix="Leave them out, or list them in the model's extra_fields.",
        )


def read_stream(fields: Fields) -> bool:
    """Return whether the answer is wanted while it is made. Raises RequestInvalid."""
    stream = fields.get("stream") or False
    if not isinstance(stream, bool):
        raise RequestInvalid("`stream` is neither true nor false.")
    return stream


def asked_tokens(fields: Fields, *names: str) -> int | None:
    """Return the smallest of the named limits on the answer's length, if there is one. Raises RequestInvalid."""
    asked = [fields[name] for name in names if fields.get(name) is not None]
    for number in asked:
        if not isinstance(number, int) or isinstance(number, bool) or number < 1:
            raise RequestInvalid(f"`{names[-1]}` is not a positive number.")
    return min(asked, default=None)


def _check_messages(messages: Any) -> tuple[int, int]:
    """Return the characters of text and the number of pictures. Raises RequestInvalid."""
    if not isinstance(messages, list) or not messages:
        raise RequestInvalid("`messages` is not a non-empty list.")
    if len(messages) > MESSAGES_MAX:
        raise RequestInvalid(f"`messages` has more than {MESSAGES_MAX} entries.")
    chars, pictures = 0, 0
    for index, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise RequestInvalid(f"`messages[{index}]` is not an object with a role.")
        text, seen = _content(message.get("content"), index)
        chars, pictures = chars + text, pictures + seen
    return chars, pictures


def _content(content: Any, index: int) -> tuple[int, int]:
    # None belongs to an assistant's message that only calls tools; a list has typed parts.
    if content is None:
        return 0, 0
    if isinstance(content, str):
        return len(content), 0
    if isinstance(content, list) and all(isinstance(part, dict) for part in content):
        parts = cast("list[Fields]", content)
        chars = sum(len(part["text"]) for part in parts if isinstance(part.get("text"), str))
        return chars, sum(part.get("type") == "image_url" for part in parts)
    raise RequestInvalid(f"`messages[{index}].content` is neither a text nor a list of parts.")
