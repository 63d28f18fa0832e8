"""What may be asked of which model. Pure: no I/O, no clock.

`choose` decides in this order:
1. the model's name is known, and of the kind that was asked;
2. neither the model nor its backend is switched off;
3. the backend may see text of the request's tier; where it may not, the model that the file names for private text
   is asked instead, and where there is none the request is refused.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from model_gateway.catalogue import TIERS, Backend, Catalogue, Model, Tier
from model_gateway.errors import (
    ModelOff,
    ModelUnknown,
    PromptTooLong,
    RequestInvalid,
    TierRefused,
    TooManyTokens,
)

Kind = Literal["chat", "embeddings"]
Fields = dict[str, Any]

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
EMBEDDING_FIELDS = frozenset({"model", "input", "encoding_format", "dimensions"})
MESSAGES_MAX = 512
# A prompt of more characters than this per token of context cannot fit; the exact count is the backend's to make.
CHARS_PER_TOKEN_MAX = 8


@dataclass(frozen=True)
class Route:
    """Where a request goes."""

    name: str
    model: Model
    backend_name: str
    backend: Backend

    @property
    def upstream_name(self) -> str:
        """The model's name on the backend."""
        return self.model.upstream_name or self.name


@dataclass(frozen=True)
class ChatAsk:
    """A checked chat request, as it will be sent."""

    payload: Fields
    stream: bool
    usage_wanted: bool


@dataclass(frozen=True)
class EmbedAsk:
    """A checked embeddings request, as it will be sent."""

    payload: Fields
    inputs: int
    base64: bool


def read_tier(headers: Sequence[str]) -> Tier:
    """Return the most private tier in a request. A caller that says nothing is taken to say `sacred`."""
    if not headers:
        return "sacred"
    # Two values that differ would be read differently by whoever stands between: refused like a wrong one.
    header = headers[0] if len(headers) == 1 else ""
    if header not in TIERS:
        raise RequestInvalid(f"X-Lares-Max-Tier is none of {', '.join(TIERS)}.")
    return header


def is_off(name: str, model: Model, backend: Backend, disabled: Collection[str]) -> bool:
    """Return whether the file or the off switch has turned this model off."""
    if not (model.enabled and backend.enabled):
        return True
    if "outside" in disabled and not backend.in_house:
        return True
    return any(word in disabled for word in ("all", name, model.backend))


def choose(
    catalogue: Catalogue, name: Any, kind: Kind, tier: Tier, disabled: Collection[str]
) -> Route:
    """Return where the request goes. Raises ModelUnknown, ModelOff or TierRefused."""
    if not isinstance(name, str) or not name:
        raise RequestInvalid("`model` is missing.")
    model = catalogue.models.get(name)
    if model is None or model.kind != kind:
        known = ", ".join(
            sorted(other for other, entry in catalogue.models.items() if entry.kind == kind)
        )
        raise ModelUnknown(f"There is no {kind} model of that name. There are: {known or 'none'}.")
    backend = catalogue.backends[model.backend]
    if is_off(name, model, backend, disabled):
        raise ModelOff(f"The model {name} is switched off.")
    if TIERS.index(tier) > TIERS.index(backend.tier_limit):
        if model.when_private is not None:
            return choose(catalogue, model.when_private, kind, tier, disabled)
        raise TierRefused(
            f"The model {name} may be shown text up to the tier {backend.tier_limit}; this request is {tier}."
        )
    return Route(name, model, model.backend, backend)


def read_chat(fields: Fields, route: Route) -> ChatAsk:
    """Return the request to send to the backend. Raises RequestInvalid, TooManyTokens or PromptTooLong."""
    _refuse_unknown(fields, CHAT_FIELDS | DROPPED_FIELDS | frozenset(route.model.extra_fields))
    _check_messages(fields.get("messages"), route.model)
    if fields.get("n", 1) != 1:
        raise RequestInvalid("`n` is not 1. One answer is given at a time.")
    stream = fields.get("stream") or False
    if not isinstance(stream, bool):
        raise RequestInvalid("`stream` is neither true nor false.")
    payload = {key: value for key, value in fields.items() if key not in DROPPED_FIELDS}
    payload["model"] = route.upstream_name
    _bound_tokens(payload, route.model)
    options: Any = payload.pop("stream_options", None) or {}
    if not isinstance(options, dict):
        raise RequestInvalid("`stream_options` is not an object.")
    usage_wanted = bool(cast("Fields", options).get("include_usage"))
    if stream and route.backend.stream_usage:
        payload["stream_options"] = {"include_usage": True}
    return ChatAsk(payload, stream, usage_wanted)


def read_embeddings(fields: Fields, route: Route) -> EmbedAsk:
    """Return the request to send to the backend. Raises RequestInvalid or PromptTooLong."""
    _refuse_unknown(fields, EMBEDDING_FIELDS | DROPPED_FIELDS)
    given = fields.get("input")
    texts: list[Any] = (
        [given] if isinstance(given, str) else given if isinstance(given, list) else []
    )
    if not texts or not all(isinstance(text, str) and text.strip() for text in texts):
        raise RequestInvalid(
            "`input` is not a non-empty text or a list of them. Lists of token numbers are not taken."
        )
    if len(texts) > route.model.inputs_max:
        raise RequestInvalid(
            f"`input` has {len(texts)} texts; {route.name} takes at most {route.model.inputs_max} at once."
        )
    encoding = fields.get("encoding_format") or "float"
    if encoding not in ("float", "base64"):
        raise RequestInvalid("`encoding_format` is neither float nor base64.")
    wanted = fields.get("dimensions")
    if wanted is not None and wanted != route.model.dimensions:
        raise RequestInvalid(
            f"`dimensions` of {route.name} is {route.model.dimensions} and cannot be changed."
        )
    payload: Fields = {"model": route.upstream_name, "input": texts, "encoding_format": encoding}
    return EmbedAsk(payload, len(texts), encoding == "base64")


def _refuse_unknown(fields: Fields, known: frozenset[str]) -> None:
    unknown = sorted(key for key in fields if key not in known)
    if unknown:
        raise RequestInvalid(
            f"Unknown fields: {', '.join(key[:40] for key in unknown[:5])}.",
            fix="Leave them out, or list them in the model's extra_fields.",
        )


def _check_messages(messages: Any, model: Model) -> None:
    if not isinstance(messages, list) or not messages:
        raise RequestInvalid("`messages` is not a non-empty list.")
    if len(messages) > MESSAGES_MAX:
        raise RequestInvalid(f"`messages` has more than {MESSAGES_MAX} entries.")
    chars = 0
    for index, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise RequestInvalid(f"`messages[{index}]` is not an object with a role.")
        chars += _content_chars(message.get("content"), index)
    if chars > model.context_tokens * CHARS_PER_TOKEN_MAX:
        raise PromptTooLong(
            f"The prompt has {chars} characters; the model's context is {model.context_tokens} tokens."
        )


def _content_chars(content: Any, index: int) -> int:
    # None belongs to an assistant's message that only calls tools; a list has typed parts.
    if content is None:
        return 0
    if isinstance(content, str):
        return len(content)
    if isinstance(content, list) and all(isinstance(part, dict) for part in content):
        return sum(len(part["text"]) for part in content if isinstance(part.get("text"), str))
    raise RequestInvalid(f"`messages[{index}].content` is neither a text nor a list of parts.")


def _bound_tokens(payload: Fields, model: Model) -> None:
    limit = min(model.output_tokens_max, model.context_tokens)
    wanted = [payload.pop(key, None) for key in ("max_completion_tokens", "max_tokens")]
    asked = [number for number in wanted if number is not None]
    for number in asked:
        if not isinstance(number, int) or isinstance(number, bool) or number < 1:
            raise RequestInvalid("`max_tokens` is not a positive number.")
        if number > limit:
            raise TooManyTokens(
                f"{number} tokens are asked for; this model answers with at most {limit}."
            )
    # Without a bound a small model that loses its thread writes until its context is full.
    payload[model.tokens_field] = min(asked, default=limit)
