"""Server-sent events on the wire."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from typing import Any

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

# `no-transform` and the accelerator header keep any proxy from holding words back.
HEADERS = {"Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no"}


class HeldStream(StreamingResponse):
    """A stream that gives back what it holds however it ends: also when the browser was gone before its first byte."""

    def __init__(
        self,
        content: AsyncIterator[bytes],
        held: AsyncExitStack,
        *,
        media_type: str = "text/event-stream",
        headers: Mapping[str, str] = HEADERS,
    ) -> None:
        super().__init__(content, media_type=media_type, headers=dict(headers))
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._held:
            await super().__call__(scope, receive, send)


def encode(name: str, data: Any) -> bytes:
    """Return one event. JSON has no raw line ends, so that no data can begin an event of its own."""
    return f"event: {name}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n".encode()
