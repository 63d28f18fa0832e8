"""What a form asks for, checked. Pure."""

from dataclasses import dataclass, field
from typing import Any

from kit.multipart import MultipartForm

from transcriber.errors import SoundRequestInvalid
from transcriber.model import Wanted

FORMATS = ("json", "text", "verbose_json")
FIELDS = frozenset(
    {
        "model",
        "language",
        "prompt",
        "response_format",
        "temperature",
        "stream",
        "timestamp_granularities",
    }
)
# A prompt is cut to half of the model's window by the model; more than this is a mistake.
PROMPT_CHARS_MAX = 4096


@dataclass(frozen=True)
class Asked:
    """A checked request."""

    data: bytearray = field(repr=False)
    wanted: Wanted
    format: str
    stream: bool


def read(form: MultipartForm, *, translate: bool) -> Asked:
    """Return the checked request. Raises SoundRequestInvalid."""
    fields = form.fields
    if unknown := sorted(set(fields) - FIELDS):
        raise SoundRequestInvalid(
            f"Unknown fields: {', '.join(name[:40] for name in unknown[:5])}."
        )
    if len(form.files) != 1 or form.files[0].name != "file" or not form.files[0].data:
        raise SoundRequestInvalid("`file` is missing or empty.")
    kind = fields.get("response_format") or "json"
    if kind not in FORMATS:
        raise SoundRequestInvalid(
            f"`response_format` is none of {', '.join(FORMATS)}.",
            fix="Ask through model-gateway: it makes subtitles of verbose_json.",
        )
    stream = str(fields.get("stream") or "false").lower()
    if stream not in ("true", "false"):
        raise SoundRequestInvalid("`stream` is neither true nor false.")
    if stream == "true" and kind == "verbose_json":
        raise SoundRequestInvalid("A streamed transcript is json or text.")
    prompt = fields.get("prompt")
    if prompt is not None and len(prompt) > PROMPT_CHARS_MAX:
        raise SoundRequestInvalid(f"`prompt` has more than {PROMPT_CHARS_MAX} characters.")
    wanted = Wanted(
        translate=translate,
        language=_language(fields.get("language"), translate),
        prompt=prompt or None,
        temperature=_temperature(fields.get("temperature")),
        words="word" in _granularities(fields.get("timestamp_granularities")),
    )
    return Asked(form.files[0].data, wanted, kind, stream == "true")


def _language(given: str | None, translate: bool) -> str | None:
    if not given:
        return None
    if translate:
        raise SoundRequestInvalid("A translation is English: leave `language` out.")
    # `en-GB` is English to Whisper; whether it knows the language is for the model to say.
    return given.split("-")[0].lower()


def _temperature(given: str | None) -> float | None:
    if not given:
        return None
    try:
        value = float(given)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise SoundRequestInvalid("`temperature` is not a number from 0 to 1.")
    # 0 is what everybody sends who has no wish: the model then may still warm up when it makes no sense of it.
    return value or None


def _granularities(given: Any) -> list[str]:
    words = given if isinstance(given, list) else [given] if given else []
    if not all(word in ("word", "segment") for word in words):
        raise SoundRequestInvalid("`timestamp_granularities` is word or segment.")
    return words
