"""One connection of a gateway: whole messages in, a bounded outbox, and an end with a code."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

from contracts.base import Contract
from contracts.scheduling import Drawn, FromGateway, Offered, Queued
from kit.errors import KitError
from pydantic import TypeAdapter, ValidationError
from starlette.websockets import WebSocket

from gpu_scheduler.errors import FrameInvalid, HelloLate, Replaced, SlowReader, Starting

# A gateway has at most 2048 requests with the scheduler, and for each one word that must arrive is waiting at a time.
OUTBOX_MAX = 8192
SEND_SECONDS_MAX = 5.0
HELLO_SECONDS_MAX = 5.0
CODES: dict[type[KitError], int] = {
    Starting: 1013,
    FrameInvalid: 4400,
    HelloLate: 4408,
    Replaced: 4409,
    SlowReader: 4429,
}
_FRAMES: TypeAdapter[Any] = TypeAdapter(FromGateway)


def parse(text: str) -> Any:
    """Return the message of a frame. Raises FrameInvalid, which names places and never what stood there."""
    try:
        return _FRAMES.validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"])[:60]
        raise FrameInvalid(f"{place or 'the frame'}: {first['type']}") from None


class Session:
    """The outbox of one connection, and its end. `send` returns at once."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket
        self._outbox: deque[Contract] = deque()
        # Of these only the last word counts, so they do not pile up while the other side reads slowly.
        self._places: dict[str, Queued] = {}
        self._offered: Offered | None = None
        self._drawn: Drawn | None = None
        self._woken = asyncio.Event()
        self._over: asyncio.Future[KitError] = asyncio.get_running_loop().create_future()
        self.gateway = ""

    def send(self, message: Contract) -> None:
        """Put a message into the outbox; a reader who lets it run over is cut off."""
        if isinstance(message, Queued):
            self._places[message.request_id] = message
        elif isinstance(message, Offered):
            self._offered = message
        elif isinstance(message, Drawn):
            self._drawn = message
        else:
            request = getattr(message, "request_id", None)
            if request is not None:
                # Whoever is granted or refused has no place any more.
                self._places.pop(request, None)
            if len(self._outbox) >= OUTBOX_MAX:
                self.end(SlowReader())
                return
            self._outbox.append(message)
        self._woken.set()

    def end(self, error: KitError) -> None:
        """Close the connection with what is wrong."""
        if not self._over.done():
            self._over.set_result(error)

    async def ended(self) -> KitError:
        """Return when somebody has ended it, with why."""
        return await asyncio.shield(self._over)

    async def frames(self) -> AsyncIterator[Any]:
        """What the gateway says, until it goes. Raises FrameInvalid."""
        while True:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            text = message.get("text")
            if text is None:
                raise FrameInvalid("the frame: a text frame is expected")
            yield parse(text)

    async def write(self) -> None:
        """Send what is in the outbox until cancelled. Raises SlowReader."""
        while True:
            message = self._next()
            if message is None:
                self._woken.clear()
                await self._woken.wait()
                continue
            try:
                async with asyncio.timeout(SEND_SECONDS_MAX):
                    await self._socket.send_text(message.model_dump_json())
            except TimeoutError:
                raise SlowReader() from None

    def _next(self) -> Contract | None:
        if self._outbox:
            return self._outbox.popleft()
        if self._offered is not None:
            offered, self._offered = self._offered, None
            return offered
        if self._places:
            return self._places.pop(next(iter(self._places)))
        drawn, self._drawn = self._drawn, None
        return drawn

    async def close(self, error: KitError) -> None:
        """Say why it ends, if the other side still reads."""
        with contextlib.suppress(Exception):
            async with asyncio.timeout(0.5):
                await self._socket.close(
                    CODES.get(type(error), 1011), f"{error.code}: {error.reason}"[:120]
                )
