"""Memories out of the house and back, and what was forgotten: files pass through piece by piece."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from typing import Annotated, Literal
from uuid import UUID

from contracts.exchange import IMPORT_BYTES_MAX, ForgetReport, ForgetRequest, ImportReport
from fastapi import APIRouter, Query, Request, Response
from kit.client import EventStream
from starlette.responses import StreamingResponse

from dashboard.errors import FileRefused
from dashboard.neighbours import passed_on, with_query
from dashboard.pieces import next_piece
from dashboard.routes.access import Behind, Person, token_of
from dashboard.sse import HeldStream
from dashboard.streams import Session, Streams

router = APIRouter(prefix="/api", tags=["exchange"])

IMPORT_PATH = "/api/memory/import"
# The largest bodies that are taken, path by path: the rest of the API has kit's limit.
BODY_BYTES_MAX_AT = {IMPORT_PATH: IMPORT_BYTES_MAX}
IMPORT_TYPES = ("application/zip", "application/x-ndjson", "text/markdown")
# A whole store may be read or written between two pieces.
SILENCE_SECONDS = 120.0
# Memory answers an import when its last row is taken: it has LARES_MEMORY_EXCHANGE_SECONDS for that.
IMPORT_SECONDS = 900.0
FORGET_SECONDS = 30.0


@router.get(
    "/memory/export",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/zip": {}, "application/x-ndjson": {}}}},
)
async def export(
    request: Request,
    caller: Person,
    behind: Behind,
    format: Literal["markdown", "jsonl"] = "markdown",
    tiers: Annotated[str | None, Query(max_length=60)] = None,
    namespaces: Annotated[str | None, Query(max_length=1400)] = None,
) -> StreamingResponse:
    """Download memories as a zip of Markdown files, or as JSON Lines."""
    streams: Streams = request.state.streams
    token = token_of(request)
    path = with_query("/v1/export", format=format, tiers=tiers, namespaces=namespaces)
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(streams.hold(caller, token))
        upstream = await stack.enter_async_context(
            behind.memory.stream(
                "GET",
                path,
                headers={"accept": "*/*"},
                caller_token=token,
                idle_s=SILENCE_SECONDS,
            )
        )
        held = stack.pop_all()
    headers = {"Cache-Control": "no-store"}
    if name := upstream.headers.get("content-disposition"):
        headers["Content-Disposition"] = name
    kind = upstream.headers.get("content-type", "application/octet-stream")
    return HeldStream(_pieces(upstream, session), held, media_type=kind, headers=headers)


async def _pieces(upstream: EventStream, session: Session) -> AsyncGenerator[bytes]:
    """Yield the file as it comes. A file that breaks off must not look whole: whatever goes wrong breaks the answer off."""
    pieces = upstream.raw()
    ended = asyncio.create_task(session.ended.wait())
    try:
        while (piece := await next_piece(pieces, ended, session)) is not None:
            yield piece
    finally:
        ended.cancel()


@router.post(
    "/memory/import",
    response_model=ImportReport,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                kind: {"schema": {"type": "string", "format": "binary"}} for kind in IMPORT_TYPES
            },
        }
    },
)
async def import_(
    request: Request,
    _: Person,
    behind: Behind,
    dry_run: bool = True,
    delete: bool = False,
    resurrect: bool = False,
) -> Response:
    """Take memories from a file; as a dry run, only say what would become of each row."""
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind not in IMPORT_TYPES:
        raise FileRefused()
    switches = {"dry_run": dry_run, "delete": delete, "resurrect": resurrect}
    path = with_query("/v1/import", **{name: str(on).lower() for name, on in switches.items()})
    # The edge takes no body without a length.
    sent = {"content-type": kind, "accept": "application/json"}
    if length := request.headers.get("content-length"):
        sent["content-length"] = length
    async with behind.memory.stream(
        "POST", path, content=request.stream(), headers=sent, idle_s=IMPORT_SECONDS
    ) as answer:
        report = b"".join([piece async for piece in answer.raw()])
    return Response(report, media_type="application/json", headers={"Cache-Control": "no-store"})


@router.delete("/memories/{memory_id}", response_model=ForgetReport)
async def forget_memory(memory_id: UUID, _: Person, behind: Behind) -> Response:
    """Forget a memory everywhere, and prove it. It cannot be undone."""
    return passed_on(
        await behind.memory.delete(f"/v1/memories/{memory_id}", timeout_s=FORGET_SECONDS)
    )


@router.post("/memory/forget", response_model=ForgetReport)
async def forget(body: ForgetRequest, _: Person, behind: Behind) -> Response:
    """Count what the conditions fit; with `dry_run` false and that count, forget it."""
    reply = await behind.memory.post(
        "/v1/forget",
        json=body.model_dump(mode="json", exclude_unset=True),
        timeout_s=FORGET_SECONDS,
    )
    return passed_on(reply)


@router.get("/memory/forgotten/{report_id}", response_model=ForgetReport)
async def forgotten(report_id: UUID, _: Person, behind: Behind) -> Response:
    """Return the proof that something was forgotten."""
    return passed_on(await behind.memory.get(f"/v1/forgotten/{report_id}"))
