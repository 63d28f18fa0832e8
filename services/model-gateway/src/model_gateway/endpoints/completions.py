"""`/v1/completions`: text that goes on where the prompt ends. For models without a chat template, and for filling in."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from model_gateway import sse
from model_gateway.body import read_json, to_json
from model_gateway.catalogue import Model
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
    needed_text,
    read_stream,
    refuse_unknown,
    text_of,
    usage_wanted,
)
from model_gateway.endpoints.relay import relay
from model_gateway.errors import BackendInvalid, ModelUnable, RequestInvalid
from model_gateway.ways import Needs, Way, output_limit

COMPLETION_FIELDS = frozenset(
    {
        "best_of",
        "echo",
        "frequency_penalty",
        "logit_bias",
        "logprobs",
        "max_tokens",
        "model",
        "n",
        "presence_penalty",
        "prompt",
        "seed",
        "stop",
        "stream",
        "stream_options",
        "suffix",
        "temperature",
        "top_p",
    }
)
PROMPT_CHARS_MAX = 1024 * 1024


@dataclass(frozen=True)
class CompletionAsk(Ask):
    """A checked request for a completion."""

    prompt: str = ""
    usage_wanted: bool = False


class Completions(Endpoint[CompletionAsk]):
    """A prompt goes on, whole or as a stream."""

    path = "/completions"
    kinds = frozenset({"completions", "chat"})

    def read(self, form: Form, model: Model) -> CompletionAsk:
        """Return the checked request. Raises RequestInvalid."""
        fields = form.fields
        refuse_unknown(fields, COMPLETION_FIELDS | DROPPED_FIELDS | extra_fields(model))
        given = fields.get("prompt")
        if isinstance(given, list) and len(given) == 1:
            given = given[0]
        if not isinstance(given, str):
            raise RequestInvalid(
                "`prompt` is not one text. Several, or lists of token numbers, are not taken."
            )
        prompt = needed_text({"prompt": given}, "prompt", PROMPT_CHARS_MAX)
        suffix = text_of(fields, "suffix", PROMPT_CHARS_MAX) or ""
        for name in ("n", "best_of"):
            if fields.get(name) not in (None, 1):
                raise RequestInvalid(f"`{name}` is not 1. One answer is given at a time.")
        needs = Needs(
            prompt_chars=len(prompt) + len(suffix),
            output_tokens=asked_tokens(fields, "max_tokens"),
        )
        return CompletionAsk(
            form, needs, read_stream(fields), prompt=prompt, usage_wanted=usage_wanted(fields)
        )

    def outgoing(self, ask: CompletionAsk, way: Way) -> Outgoing:
        """Return the request under the way's name for the model, bounded. Raises ModelUnable."""
        if way.protocol != "openai":
            raise ModelUnable(f"{way.model} only chats: there is no bare completion on its way.")
        payload = {
            key: value
            for key, value in ask.form.fields.items()
            if (key in COMPLETION_FIELDS or key in way.extra_fields) and key != "stream_options"
        }
        payload["model"] = way.upstream_name
        payload["prompt"] = ask.prompt
        # Without a bound a small model that loses its thread writes until its context is full.
        payload["max_tokens"] = ask.needs.output_tokens or output_limit(way)
        if ask.stream and way.stream_usage:
            payload["stream_options"] = {"include_usage": True}
        accept = STREAM_TYPE if ask.stream else JSON_TYPE
        return Outgoing(self.path, to_json(payload), accept=accept)

    async def whole(self, ask: CompletionAsk, way: Way, answer: Answer, tally: Tally) -> Whole:
        """Return the answer under the house's name for the model. Raises BackendInvalid."""
        reply = await read_json(answer.pieces())
        choices = reply.get("choices")
        if not isinstance(choices, list) or not choices:
            raise BackendInvalid("The backend's answer has no choices.")
        if not all(isinstance(one, dict) and isinstance(one.get("text"), str) for one in choices):
            raise BackendInvalid("A choice of the backend's answer has no text.")
        tally.take(reply.get("usage"))
        reply.pop("timings", None)
        return Whole(to_json({**reply, "model": way.model}))

    def stream(
        self, ask: CompletionAsk, way: Way, answer: Answer, tally: Tally
    ) -> AsyncGenerator[bytes]:
        """Yield the chunks as they come, and `[DONE]` at the end of a whole answer alone."""
        return relay(sse.Reader(way.model, ask.usage_wanted), answer, tally)
