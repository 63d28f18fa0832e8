"""Files that come with a request: read within bounds, and sent on in pieces."""

from collections.abc import AsyncIterator, Callable

from kit.errors import InvalidRequest
from kit.multipart import read_form
from starlette.requests import Request

from model_gateway.endpoint import Form, Upload
from model_gateway.errors import RequestInvalid

UPLOAD_BYTES_MAX = 25 * 1024 * 1024
FORM_BYTES_MAX = UPLOAD_BYTES_MAX + 256 * 1024
# Over all requests. The service's container has 128 MiB for everything.
HELD_BYTES_MAX = 32 * 1024 * 1024
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


def multipart(
    fields: list[tuple[str, str]], upload: Upload, boundary: str
) -> Callable[[], AsyncIterator[bytes]]:
    """Return a form's body as something that can be sent more than once, in pieces: the file is not copied whole."""
    head = b"".join(_field(name, value, boundary) for name, value in fields)
    head += (
        f'--{boundary}\r\nContent-Disposition: form-data; name="{upload.name}"; '
        f'filename="{_quoted(upload.filename)}"\r\nContent-Type: {_line(upload.content_type)}\r\n\r\n'
    ).encode()

    async def pieces() -> AsyncIterator[bytes]:
        yield head
        for start in range(0, len(upload.data), PIECE_BYTES):
            yield bytes(upload.data[start : start + PIECE_BYTES])
        yield f"\r\n--{boundary}--\r\n".encode()

    return pieces


def _field(name: str, value: str, boundary: str) -> bytes:
    return (
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
    )


def _quoted(text: str) -> str:
    return _line(text).replace("\\", "_").replace('"', "%22")


def _line(text: str) -> str:
    return text.replace("\r", " ").replace("\n", " ")
