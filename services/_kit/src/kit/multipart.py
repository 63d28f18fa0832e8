"""Multipart bodies: read piece by piece, every part bounded, files held in memory. Needs the extra `forms`.

form = await read_form(request, file_bytes_max=25 << 20)

`UploadRoom` goes before the routes that read them: files are held until the answer's end, and memory has one too.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kit.errors import BodyTooLarge, InvalidRequest, UploadsFull

FIELD_BYTES_MAX = 64 * 1024
PARTS_MAX = 64
FILES_MAX = 1
NAME_CHARS_MAX = 200
BOUNDARY_BYTES_MAX = 200
HEADERS_BYTES_MAX = 8 * 1024


@dataclass(frozen=True)
class File:
    """A file of a form."""

    name: str
    filename: str
    content_type: str
    data: bytearray = field(repr=False)


@dataclass(frozen=True)
class MultipartForm:
    """A form: its fields as texts, `name[]` as a list of them, and its files."""

    fields: dict[str, Any] = field(repr=False)
    files: tuple[File, ...] = ()


async def read_form(request: Request, *, file_bytes_max: int) -> MultipartForm:
    """Return the body. Raises InvalidRequest for what is no form or has too many parts, BodyTooLarge for the file.

    The route's body limit must be a little larger than `file_bytes_max`.
    """
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary or len(boundary) > BOUNDARY_BYTES_MAX:
        raise InvalidRequest("The body is not multipart/form-data.")
    collector = _Collector(file_bytes_max)
    callbacks: Any = collector.callbacks()
    parser = MultipartParser(boundary, callbacks)
    try:
        async for piece in request.stream():
            parser.write(piece)
        parser.finalize()
    except FormParserError:
        raise InvalidRequest("The body is not a multipart form.") from None
    if not collector.whole:
        raise InvalidRequest("The multipart form breaks off before its end.")
    return MultipartForm(collector.fields, tuple(collector.files))


class UploadRoom:
    """Refuses a request to `paths` whose body would be one too many in memory. Added as middleware.

    Bodies of at most `small_bytes` are neither counted nor refused.
    """

    def __init__(
        self, app: ASGIApp, paths: Collection[str], held_bytes_max: int, small_bytes: int = 0
    ) -> None:
        self.app = app
        self.paths = frozenset(paths)
        self.held_bytes_max = held_bytes_max
        self.small_bytes = small_bytes
        self.held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request, if there is room. Raises UploadsFull."""
        if scope["type"] != "http" or scope["path"] not in self.paths:
            await self.app(scope, receive, send)
            return
        taken = received = 0

        def take(size: int) -> None:
            nonlocal taken
            if size <= max(taken, self.small_bytes):
                return
            if self.held + size - taken > self.held_bytes_max:
                raise UploadsFull(Retry_After="5")
            self.held += size - taken
            taken = size

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            if message["type"] == "http.request":
                received += len(message.get("body", b""))
                take(received)
            return message

        announced = [value for name, value in scope["headers"] if name == b"content-length"]
        try:
            if announced and announced[0].isdigit():
                take(int(announced[0]))
            await self.app(scope, counted, send)
        finally:
            self.held -= taken


@dataclass
class _Part:
    """One part while it arrives."""

    headers: dict[str, bytes] = field(default_factory=dict[str, bytes])
    header_name: bytes = b""
    header_value: bytes = b""
    headers_bytes: int = 0
    data: bytearray = field(default_factory=bytearray)

    def disposition(self) -> Mapping[bytes, bytes]:
        """Return what its Content-Disposition says. Raises InvalidRequest when it has no name."""
        kind, options = parse_options_header(self.headers.get("content-disposition", b""))
        if kind != b"form-data" or not options.get(b"name"):
            raise InvalidRequest("A part of the form has no name.")
        return options


class _Collector:
    """The parser's callbacks: collects the parts and refuses the one that is too much."""

    def __init__(self, file_bytes_max: int) -> None:
        self.fields: dict[str, Any] = {}
        self.files: list[File] = []
        self.whole = False
        self._file_bytes_max = file_bytes_max
        self._count = 0
        self._part = _Part()
        self._is_file = False

    def callbacks(self) -> dict[str, Callable[..., None]]:
        """Return what the parser calls."""
        return {
            "on_part_begin": self._begin,
            "on_part_data": self._data,
            "on_part_end": self._end,
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_end": self._finished,
        }

    def _begin(self) -> None:
        self._part = _Part()
        self._is_file = False

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._part.header_name += self._headers_piece(data, start, end)

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._part.header_value += self._headers_piece(data, start, end)

    def _headers_piece(self, data: bytes, start: int, end: int) -> bytes:
        self._part.headers_bytes += end - start
        if self._part.headers_bytes > HEADERS_BYTES_MAX:
            raise InvalidRequest("The headers of a part of the form are too long.")
        return data[start:end]

    def _header_end(self) -> None:
        part = self._part
        part.headers[part.header_name.decode("latin-1").lower()] = part.header_value
        part.header_name = part.header_value = b""

    def _headers_finished(self) -> None:
        self._is_file = b"filename" in self._part.disposition()
        self._count += 1
        if self._is_file and len(self.files) >= FILES_MAX:
            raise InvalidRequest("The form has more than one file.")
        if self._count > PARTS_MAX:
            raise InvalidRequest(f"The form has more than {PARTS_MAX} parts.")

    def _data(self, data: bytes, start: int, end: int) -> None:
        most = self._file_bytes_max if self._is_file else FIELD_BYTES_MAX
        if len(self._part.data) + end - start > most:
            if self._is_file:
                raise BodyTooLarge(f"The file is larger than {most} bytes.")
            raise InvalidRequest(f"A field of the form is larger than {most} bytes.")
        self._part.data += memoryview(data)[start:end]

    def _end(self) -> None:
        part, options = self._part, self._part.disposition()
        name = _text(options[b"name"])[:NAME_CHARS_MAX]
        if self._is_file:
            filename = _text(options[b"filename"])[-NAME_CHARS_MAX:]
            kind = _text(part.headers.get("content-type", b"")) or "application/octet-stream"
            self.files.append(File(name, filename, kind[:NAME_CHARS_MAX], part.data))
        elif name.endswith("[]"):
            self.fields.setdefault(name[:-2], []).append(_text(bytes(part.data)))
        elif name in self.fields:
            # Two that differ would be read differently by whoever comes next.
            raise InvalidRequest(f"The field {name[:40]} stands twice in the form.")
        else:
            self.fields[name] = _text(bytes(part.data))

    def _finished(self) -> None:
        self.whole = True


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise InvalidRequest("A part of the form is not UTF-8.") from None
