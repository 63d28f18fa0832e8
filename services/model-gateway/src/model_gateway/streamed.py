"""An answer that is sent while it is made, and what a client hears while it waits for one."""

import asyncio
import contextlib

from kit.errors import KitError
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from model_gateway.desk import Desk, Work
from model_gateway.gone import ClientGone, until_gone

HEADERS = ((b"cache-control", b"no-store"), (b"x-accel-buffering", b"no"))


class Streamed(Response):
    """The status waits for the first byte: until then a failure is a status, as without streaming.

    A client that waits long gets comments meanwhile, and with the first of them the status.
    """

    def __init__(self, desk: Desk, work: Work, keep_alive_seconds: float) -> None:
        super().__init__()
        self._desk = desk
        self._work = work
        self._keep_alive_seconds = keep_alive_seconds

    async def __call__(self, _: Scope, receive: Receive, send: Send) -> None:
        """Send the stream, or raise a coded error before its first byte."""
        line = _Line(send)
        with contextlib.suppress(ClientGone):
            await until_gone(receive, self._answer(line))

    async def _answer(self, line: "_Line") -> None:
        work = self._work
        patience = asyncio.create_task(self._comment(line))
        try:
            await self._desk.stream(work, line)
        except KitError as error:
            last = work.endpoint.broken(error)
            if not line.started or last is None:
                raise
            await line.send(last)
        finally:
            patience.cancel()
        await line.end()

    async def _comment(self, line: "_Line") -> None:
        """Say every few seconds of silence what is waited for, so that nobody between takes it for a dead connection."""
        call, endpoint = self._work.call, self._work.endpoint
        while True:
            before = line.sent
            await asyncio.sleep(self._keep_alive_seconds)
            comment = endpoint.comment(call.waiting or "ping")
            # Before the first byte only a queue is worth the status: a model that is silent may still fail with one.
            if comment is None or line.sent != before or not (call.waiting or line.started):
                continue
            await line.start(endpoint.stream_type(None))
            await line.send(comment)


class _Line:
    """The client's end of a stream."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.started = False
        self.sent = 0

    async def start(self, content_type: str) -> None:
        """Send the head, once."""
        if not self.started:
            self.started = True
            headers = [*HEADERS, (b"content-type", content_type.encode("latin-1"))]
            await self._send({"type": "http.response.start", "status": 200, "headers": headers})

    async def send(self, piece: bytes) -> None:
        """Send a piece of the body."""
        self.sent += 1
        await self._send({"type": "http.response.body", "body": piece, "more_body": True})

    async def end(self) -> None:
        """End the body as it should end."""
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})
