"""A question and its streamed answer, passed through byte by byte."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from typing import Annotated
from uuid import UUID

from contracts.agents import StopReply, TurnRequest
from fastapi import APIRouter, Header, Request, Response
from kit import logs
from kit.client import EventStream
from kit.errors import KitError
from starlette.responses import StreamingResponse

from dashboard.errors import AnswerInterrupted
from dashboard.neighbours import passed_on
from dashboard.pieces import next_piece
from dashboard.routes.access import Behind, Person, token_of
from dashboard.schemas import TurnEvents
from dashboard.sse import HeldStream, encode
from dashboard.streams import Session, Streams

log = logs.get(__name__)
router = APIRouter(prefix="/api", tags=["turns"])

# The orchestrator sends a comment every ten seconds, also while a model thinks.
SILENCE_SECONDS = 45.0


@router.post(
    "/turns",
    response_class=StreamingResponse,
    responses={200: {"model": TurnEvents, "description": "Server-sent events, by name."}},
)
async def ask(
    body: TurnRequest,
    request: Request,
    caller: Person,
    behind: Behind,
    key: Annotated[str | None, Header(alias="Idempotency-Key", max_length=128)] = None,
) -> StreamingResponse:
    """Ask something; the answer comes as server-sent events."""
    streams: Streams = request.state.streams
    token = token_of(request)
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(streams.hold(caller, token))
        upstream = await stack.enter_async_context(
            behind.orchestrator.stream(
                "POST",
                "/v1/turns",
                json=body.model_dump(mode="json", exclude_unset=True),
                headers={"Idempotency-Key": key} if key else {},
                caller_token=token,
                idle_s=SILENCE_SECONDS,
            )
        )
        held = stack.pop_all()
    return HeldStream(_passed_through(upstream, session), held)


async def _passed_through(upstream: EventStream, session: Session) -> AsyncGenerator[bytes]:
    """Yield the orchestrator's bytes as they come; end at once when the session does."""
    pieces = upstream.raw()
    ended = asyncio.create_task(session.ended.wait())
    try:
        while True:
            piece = await next_piece(pieces, ended, session)
            if piece is None:
                return
            yield piece
    except KitError as error:
        # The status is sent already: what went wrong travels as an event.
        if error.status >= 500:
            log.warning("turn.interrupted", code=error.code)
            error = AnswerInterrupted()
        yield b"\n\n" + encode("error", error.body()["error"])
    finally:
        ended.cancel()


@router.post("/turns/{turn_id}/stop", response_model=StopReply)
async def stop(turn_id: UUID, _: Person, behind: Behind) -> Response:
    """Stop an answer; what was said so far is kept."""
    return passed_on(await behind.orchestrator.post(f"/v1/turns/{turn_id}/stop", json={}))
