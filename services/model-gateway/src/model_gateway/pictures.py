"""Pictures in a request: carried as the bytes in which they came, from the body that is read to the body that is sent.

A picture is megabytes of base64 inside JSON. Parsed and written again it would stand in memory four times, and four times as
wide beside one unusual character. So each is cut out of the body before that is parsed, a mark stands in its place, and
whoever sends the request puts it back. What is left is text, with the limit of texts.
"""

import asyncio
import re
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from kit.errors import BodyTooLarge
from starlette.requests import Request

from model_gateway.body import Fields, json_object

# A phone's photo of 6 MB, in base64.
BODY_BYTES_MAX = 8 * 1024 * 1024
# Below this a body is parsed as it is, and a picture stays where it is.
SMALL_BODY_BYTES, SMALL_BYTES = 64 * 1024, 4096
PIECE_BYTES = 64 * 1024
_AT_ONCE = 16  # pieces looked at before others have their turn
_BEGIN = b";base64,"
_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=\\"
# Where requests have pictures: everywhere else what looks like one is text.
_SAID_IN = ("messages", "input")


@dataclass(frozen=True)
class Pictures:
    """What was cut out of one body, and the mark of each: `nonce` and its number."""

    nonce: str
    data: tuple[memoryview, ...] = field(repr=False)

    def size(self, body: bytes) -> int:
        """Return how many bytes `body` has with its pictures."""
        marks = self._marks().findall(body)
        return len(body) + sum(len(self.data[int(mark)]) - self._mark_size for mark in marks)

    def headers(self, body: bytes) -> dict[str, str]:
        """Return what says the length: whoever receives it can tell at once whether there is room."""
        return {"content-length": str(self.size(body))}

    async def pieces(self, body: bytes) -> AsyncIterator[bytes]:
        """Yield `body` with its pictures, from its beginning; it can be asked for again."""
        for place, part in enumerate(self._marks().split(body)):
            whole = self.data[int(part)] if place % 2 else memoryview(part)
            for start in range(0, len(whole), PIECE_BYTES):
                yield bytes(whole[start : start + PIECE_BYTES])

    def text(self, text: str) -> str:
        """Return `text` as it came."""

        def came(mark: re.Match[str]) -> str:
            return str(self.data[int(mark[1])], "ascii").replace("\\/", "/")

        return re.sub(self.nonce + r"(\d{4})", came, text)

    @property
    def _mark_size(self) -> int:
        return len(self.nonce) + 4

    def _marks(self) -> re.Pattern[bytes]:
        return re.compile(self.nonce.encode() + rb"(\d{4})")


async def receive_pictured(request: Request) -> tuple[Fields, Pictures | None]:
    """Return a JSON body and the pictures that it had. Raises RequestInvalid, or BodyTooLarge.

    What is not a picture has the service's own limit of bodies.
    """
    text_bytes_max: int = request.app.state.settings.body_bytes_max
    body = bytearray()
    async for piece in request.stream():
        body += piece
    if len(body) <= min(SMALL_BODY_BYTES, text_bytes_max):
        return json_object(body), None
    rest, pictures = await cut_out(body)
    _bounded(len(rest), text_bytes_max)
    fields = json_object(rest)
    if not pictures.data:
        return fields, None
    _bounded(len(rest) + put_back(fields, pictures), text_bytes_max)
    return fields, pictures


async def cut_out(body: bytearray) -> tuple[bytes, Pictures]:
    """Return the body with marks in the place of its large pieces of base64, and those. Neither copies them."""
    nonce, view = secrets.token_hex(8), memoryview(body)
    kept: list[memoryview | bytes] = []
    data: list[memoryview] = []
    at = end = 0
    while (found := body.find(_BEGIN, end)) >= 0:
        start = found + len(_BEGIN)
        end = body.find(b'"', start)
        if end < 0:
            break
        if end - start > SMALL_BYTES and await _is_base64(body, view, start, end):
            kept += [view[at:start], f"{nonce}{len(data):04d}".encode()]
            data.append(view[start:end])
            at = end
    return b"".join([*kept, view[at:]]), Pictures(nonce, tuple(data))


async def _is_base64(body: bytearray, view: memoryview, start: int, end: int) -> bool:
    for number, place in enumerate(range(start, end, PIECE_BYTES)):
        if bytes(view[place : min(end, place + PIECE_BYTES)]).translate(None, _ALPHABET):
            return False
        if number % _AT_ONCE == _AT_ONCE - 1:
            await asyncio.sleep(0)
    # Some writers of JSON escape every slash; anything else that is escaped is no base64.
    return body.count(b"\\", start, end) == body.count(b"\\/", start, end)


def put_back(fields: Fields, pictures: Pictures) -> int:
    """Put back whatever is not the address of a picture, in place. Return how many characters that were."""
    back = 0
    left: list[tuple[Any, Any, bool, bool]] = [
        (fields, key, key in _SAID_IN, False) for key in fields
    ]
    while left:
        holder, key, said, picture = left.pop()
        value = holder[key]
        if isinstance(value, str):
            if pictures.nonce in value and not picture:
                holder[key] = pictures.text(value)
                back += len(holder[key])
        elif isinstance(value, dict):
            for name in value:
                address = name == "image_url" or (picture and name == "url")
                left.append((value, name, said, said and address))
        elif isinstance(value, list):
            left += [(value, place, said, False) for place in range(len(value))]
    return back


def _bounded(size: int, bytes_max: int) -> None:
    if size > bytes_max:
        raise BodyTooLarge(
            f"Beside its pictures the request is larger than {bytes_max} bytes.",
            fix="Send less text. A picture is a data: URL in base64, as the `image_url` of a message's part.",
        )
