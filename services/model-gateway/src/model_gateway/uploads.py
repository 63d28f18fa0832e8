"""Files that come with a request: read within bounds, sent on in pieces, and never more of them than there is memory for."""

from collections.abc import AsyncIterator, Callable, Collection

from kit.errors import InvalidRequest
from kit.multipart import read_form
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from model_gateway.endpoint import Form, Upload
from model_gateway.errors import RequestInvalid, UploadsFull

UPLOAD_BYTES_MAX = 25 * 1024 * 1024
# Over all requests. The service's container has 128 MiB for everything.
HELD_BYTES_MAX = 32 * 1024 * 1024
PIECE_BYTES = 64 * 1024


class UploadRoom:
    """Refuses a request whose upload would be one too many in memory; an upload is held until its answer's end."""

    def __init__(
        self, app: ASGIApp, paths: Collection[str], bytes_max: int = HELD_BYTES_MAX
    ) -> None:
        self.app = app
        self.paths = frozenset(paths)
        self.bytes_max = bytes_max
        self.held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request, if there is room. Raises UploadsFull."""
        if scope["type"] != "http" or scope["path"] not in self.paths:
            await self.app(scope, receive, send)
            return
        announced = [value for name, value in scope["headers"] if name == b"content-length"]
        # Whoever does not say how much it is may send as much as is taken at all.
        size = int(announced[0]) if announced and announced[0].isdigit() else UPLOAD_BYTES_MAX
        if self.held + size > self.bytes_max:
            raise UploadsFull(Retry_After="5")
        self.held += size
        try:
            await self.app(scope, receive, send)
        finally:
            self.held -= size


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
