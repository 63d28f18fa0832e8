"""The one connection to gpu-scheduler: what is asked and answered over it, and how it comes back.

While it is down, nothing is offered (after the scheduler's grace) and what is queued is asked again under the same id
once it is back; what runs goes on running, and is named in the `hello` of the next connection.
"""

import asyncio
import secrets
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp
from contracts.scheduling import (
    QUEUE_PATH,
    Ask,
    Began,
    Cancel,
    Drawn,
    Ended,
    FromScheduler,
    Granted,
    Hello,
    Offered,
    OfferedModel,
    Preempted,
    Queued,
    Refused,
    Welcome,
)
from kit import logs
from kit.clock import Clock
from pydantic import BaseModel, TypeAdapter, ValidationError

from model_gateway import errors
from model_gateway.call import Call
from model_gateway.gpu.place import Place

log = logs.get(__name__)

BACKOFF_SECONDS = (0.1, 0.2, 0.4, 0.8, 1.5, 3.0, 5.0)
CONNECT_SECONDS = 3.0
WELCOME_SECONDS = 5.0
HEARTBEAT_SECONDS = 5.0
MESSAGE_BYTES_MAX = 1024 * 1024
PLACES_MAX = 2048
# Twice of all that one connection may have to say of every place.
OUTBOX_MAX = 4 * PLACES_MAX
GRACE_SECONDS = 2.0
# A reading of the cards older than this says nothing of what is drawn now.
DRAWN_SECONDS_MAX = 3.0

_FROM_SCHEDULER: TypeAdapter[Any] = TypeAdapter(FromScheduler)


class Link:
    """Keeps the connection, and the places of all requests. Run `keep` as a task."""

    def __init__(self, url: str, session: aiohttp.ClientSession, clock: Clock) -> None:
        self._url = url.rstrip("/").replace("http", "ws", 1) + QUEUE_PATH
        self._session = session
        self._clock = clock
        self._gateway = secrets.token_hex(8)
        self._connected = False
        # From a `hello` on everything that happens is written down, to be sent once the scheduler has answered it.
        self._writing = False
        self._places: dict[str, Place] = {}
        self._offers: Mapping[str, OfferedModel] = {}
        self._grace_seconds = GRACE_SECONDS
        self._left_at = float("-inf")
        # One sender, so that messages leave in the order in which they were decided on.
        self._outbox: asyncio.Queue[str] = asyncio.Queue(OUTBOX_MAX)
        self._full = asyncio.Event()

    @property
    def connected(self) -> bool:
        """Whether the scheduler hears us now."""
        return self._connected

    @property
    def away_seconds(self) -> float:
        """For how long the scheduler has been away; 0 while it is there."""
        return 0.0 if self.connected else self._clock.monotonic() - self._left_at

    @property
    def offers(self) -> Mapping[str, OfferedModel]:
        """What GPU nodes offer now; nothing once the scheduler has been away for longer than its grace."""
        return self._offers if self.away_seconds <= self._grace_seconds else {}

    @property
    def grace_seconds(self) -> float:
        """How long a connection may be away before its requests are given up."""
        return self._grace_seconds

    @property
    def places(self) -> int:
        """Requests that wait or run."""
        return len(self._places)

    @asynccontextmanager
    async def place(self, ask: Ask, call: Call) -> AsyncGenerator[Place]:
        """Ask for a place and hold it during the block; whatever is left of it is cancelled at the end."""
        if len(self._places) >= PLACES_MAX:
            raise errors.QueueFull(f"{PLACES_MAX} requests wait for the GPU nodes already.")
        place = Place(ask, call)
        self._places[ask.request_id] = place
        self._say(ask)
        try:
            yield place
        finally:
            del self._places[ask.request_id]
            # Granted and not given back is an `ended` that the block owes; here it can only have been cut short.
            if place.refusal is None and not place.over:
                self._say(Cancel(request_id=ask.request_id))

    def began(self, place: Place) -> None:
        """The first byte of the answer is there."""
        place.first_byte = True
        self._say(Began(request_id=place.ask.request_id))

    def ended(self, place: Place, outcome: str, seconds: float) -> None:
        """Give the grant back."""
        if place.grant is None:
            return
        self._draw(place, None)
        self._say(
            Ended.model_validate(
                {
                    "request_id": place.ask.request_id,
                    "fence": place.grant.fence,
                    "outcome": outcome,
                    "seconds": min(seconds, 86_400.0),
                }
            )
        )
        place.lost_grant()
        place.over = outcome != "preempted"

    def _say(self, message: BaseModel) -> None:
        # What happens while nobody listens is said by the next connection's `hello` and asks.
        if not self._writing:
            return
        try:
            self._outbox.put_nowait(message.model_dump_json())
        except asyncio.QueueFull:
            # A word left out would leave a grant with nobody for ever: this connection is given up, the next says it all.
            self._writing = False
            self._full.set()

    async def keep(self) -> None:
        """Connect, listen, and connect again, for ever."""
        failures = 0
        while True:
            try:
                await self._connection()
                failures = 0
            except (aiohttp.ClientError, TimeoutError, OSError, TypeError, ValueError) as error:
                failures += 1
                if failures in (1, 10):
                    log.warning("scheduler.away", error_type=type(error).__name__)
            await self._clock.sleep(BACKOFF_SECONDS[min(failures, len(BACKOFF_SECONDS) - 1)])

    async def _connection(self) -> None:
        """Hold one connection to its end. Returns when a connection that was welcomed has ended."""
        async with AsyncExitStack() as stack:
            async with asyncio.timeout(CONNECT_SECONDS):
                socket = await stack.enter_async_context(
                    self._session.ws_connect(
                        self._url, heartbeat=HEARTBEAT_SECONDS, max_msg_size=MESSAGE_BYTES_MAX
                    )
                )
            stack.callback(self._left)
            await socket.send_str(self._hello().model_dump_json())
            async with asyncio.timeout(WELCOME_SECONDS):
                welcome = _FROM_SCHEDULER.validate_json(await socket.receive_str())
            if not isinstance(welcome, Welcome):
                raise TypeError("the scheduler did not begin with a welcome")
            log.info("scheduler.connected", epoch=welcome.epoch)
            self._grace_seconds = welcome.grace_seconds
            self._connected = True
            sending = asyncio.create_task(self._send(socket))
            giving_up = asyncio.create_task(self._give_up(socket))
            try:
                async for message in socket:
                    if message.type is not aiohttp.WSMsgType.TEXT:
                        break
                    self._hear(message.data)
            finally:
                sending.cancel()
                giving_up.cancel()
                log.warning("scheduler.lost", close_code=socket.close_code)

    def _hello(self) -> Hello:
        while not self._outbox.empty():
            self._outbox.get_nowait()
        self._writing = True
        self._full.clear()
        running = [place.running for place in self._places.values()]
        for place in self._places.values():
            if place.grant is None and place.refusal is None and not place.over:
                self._say(place.ask)
        return Hello(gateway=self._gateway, running=tuple(one for one in running if one))

    def _left(self) -> None:
        self._writing = False
        if self._connected:
            self._connected = False
            self._left_at = self._clock.monotonic()
            for place in self._places.values():
                place.wake()

    async def _send(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        try:
            while True:
                await socket.send_str(await self._outbox.get())
        except (aiohttp.ClientError, ConnectionError):
            await socket.close()

    async def _give_up(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        await self._full.wait()
        log.error("scheduler.not_keeping_up", messages=self._outbox.qsize())
        await socket.close()

    def _hear(self, text: str) -> None:
        try:
            message = _FROM_SCHEDULER.validate_json(text)
        except ValidationError:
            # A newer scheduler may say more than we know; what we do know still holds.
            log.warning("scheduler.not_understood")
            return
        if isinstance(message, Offered):
            self._offers = {model.model: model for model in message.models}
        elif isinstance(message, Drawn):
            for place in self._places.values():
                self._draw(place, message)
        elif isinstance(message, (Queued, Granted, Refused, Preempted)):
            self._pass_on(message)

    def _pass_on(self, message: Queued | Granted | Refused | Preempted) -> None:
        place = self._places.get(message.request_id)
        if place is None:
            if isinstance(message, Granted):
                # Its client went while the grant was on its way.
                self._say(
                    Ended(request_id=message.request_id, fence=message.fence, outcome="cancelled")
                )
        elif isinstance(message, Queued):
            place.on_queued(message)
        elif isinstance(message, Granted):
            place.on_granted(message)
        elif isinstance(message, Refused):
            place.on_refused(message)
        else:
            place.on_preempted()

    def _draw(self, place: Place, drawn: Drawn | None) -> None:
        """Add what a running request has drawn since the last reading, and take down what it draws now."""
        if place.grant is None:
            return
        now = self._clock.monotonic()
        if place.drawn_at is not None:
            seconds = min(now - place.drawn_at, DRAWN_SECONDS_MAX)
            place.call.watt_seconds = (place.call.watt_seconds or 0.0) + place.watts * seconds
        watts = drawn.watts.get(place.grant.instance_id) if drawn else None
        place.drawn_at = None if watts is None else now
        place.watts = watts or 0.0
