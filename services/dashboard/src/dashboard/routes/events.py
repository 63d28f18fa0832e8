"""The one event stream of a browser tab."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack

from fastapi import APIRouter, Request
from kit.clock import Clock
from starlette.responses import StreamingResponse

from dashboard.hub import Event, Hub, Listener
from dashboard.routes.access import Person, token_of
from dashboard.sse import HeldStream, encode
from dashboard.streams import Session, Streams

router = APIRouter(prefix="/api", tags=["events"])

HEARTBEAT_SECONDS = 15.0


@router.get("/events", response_class=StreamingResponse)
async def events(request: Request, caller: Person) -> StreamingResponse:
    """Follow the house: memory.changed, system.state, inference.changed, session.ended, and a heartbeat every 15 s."""
    streams: Streams = request.state.streams
    hub: Hub = request.state.hub
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(streams.hold(caller, token_of(request)))
        listener = stack.enter_context(hub.listening(caller.subject))
        held = stack.pop_all()
    return HeldStream(follow(listener, session, request.state.clock), held)


async def follow(listener: Listener, session: Session, clock: Clock) -> AsyncGenerator[bytes]:
    """Yield events as they come until the session ends."""
    ended = asyncio.create_task(session.ended.wait())
    try:
        yield encode(
            "hello", {"at": clock.now().isoformat(), "heartbeat_seconds": HEARTBEAT_SECONDS}
        )
        while not session.ended.is_set():
            event = await _next(listener, ended)
            if event is not None:
                yield encode(event.name, event.data)
            elif not session.ended.is_set():
                yield encode("heartbeat", {"at": clock.now().isoformat()})
        if session.over:
            yield encode("session.ended", {})
    finally:
        ended.cancel()


async def _next(listener: Listener, ended: asyncio.Task[bool]) -> Event | None:
    """Return the next event, or None when the session ended or nothing came for a heartbeat's time."""
    waiting = asyncio.ensure_future(listener.queue.get())
    try:
        done, _ = await asyncio.wait(
            {waiting, ended}, timeout=HEARTBEAT_SECONDS, return_when=asyncio.FIRST_COMPLETED
        )
        return waiting.result() if waiting in done else None
    finally:
        waiting.cancel()
