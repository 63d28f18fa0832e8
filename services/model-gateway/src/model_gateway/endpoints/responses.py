"""`/v1/responses`, of which nothing is kept: every way is asked by chat, and its answer told in this API's words.

llama.cpp and vLLM speak it in part and each in its own way; a chat they all speak, and so does a provider whose
protocol is another. One translation, here, is the same for all of them.
"""

import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

from kit.errors import KitError
from starlette.requests import Request

from model_gateway import sse
from model_gateway.body import Fields, read_json, to_json
from model_gateway.catalogue import Model
from model_gateway.endpoint import Answer, Ask, Endpoint, Form, Outgoing, Tally, Whole
from model_gateway.endpoints.chat import Chat, ChatAsk
from model_gateway.endpoints.fields import DROPPED_FIELDS, extra_fields, refuse_unknown
from model_gateway.endpoints.relay import check_stream, ended
from model_gateway.endpoints.response_events import Events
from model_gateway.endpoints.response_items import chat_fields
from model_gateway.endpoints.response_made import Made, items_of, usage_of
from model_gateway.errors import BackendFailed, BackendInvalid, NotKept, RequestInvalid
from model_gateway.pictures import BODY_BYTES_MAX
from model_gateway.ways import Way

RESPONSE_FIELDS = frozenset(
    {
        "background",
        "conversation",
        "include",
        "input",
        "instructions",
        "max_output_tokens",
        "max_tool_calls",
        "model",
        "parallel_tool_calls",
        "previous_response_id",
        "prompt",
        "prompt_cache_retention",
        "reasoning",
        "service_tier",
        "stream",
        "stream_options",
        "temperature",
        "text",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "truncation",
    }
)
# Each would need that an earlier response had been kept, or that this one is.
_KEPT = ("previous_response_id", "conversation", "prompt", "background")


@dataclass(frozen=True)
class ResponseAsk(Ask):
    """A checked request, and the chat that is asked in its place."""

    chat: ChatAsk | None = None


class Responses(Endpoint[ResponseAsk]):
    """The Responses API without a memory."""

    path = "/responses"
    kinds = frozenset({"chat"})
    body_bytes_max = BODY_BYTES_MAX

    def __init__(self) -> None:
        self._chat = Chat()

    async def receive(self, request: Request) -> Form:
        """Return the body. Raises RequestInvalid, or BodyTooLarge for more text than a request may have."""
        return await self._chat.receive(request)

    def read(self, form: Form, model: Model) -> ResponseAsk:
        """Return the checked request. Raises RequestInvalid or NotKept."""
        fields = form.fields
        extra = extra_fields(model)
        refuse_unknown(fields, RESPONSE_FIELDS | DROPPED_FIELDS | extra)
        _refuse_kept(fields)
        chat = chat_fields(fields)
        chat |= {key: fields[key] for key in extra - RESPONSE_FIELDS if key in fields}
        chat_form = Form({**chat, "model": fields.get("model")}, pictures=form.pictures)
        asked = self._chat.read(chat_form, model)
        return ResponseAsk(form, asked.needs, asked.stream, chat=asked)

    def outgoing(self, ask: ResponseAsk, way: Way) -> Outgoing:
        """Return the chat that is asked instead."""
        return self._chat.outgoing(_chat(ask), way)

    async def whole(self, ask: ResponseAsk, way: Way, answer: Answer, tally: Tally) -> Whole:
        """Return the response. Raises BackendInvalid."""
        reply = await read_json(answer.pieces())
        choices = reply.get("choices")
        if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
            raise BackendInvalid("The backend's answer has no choices.")
        tally.take(reply.get("usage"))
        made = _made(ask, way)
        made.finish = choices[0].get("finish_reason")
        made.usage = usage_of(reply.get("usage"))
        made.items = items_of(choices[0].get("message"), made.status)
        return Whole(to_json(made.object(made.status)))

    async def stream(
        self, ask: ResponseAsk, way: Way, answer: Answer, tally: Tally
    ) -> AsyncGenerator[bytes]:
        """Yield the API's events. Raises BackendFailed or BackendInvalid when the chat breaks off."""
        check_stream(answer)
        events = Events(_made(ask, way))
        reader = sse.Reader(way.model, usage_wanted=True)
        try:
            async for event in sse.split(answer.pieces()):
                chunk = reader.parse(event)
                tally.pieces = reader.pieces
                if reader.usage is not None:
                    tally.take(reader.usage)
                if reader.done:
                    break
                if chunk is None:
                    yield sse.PING
                elif out := events.take(chunk):
                    yield out
            ended(reader)
        except Exception as error:
            # Whatever it is: a client that heard of the response hears that it failed.
            known = error if isinstance(error, KitError) else BackendFailed()
            if events.begun:
                yield events.fail(known.code, known.reason)
            raise
        yield events.end()

    def broken(self, error: KitError) -> bytes | None:
        """Return the API's last event of a stream that broke off."""
        said: Fields = {
            "type": "error",
            "sequence_number": 0,
            "code": error.code,
            "message": error.reason,
            "param": None,
        }
        return sse.encode_named("error", {**said, **error.body()})


def _refuse_kept(fields: Fields) -> None:
    kept = [name for name in _KEPT if fields.get(name)]
    if fields.get("store") is True:
        kept.append("store")
    if kept:
        raise NotKept(f"`{kept[0]}` needs a response that is kept, and none is.")
    if fields.get("include"):
        raise RequestInvalid("`include` asks for what is not there: leave it out.")
    if fields.get("top_logprobs"):
        raise RequestInvalid("`top_logprobs` is not given here: leave it out.")
    if fields.get("truncation") not in (None, "disabled"):
        raise RequestInvalid("`truncation` is disabled here: nothing is cut silently.")


def _chat(ask: ResponseAsk) -> ChatAsk:
    if ask.chat is None:
        raise RuntimeError("a response that was read has its chat")
    return ask.chat


def _made(ask: ResponseAsk, way: Way) -> Made:
    asked: dict[str, Any] = ask.form.fields
    return Made(asked, way.model, int(time.time()))
