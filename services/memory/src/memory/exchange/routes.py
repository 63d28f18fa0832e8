"""HTTP -> leaving, coming back, forgetting."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import IO, Any, Literal

from contracts.exchange import IMPORT_BYTES_MAX, ForgetRequest, ImportProblem, ImportReport
from kit.errors import BodyTooLarge
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from memory.asking import answer, path_id, read_body, reads, writes
from memory.exchange.archive import FILE_BYTES_MAX, Member, members
from memory.exchange.bulk import ForgetMany
from memory.exchange.decide import PROBLEMS_MAX, Outcome
from memory.exchange.errors import ExchangeSlow, FormatUnknown
from memory.exchange.export import Export, read_scope
from memory.exchange.forget import Forget
from memory.exchange.importing import Import, Options, Result
from memory.exchange.numbers import ExchangeNumbers

IMPORT_PATH = "/v1/import"
BYTES_MAX_AT = {IMPORT_PATH: IMPORT_BYTES_MAX}
# An archive can only be read from its end, so it must lie somewhere: in the container's /tmp, which is memory.
ZIP_BYTES_MAX = 12 * 1024 * 1024
_ZIP, _JSONL, _MARKDOWN = "application/zip", "application/x-ndjson", "text/markdown"
_TYPES = {
    _ZIP: _ZIP,
    "application/x-zip-compressed": _ZIP,
    _JSONL: _JSONL,
    "application/jsonl": _JSONL,
    _MARKDOWN: _MARKDOWN,
}


@dataclass(frozen=True)
class ExchangeApi:
    """The use cases and what they are reached by. `seconds` bounds how long one export or import may take."""

    export: Export
    imports: Import
    forget: Forget
    forget_many: ForgetMany
    numbers: ExchangeNumbers
    seconds: float

    def routes(self) -> list[Route]:
        """Return the routes of this part."""
        return [
            Route("/v1/export", self.get_export, methods=["GET"]),
            Route(IMPORT_PATH, self.post_import, methods=["POST"]),
            Route("/v1/forget", self.post_forget, methods=["POST"]),
            Route("/v1/forgotten/{id}", self.get_forgotten, methods=["GET"]),
        ]

    async def get_export(self, request: Request) -> Response:
        """`GET /v1/export?format=&tiers=&namespaces=`: the first bytes are there before it is promised."""
        caller = await reads(request)
        query = request.query_params
        kind = query.get("format") or "markdown"
        if kind not in ("markdown", "jsonl"):
            raise FormatUnknown()
        scope = read_scope(caller, _names(query, "tiers"), _names(query, "namespaces"))
        turn = self.export.turn()
        await turn.__aenter__()
        try:
            chunks = self.export.zip(caller, scope) if kind == "markdown" else None
            chunks = chunks or self.export.lines(caller, scope)
            first = await anext(chunks)
        except BaseException:
            await turn.__aexit__(None, None, None)
            raise
        self.numbers.exports.labels(kind).inc()
        day = datetime.now(UTC).date().isoformat()
        name = f"lares-memory-{day}.{'zip' if kind == 'markdown' else 'jsonl'}"

        async def body() -> AsyncGenerator[bytes]:
            try:
                yield first
                async for chunk in chunks:
                    yield chunk
            finally:
                try:
                    await chunks.aclose()
                finally:
                    await turn.__aexit__(None, None, None)

        return _Bounded(
            body(),
            seconds=self.seconds,
            media_type=_ZIP if kind == "markdown" else _JSONL,
            headers={
                "content-disposition": f'attachment; filename="{name}"',
                "cache-control": "no-store",
            },
        )

    async def post_import(self, request: Request) -> Response:
        """`POST /v1/import?dry_run=&delete=&resurrect=`."""
        caller = await writes(request)
        query = request.query_params
        options = Options(
            dry_run=_flag(query, "dry_run", True),
            delete=_flag(query, "delete", False),
            resurrect=_flag(query, "resurrect", False),
        )
        kind = _TYPES.get((request.headers.get("content-type") or "").partition(";")[0].strip())
        if kind is None:
            raise FormatUnknown()
        async with self.imports.turn():
            try:
                async with asyncio.timeout(self.seconds):
                    if kind == _JSONL:
                        result = await self.imports.lines(caller, request.stream(), options)
                    elif kind == _MARKDOWN:
                        content = await _whole(request, FILE_BYTES_MAX)
                        result = await self.imports.files(
                            caller, [Member("upload.md", content)], options
                        )
                    else:
                        with tempfile.TemporaryFile() as file:
                            await _spool(request, file)
                            result = await self.imports.files(caller, members(file), options)
            except TimeoutError:
                raise ExchangeSlow() from None
        if not options.dry_run:
            for outcome, count in result.tally.outcomes.items():
                self.numbers.imported.labels(outcome.value).inc(count)
        return answer(_report(result, options, "jsonl" if kind == _JSONL else "markdown"))

    async def post_forget(self, request: Request) -> Response:
        """`POST /v1/forget`."""
        caller = await writes(request)
        report = await self.forget_many(caller, await read_body(request, ForgetRequest))
        if report.state == "done":
            self.numbers.forgets.labels(str(report.verified).lower()).inc()
        return answer(report, 202 if report.state == "running" else 200)

    async def get_forgotten(self, request: Request) -> Response:
        """`GET /v1/forgotten/{id}`."""
        return answer(await self.forget.report(await reads(request), path_id(request)))


class _Bounded(StreamingResponse):
    """A streamed answer that ends in time: a reader who stops reading must not keep others waiting for ever."""

    def __init__(self, content: AsyncGenerator[bytes], *, seconds: float, **more: Any) -> None:
        super().__init__(content, **more)
        self._content = content
        self._seconds = seconds

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            async with asyncio.timeout(self._seconds):
                await super().__call__(scope, receive, send)
        finally:
            # Whoever hung up left the generator where it was: its turn ends now, not when somebody collects it.
            await self._content.aclose()


async def _spool(request: Request, file: IO[bytes]) -> None:
    taken = 0
    async for chunk in request.stream():
        taken += len(chunk)
        if taken > ZIP_BYTES_MAX:
            raise BodyTooLarge(
                f"An archive may have {ZIP_BYTES_MAX} bytes; send JSON Lines instead."
            )
        file.write(chunk)
    file.seek(0)


async def _whole(request: Request, most: int) -> bytes:
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > most:
            raise BodyTooLarge(f"A Markdown file may have {most} bytes.")
    return bytes(content)


def _report(result: Result, options: Options, kind: Literal["markdown", "jsonl"]) -> ImportReport:
    tally = result.tally
    outcomes = {outcome.value: tally.outcomes[outcome] for outcome in Outcome}
    quarantined = tally.outcomes[Outcome.QUARANTINED]
    return ImportReport(
        dry_run=options.dry_run,
        format=kind,
        files=tally.files,
        rows=tally.rows,
        **outcomes,
        reasons=dict(tally.reasons),
        problems=[
            ImportProblem(file=each.file, line=each.line, id=each.id, reason=each.reason)
            for each in tally.problems
        ],
        problems_left_out=max(0, quarantined - PROBLEMS_MAX),
        missing=tally.missing,
        forgotten=tally.forgotten,
        notes=tally.notes,
        entities=tally.entities,
        namespaces_added=result.namespaces_added,
    )


def _names(query: Mapping[str, str], key: str) -> list[str] | None:
    raw = query.get(key)
    return [name.strip() for name in raw.split(",")][:200] if raw else None


def _flag(query: Mapping[str, str], key: str, default: bool) -> bool:
    raw = (query.get(key) or "").lower()
    # What is not clearly said leaves things as they are.
    return default if raw not in ("true", "false", "1", "0") else raw in ("true", "1")
