"""`/v1/images/generations`: pictures from words, always as base64: an address outside would be fetched by whoever reads it."""

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Any

from model_gateway.body import Fields, read_json, to_json
from model_gateway.catalogue import Model
from model_gateway.endpoint import Answer, Ask, Endpoint, Form, Outgoing, Tally, Whole
from model_gateway.endpoints.fields import (
    DROPPED_FIELDS,
    choice_of,
    extra_fields,
    needed_text,
    number_of,
    read_stream,
    refuse_unknown,
)
from model_gateway.errors import BackendInvalid, RequestInvalid
from model_gateway.ways import Needs, Way

IMAGE_FIELDS = frozenset(
    {
        "background",
        "model",
        "moderation",
        "n",
        "output_compression",
        "output_format",
        "prompt",
        "quality",
        "response_format",
        "size",
        "stream",
        "style",
    }
)
PROMPT_CHARS_MAX = 32_000
IMAGES_MAX = 4
SIDE_MAX = 4096
_SIZE = re.compile(r"([1-9][0-9]{1,3})x([1-9][0-9]{1,3})")
_WORD = re.compile(r"[a-z0-9_-]{1,32}")
# How pictures begin: PNG, JPEG, WebP (RIFF), GIF.
_MAGIC = (b"\x89PNG", b"\xff\xd8\xff", b"RIFF", b"GIF8")


@dataclass(frozen=True)
class ImageAsk(Ask):
    """A checked request for pictures."""

    count: int = 1


class Images(Endpoint[ImageAsk]):
    """Words to pictures."""

    path = "/images/generations"
    kinds = frozenset({"image"})

    def read(self, form: Form, model: Model) -> ImageAsk:
        """Return the checked request. Raises RequestInvalid."""
        fields = form.fields
        refuse_unknown(fields, IMAGE_FIELDS | DROPPED_FIELDS | extra_fields(model))
        prompt = needed_text(fields, "prompt", PROMPT_CHARS_MAX)
        count = number_of(fields, "n", 1, IMAGES_MAX, whole=True)
        if choice_of(fields, "response_format", ("b64_json", "url")) == "url":
            raise RequestInvalid("`response_format` is b64_json here: pictures are not kept.")
        if read_stream(fields):
            raise RequestInvalid("Pictures are not streamed: leave `stream` out.")
        _check_size(fields.get("size"))
        number_of(fields, "output_compression", 0, 100, whole=True)
        for name in ("background", "moderation", "output_format", "quality", "style"):
            word = fields.get(name)
            if word is not None and not (isinstance(word, str) and _WORD.fullmatch(word)):
                raise RequestInvalid(f"`{name}` is not one plain word.")
        return ImageAsk(form, Needs(prompt_chars=len(prompt)), count=int(count or 1))

    def outgoing(self, ask: ImageAsk, way: Way) -> Outgoing:
        """Return the words under the way's name for the model."""
        payload = {
            key: value
            for key, value in ask.form.fields.items()
            if value is not None
            and (key in IMAGE_FIELDS or key in way.extra_fields)
            and key not in ("stream", "response_format")
        }
        payload["model"] = way.upstream_name
        if way.in_house:
            # Servers at home would answer with an address of their own; OpenAI's later models refuse the field.
            payload["response_format"] = "b64_json"
        return Outgoing(self.path, to_json(payload))

    async def whole(self, ask: ImageAsk, way: Way, answer: Answer, tally: Tally) -> Whole:
        """Return the pictures. Raises BackendInvalid."""
        reply = await read_json(answer.pieces())
        given = reply.get("data")
        if not isinstance(given, list) or not 0 < len(given) <= ask.count:
            raise BackendInvalid(f"The backend did not answer with up to {ask.count} pictures.")
        data = [_picture(entry) for entry in given]
        tally.images = len(data)
        tally.take(reply.get("usage"))
        kept = ("created", "background", "output_format", "quality", "size", "usage")
        body: Fields = {key: reply[key] for key in kept if key in reply}
        return Whole(to_json({"created": 0, **body, "data": data}))


def _check_size(size: Any) -> None:
    if size is None or size == "auto":
        return
    found = _SIZE.fullmatch(size) if isinstance(size, str) else None
    if found is None or max(int(found[1]), int(found[2])) > SIDE_MAX:
        raise RequestInvalid(f"`size` is neither auto nor WIDTHxHEIGHT up to {SIDE_MAX}.")


def _picture(entry: Any) -> Fields:
    text = entry.get("b64_json") if isinstance(entry, dict) else None
    if not isinstance(text, str):
        raise BackendInvalid("A picture of the backend is not base64.")
    try:
        # The whole is decoded by the client; a look at the beginning tells a picture from a page of HTML.
        begins = base64.b64decode(text[:16], validate=True)
    except (ValueError, binascii.Error):
        begins = b""
    if not begins.startswith(_MAGIC):
        raise BackendInvalid("A picture of the backend is not a picture.")
    picture: Fields = {"b64_json": text}
    if isinstance(entry.get("revised_prompt"), str):
        picture["revised_prompt"] = entry["revised_prompt"]
    return picture
