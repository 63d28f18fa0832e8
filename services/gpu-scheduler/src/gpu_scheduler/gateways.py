"""`/v1/queue`: the gateways' connections. What they say becomes events; what was decided is said to whom it concerns.

A connection that is lost keeps its places for a grace: the gateway comes back, names what it still runs, and asks again
for what waits. A gateway is known by the name it bears for the life of its process.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from contracts.base import Contract
from contracts.scheduling import (
    Ask,
    Began,
    Cancel,
    Ended,
    Hello,
    Offered,
    Preempted,
    Queued,
    Refused,
    Running,
    Welcome,
)
from kit import logs
from kit.clock import Clock
from kit.errors import KitError
from starlette.websockets import WebSocket, WebSocketDisconnect

from gpu_scheduler.core.events import (
    Asked,
    Done,
    Event,
    FirstByte,
    OriginLost,
    OriginResumed,
    Withdrawn,
)
from gpu_scheduler.core.model import Request, ServiceClass, State
from gpu_scheduler.errors import (
    Disabled,
    FrameInvalid,
    HelloLate,
    Replaced,
    SlowReader,
    Starting,
    TierRefused,
    TooManyAsked,
    refusal,
)
from gpu_scheduler.loop import Loop, Turn
from gpu_scheduler.numbers import Numbers
from gpu_scheduler.offers import Offers
from gpu_scheduler.placing import Placing
from gpu_scheduler.session import HELLO_SECONDS_MAX, Session

log = logs.get(__name__)

ASKED_MAX = 2048  # of one gateway at a time
GATEWAYS_MAX = 16
TELL_SECONDS = 1.0


def request_of(gateway: str, ask: Ask, now: float, nodes: frozenset[str] | None) -> Request:
    """Return what the core is asked for a gateway's request."""
    return Request(
        id=f"{gateway}:{ask.request_id}",
        origin=f"gateway:{gateway}",
        model=ask.model,
        service_class=ServiceClass(ask.service_class),
        caller=ask.caller,
        arrived=now,
        seq=0,
        deadline=None if ask.deadline_seconds is None else now + ask.deadline_seconds,
        work_s=1.0 if ask.work_seconds is None else ask.work_seconds,
        prompt_tokens=ask.prompt_tokens or 0,
        agent=ask.agent,
        nodes_allowed=nodes,
    )


class Gateways:
    """All connections of gateways."""

    def __init__(
        self,
        loop: Loop,
        offers: Offers,
        placing: Placing,
        clock: Clock,
        numbers: Numbers,
        *,
        grace_s: float,
        disabled: bool,
    ) -> None:
        self._loop = loop
        self._offers = offers
        self._placing = placing
        self._clock = clock
        self._numbers = numbers
        self._grace_s = grace_s
        self._disabled = disabled
        self.ready = False
        self._sessions: dict[str, Session] = {}
        self._leaving: dict[str, asyncio.Task[None]] = {}
        self._asked: dict[str, set[str]] = {}
        self._fresh: set[str] = set()
        self._told_at = float("-inf")
        self._seq = 0

    async def serve(self, socket: WebSocket) -> None:
        """One connection, from its hello to its end."""
        await socket.accept()
        session = Session(socket)
        if not self.ready or len(self._sessions) >= GATEWAYS_MAX:
            await session.close(Starting())
            return
        error: KitError | None = None
        over = asyncio.create_task(session.ended())
        tasks: list[asyncio.Task[Any]] = [
            over,
            asyncio.create_task(self._talk(session)),
            asyncio.create_task(session.write()),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            error = _why(done, over)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._left(session)
        if error is not None:
            self._numbers.cut.labels(error.code).inc()
            log.warning("gateway.closed", gateway=session.gateway, code=error.code)
            await session.close(error)

    async def _talk(self, session: Session) -> None:
        frames = session.frames()
        try:
            async with asyncio.timeout(HELLO_SECONDS_MAX):
                hello = await anext(frames, None)
        except TimeoutError:
            raise HelloLate() from None
        if hello is None:
            return
        if not isinstance(hello, Hello):
            raise FrameInvalid("the first frame: a hello is expected")
        await self._enter(session, hello)
        async for message in frames:
            if self._sessions.get(hello.gateway) is not session:
                return  # it has connected anew: what it said before is said again, or no more true
            await self._hear(session, message)

    async def _enter(self, session: Session, hello: Hello) -> None:
        """Take a gateway in: a new one, or one that is back."""
        session.gateway = hello.gateway
        if (older := self._sessions.get(hello.gateway)) is not None:
            older.end(Replaced())
        if (leaving := self._leaving.pop(hello.gateway, None)) is not None:
            leaving.cancel()
        state = self._loop.state
        session.send(Welcome(epoch=state.epoch, grace_seconds=self._grace_s))
        session.send(self._offers.message(state, self._clock.monotonic()))
        now = self._clock.monotonic()
        running = tuple(self._running(hello.gateway, one, now) for one in hello.running)
        asked = self._asked.setdefault(hello.gateway, set())
        asked |= {request.id for request in running}
        self._placing.forget(f"{hello.gateway}:")
        self._sessions[hello.gateway] = session
        self._numbers.gateways.set(len(self._sessions))
        log.info("gateway.connected", gateway=hello.gateway, running=len(running))
        await self._loop.settle(OriginResumed(f"gateway:{hello.gateway}", running))
        for request in running:
            kept = state.requests.get(request.id)
            if kept is None:
                asked.discard(request.id)
            elif kept.preempting:
                # The first word of it may have been lost with the connection.
                why = "the place was taken back while the gateway was away"
                session.send(Preempted(request_id=_own_id(request.id), why=why))

    def _running(self, gateway: str, one: Running, now: float) -> Request:
        request = request_of(gateway, one.ask, now, None)
        request.seq = self._next_seq()
        request.instance = one.instance_id
        request.fence = one.fence
        request.granted_at = now
        request.first_byte = one.first_byte
        return request

    def _next_seq(self) -> int:
        self._seq += 1
        return self._seq

    async def _hear(self, session: Session, message: Any) -> None:
        event: Event
        if isinstance(message, Ask):
            if (event_or_none := self._ask(session, message)) is None:
                return
            event = event_or_none
        elif isinstance(message, Hello):
            raise FrameInvalid("hello: said twice")
        else:
            request_id = f"{session.gateway}:{message.request_id}"
            asked = self._asked[session.gateway]
            if isinstance(message, Began):
                event = FirstByte(request_id)
            elif isinstance(message, Cancel):
                asked.discard(request_id)
                event = Withdrawn(request_id)
            else:
                event = _done(request_id, message)
                if message.outcome != "preempted":
                    asked.discard(request_id)
        await self._loop.put(event)

    def _ask(self, session: Session, ask: Ask) -> Asked | None:
        """Return the event of an ask, or None when it was refused at the door."""
        asked = self._asked[session.gateway]
        request_id = f"{session.gateway}:{ask.request_id}"
        nodes = self._offers.nodes_for(ask.model, ask.tier)
        error: KitError | None = None
        if self._disabled:
            error = Disabled()
        elif request_id not in asked and len(asked) >= ASKED_MAX:
            error = TooManyAsked()
        elif nodes is not None and not nodes:
            error = TierRefused(f"{ask.model} may not be shown {ask.tier} text on any GPU node.")
        if error is not None:
            self._numbers.refused.labels(error.code, ask.service_class).inc()
            session.send(_refused(ask.request_id, error, None))
            return None
        asked.add(request_id)
        self._fresh.add(request_id)
        request = request_of(session.gateway, ask, self._clock.monotonic(), nodes)
        request.seq = self._next_seq()
        return Asked(request)

    def _left(self, session: Session) -> None:
        """A connection is gone: its places go after the grace, unless the gateway is back by then."""
        gateway = session.gateway
        if self._sessions.get(gateway) is not session:
            return
        del self._sessions[gateway]
        self._numbers.gateways.set(len(self._sessions))
        self._leaving[gateway] = asyncio.create_task(self._give_up(gateway), name="grace")

    async def _give_up(self, gateway: str) -> None:
        await self._clock.sleep(self._grace_s)
        log.warning("gateway.given_up", gateway=gateway)
        self._leaving.pop(gateway, None)
        self._fresh -= self._asked.pop(gateway, set())
        # Without waiting for room: a gateway that comes back now must not be forgotten after it was taken in.
        self._loop.follow(OriginLost(f"gateway:{gateway}"))

    async def close(self) -> None:
        """End every connection: the scheduler stops, and its gateways look for the next one."""
        self.ready = False
        for session in list(self._sessions.values()):
            session.end(Starting("The scheduler is stopping."))
        for task in list(self._leaving.values()):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    # What was decided.

    def say(self, request: Request, message: Contract) -> None:
        """Say something to the gateway that asked, if it is connected."""
        session = self._sessions.get(_gateway(request.id))
        if session is not None:
            session.send(message)

    def refused(self, request: Request, code: str, why: str, retry_after_s: float | None) -> None:
        """A request will not be served, or not any further."""
        self._asked.get(_gateway(request.id), set()).discard(request.id)
        error = refusal(code)(_sentence(why))
        error.code = code
        self.say(request, _refused(_own_id(request.id), error, retry_after_s))

    def preempted(self, request: Request, why: str) -> None:
        """A grant is taken back before its first byte."""
        self.say(request, Preempted(request_id=_own_id(request.id), why=_sentence(why)))

    # After each turn.

    def turned(self, state: State, turn: Turn) -> float | None:
        """Tell those who wait where they stand: new ones at once, all others once a second."""
        fresh = [name for name in self._fresh if _waits(state, name)]
        self._fresh.clear()
        offered = self._offers.changed(state, turn.now)
        due = turn.now - self._told_at >= TELL_SECONDS
        if offered is not None:
            self._tell_all(offered)
        if due:
            self._drop_ended(state)
        if due or fresh:
            places = self._placing.places(state, turn.now)
            if due:
                self._told_at = turn.now
                for drawn in self._offers.drawn(state):
                    if (session := self._sessions.get(drawn[0])) is not None:
                        session.send(drawn[1])
            for name in places if due else fresh:
                if (queued := places.get(name)) is not None:
                    self._place(name, queued)
        waiting = state.queued_by_class.total() or any(self._asked.values())
        return self._told_at + TELL_SECONDS if waiting else None

    def _drop_ended(self, state: State) -> None:
        """What the core holds no more counts no more: the word of its end may have been lost with a connection."""
        for asked in self._asked.values():
            asked.intersection_update(state.requests.keys() | self._fresh)

    def _tell_all(self, offered: Offered) -> None:
        for session in self._sessions.values():
            session.send(offered)

    def _place(self, id: str, queued: Queued) -> None:
        session = self._sessions.get(_gateway(id))
        if session is not None and self._placing.is_news(id, queued):
            session.send(queued)


def _why(done: set[asyncio.Task[Any]], over: asyncio.Task[KitError]) -> KitError | None:
    """Return what ended a connection; None when the gateway simply went."""
    if over in done:
        return over.result()
    for task in done:
        error = task.exception()
        if isinstance(error, KitError):
            return error
        if error is not None and not isinstance(error, (WebSocketDisconnect, OSError)):
            log.exception("gateway.failed", error)
            return SlowReader() if isinstance(error, TimeoutError) else KitError()
    return None


def _done(request_id: str, ended: Ended) -> Done:
    return Done(request_id, ended.outcome, ended.fence, ended.seconds)


def _refused(request_id: str, error: KitError, retry_after_s: float | None) -> Refused:
    return Refused(
        request_id=request_id,
        status=error.status,
        code=error.code,
        reason=_sentence(error.reason),
        fix=error.fix,
        retry_after_seconds=retry_after_s,
    )


def _sentence(text: str) -> str:
    return text if len(text) <= 500 else text[:497] + "..."


def _gateway(id: str) -> str:
    return id.partition(":")[0]


def _own_id(id: str) -> str:
    return id.partition(":")[2]


def _waits(state: State, id: str) -> bool:
    request = state.requests.get(id)
    return request is not None and request.queued
