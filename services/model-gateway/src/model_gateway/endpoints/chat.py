"""`/v1/chat/completions`: whole answers, and streams of OpenAI's chunks."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any, cast

from starlette.requests import Request

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
from model_gateway.endpoints.fields import (
    DROPPED_FIELDS,
    asked_tokens,
    extra_fields,
    read_stream,
    refuse_unknown,
    usage_wanted,
)
from model_gateway.endpoints.relay import relay
from model_gateway.errors import BackendInvalid, RequestInvalid
from model_gateway.pictures import BODY_BYTES_MAX, receive_pictured
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
MESSAGES_MAX = 512


@dataclass(frozen=True)
class ChatAsk(Ask):
    """A checked chat request."""

    usage_wanted: bool = False


class Chat(Endpoint[ChatAsk]):
    """Chat, with tools, JSON schemas and pictures where the way can."""

    path = "/chat/completions"
    kinds = frozenset({"chat"})
    body_bytes_max = BODY_BYTES_MAX

    async def receive(self, request: Request) -> Form:
        """Return the body. Raises RequestInvalid, or BodyTooLarge for more text than a request may have."""
        fields, pictures = await receive_pictured(request)
        return Form(fields, pictures=pictures)

    def read(self, form: Form, model: Model) -> ChatAsk:
        """Return the checked request. Raises RequestInvalid."""
        fields = form.fields
        refuse_unknown(fields, CHAT_FIELDS | DROPPED_FIELDS | extra_fields(model))
        found = _check_messages(fields.get("messages"))
        if fields.get("n", 1) != 1:
            raise RequestInvalid("`n` is not 1. One answer is given at a time.")
        skills: set[Skill] = set()
        if found.pictures:
            skills.add("vision")
        if fields.get("tools"):
            skills.add("tools")
        shape = fields.get("response_format")
        if isinstance(shape, dict) and cast("Fields", shape).get("type") == "json_schema":
            skills.add("json_schema")
        needs = Needs(
            prompt_chars=found.chars,
            pictures=found.pictures,
            fetched=found.fetched,
            output_tokens=asked_tokens(fields, "max_completion_tokens", "max_tokens"),
            skills=frozenset(skills),
        )
        return ChatAsk(form, needs, read_stream(fields), usage_wanted=usage_wanted(fields))

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
        body, pictures = to_json(payload), ask.form.pictures
        if pictures is None:
            return Outgoing(self.path, body, accept=accept)
        headers = pictures.headers(body)
        return Outgoing(self.path, body, accept=accept, headers=headers, pictures=pictures)

    async def whole(self, ask: ChatAsk, way: Way, answer: Answer, tally: Tally) -> Whole:
        """Return the answer under the house's name for the model. Raises BackendInvalid."""
        reply = await read_json(answer.pieces())
        if not isinstance(reply.get("choices"), list) or not reply["choices"]:
            raise BackendInvalid("The backend's answer has no choices.")
        tally.take(reply.get("usage"))
        reply.pop("timings", None)
        return Whole(to_json({**reply, "model": way.model}))

    def stream(self, ask: ChatAsk, way: Way, answer: Answer, tally: Tally) -> AsyncGenerator[bytes]:
        """Yield the chunks as they come, and `[DONE]` at the end of a whole answer alone."""
        return relay(sse.Reader(way.model, ask.usage_wanted), answer, tally)


@dataclass
class _Content:
    """What messages hold: characters of text, pictures, and whether something has to be fetched from elsewhere."""

    chars: int = 0
    pictures: int = 0
    fetched: bool = False


def _check_messages(messages: Any) -> _Content:
    """Return what is in them. Raises RequestInvalid."""
    if not isinstance(messages, list) or not messages:
        raise RequestInvalid("`messages` is not a non-empty list.")
    if len(messages) > MESSAGES_MAX:
        raise RequestInvalid(f"`messages` has more than {MESSAGES_MAX} entries.")
    found = _Content()
    for index, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise RequestInvalid(f"`messages[{index}]` is not an object with a role.")
        _look(found, message.get("content"), index)
    return found


def _look(found: _Content, content: Any, index: int) -> None:
    # None belongs to an assistant's message that only calls tools; a list has typed parts.
    if content is None:
        return
    if isinstance(content, str):
        found.chars += len(content)
        return
    if not isinstance(content, list) or not all(isinstance(part, dict) for part in content):
        raise RequestInvalid(f"`messages[{index}].content` is neither a text nor a list of parts.")
    for part in cast("list[Fields]", content):
        text, kind = part.get("text"), str(part.get("type"))
        found.chars += len(text) if isinstance(text, str) else 0
        found.pictures += kind == "image_url"
        if kind.endswith("_url"):
            said: Any = part.get(kind)
            url = cast("Fields", said).get("url") if isinstance(said, dict) else said
            found.fetched |= not (isinstance(url, str) and url.startswith("data:"))
