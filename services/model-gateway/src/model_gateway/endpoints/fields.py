"""What several addresses read alike from a request's fields."""

from collections.abc import Mapping
from typing import Any

from model_gateway.body import Fields
from model_gateway.catalogue import Model
from model_gateway.errors import RequestInvalid

# They tell a provider who asks, or where to keep the answer: taken, and never sent on.
DROPPED_FIELDS = frozenset({"user", "metadata", "store", "safety_identifier", "prompt_cache_key"})


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


def usage_wanted(fields: Fields) -> bool:
    """Return whether a stream is to end with its usage. Raises RequestInvalid."""
    options = fields.get("stream_options") or {}
    if not isinstance(options, dict):
        raise RequestInvalid("`stream_options` is not an object.")
    return bool(options.get("include_usage"))


def asked_tokens(fields: Fields, *names: str) -> int | None:
    """Return the smallest of the named limits on the answer's length, if there is one. Raises RequestInvalid."""
    asked = [fields[name] for name in names if fields.get(name) is not None]
    for number in asked:
        if not isinstance(number, int) or isinstance(number, bool) or number < 1:
            raise RequestInvalid(f"`{names[-1]}` is not a positive number.")
    return min(asked, default=None)


def text_of(fields: Mapping[str, Any], name: str, chars_max: int) -> str | None:
    """Return a field's text, None where it is absent. Raises RequestInvalid."""
    value = fields.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise RequestInvalid(f"`{name}` is not a text.")
    if len(value) > chars_max:
        raise RequestInvalid(f"`{name}` has more than {chars_max} characters.")
    return value


def needed_text(fields: Mapping[str, Any], name: str, chars_max: int) -> str:
    """Return a field's text, which must not be empty. Raises RequestInvalid."""
    text = text_of(fields, name, chars_max)
    if text is None or not text.strip():
        raise RequestInvalid(f"`{name}` is missing or empty.")
    return text


def number_of(
    fields: Mapping[str, Any], name: str, least: float, most: float, *, whole: bool = False
) -> float | int | None:
    """Return a field's number, None where it is absent. Raises RequestInvalid outside `least`..`most`."""
    value = fields.get(name)
    if value is None:
        return None
    kinds = (int,) if whole else (int, float)
    if not isinstance(value, kinds) or isinstance(value, bool) or not least <= value <= most:
        raise RequestInvalid(f"`{name}` is not a number from {least:g} to {most:g}.")
    return value


def choice_of(fields: Mapping[str, Any], name: str, allowed: tuple[str, ...]) -> str | None:
    """Return a field's word, None where it is absent. Raises RequestInvalid when it is none of `allowed`."""
    value = fields.get(name)
    if value is None:
        return None
    if value not in allowed:
        raise RequestInvalid(f"`{name}` is none of {', '.join(allowed)}.")
    return str(value)
