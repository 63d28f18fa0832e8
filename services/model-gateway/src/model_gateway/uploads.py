"""Files that come with a request: read within bounds, and sent on in pieces."""

import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from kit.errors import InvalidRequest
from kit.multipart import read_form
from starlette.requests import Request

from model_gateway.endpoint import Form, Upload
from model_gateway.errors import RequestInvalid

UPLOAD_BYTES_MAX = 25 * 1024 * 1024
FORM_BYTES_MAX = UPLOAD_BYTES_MAX + 256 * 1024
# Over all requests. The service's container has 128 MiB for everything.
HELD_BYTES_MAX = 32 * 1024 * 1024
# A request of so little is not counted: a question must not wait for somebody's recording.
SMALL_BODY_BYTES = 256 * 1024
PIECE_BYTES = 64 * 1024


async def receive_form(request: Request) -> Form:
    """Return a multipart body. Raises RequestInvalid or kit's BodyTooLarge."""
    try:
        form = await read_form(request, file_bytes_max=UPLOAD_BYTES_MAX)
    except InvalidRequest as error:
        raise RequestInvalid(error.reason) from None
    uploads = (
        Upload(file.name, file.filename, file.content_type, file.data) for file in form.files
    )
    return Form(form.fields, tuple(uploads))


@dataclass(frozen=True)
class Multipart:
    """A form's body that can be sent more than once, in pieces: the file is not copied whole."""

    boundary: str
    _head: bytes = field(repr=False)
    _upload: Upload = field(repr=False)

    @property
    def content_type(self) -> str:
        """The form's media type."""
        return f"multipart/form-data; boundary={self.boundary}"

    @property
    def size(self) -> int:
        """The body's length in bytes: whoever receives it can tell at once whether there is room."""
        return len(self._head) + len(self._upload.data) + len(self._tail)

    @property
    def _tail(self) -> bytes:
        return f"\r\n--{self.boundary}--\r\n".encode()

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the body from its beginning."""
        yield self._head
        for start in range(0, len(self._upload.data), PIECE_BYTES):
            yield bytes(self._upload.data[start : start + PIECE_BYTES])
        yield self._tail


def multipart(fields: list[tuple[str, str]], upload: Upload) -> Multipart:
    """Return a form with `fields` and a file, as it was sent to us."""
    boundary = secrets.token_hex(24)
    head = b"".join(_field(name, value, boundary) for name, value in fields)
    head += (
        f'--{boundary}\r\nContent-Disposition: form-data; name="{upload.name}"; '
        f'filename="{_quoted(upload.filename)}"\r\nContent-Type: {_line(upload.content_type)}\r\n\r\n'
    ).encode()
    return Multipart(boundary, head, upload)


def _field(name: str, value: str, boundary: str) -> bytes:
    return (
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
    )


def _quoted(text: str) -> str:
    return _line(text).replace("\\", "_").replace('"', "%22")


def _line(text: str) -> str:
    return text.replace("\r", " ").replace("\n", " ")
