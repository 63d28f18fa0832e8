"""HTTP -> the desk, in OpenAI's shapes."""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

from kit.errors import InvalidRequest, KitError
from kit.metrics import Metrics
from kit.multipart import read_form
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from transcriber import asked
from transcriber.asked import Asked
from transcriber.desk import Desk
from transcriber.errors import SoundRequestInvalid
from transcriber.model import Heard, Recording
from transcriber.settings import Settings

CLIENT_GONE_STATUS = 499  # nobody reads it; the metrics do
PATHS: tuple[str, ...] = ("/v1/audio/transcriptions", "/v1/audio/translations")


class Numbers:
    """What the transcriber counts."""

    def __init__(self, metrics: Metrics, desk: Desk) -> None:
        self.recordings = metrics.counter("transcribed_recordings_total", "Recordings heard.")
        self.seconds = metrics.counter("transcribed_seconds_total", "Seconds of sound heard.")
        waiting = metrics.gauge("transcriber_waiting_requests", "Recordings that wait.")
        waiting.set_function(lambda: desk.waiting)
        awake = metrics.gauge("transcriber_awake", "1 while the model is in memory.")
        awake.set_function(lambda: int(desk.awake))


@dataclass(frozen=True)
class Api:
    """The routes and what they need."""

    desk: Desk
    settings: Settings
    languages: frozenset[str]
    numbers: Numbers

    def routes(self) -> list[Route]:
        """Return the service's own routes."""
        return [
            Route(PATHS[0], self.transcriptions, methods=["POST"]),
            Route(PATHS[1], self.translations, methods=["POST"]),
            Route("/v1/models", self.models, methods=["GET"]),
        ]

    async def transcriptions(self, request: Request) -> Response:
        """`POST /v1/audio/transcriptions`, as OpenAI's."""
        return await self._answer(request, translate=False)

    async def translations(self, request: Request) -> Response:
        """`POST /v1/audio/translations`, as OpenAI's."""
        return await self._answer(request, translate=True)

    async def models(self, _: Request) -> JSONResponse:
        """`GET /v1/models`: the one there is."""
        model = {
            "id": self.settings.model_name,
            "object": "model",
            "created": 0,
            "owned_by": "lares",
        }
        return JSONResponse({"object": "list", "data": [model]})

    async def _answer(self, request: Request, *, translate: bool) -> Response:
        try:
            form = await read_form(request, file_bytes_max=self.settings.upload_bytes_max)
        except InvalidRequest as error:
            raise SoundRequestInvalid(error.reason) from None
        ask = asked.read(form, translate=translate)
        language = ask.wanted.language
        if language is not None and language not in self.languages:
            raise SoundRequestInvalid(f"The model does not know the language {language[:16]}.")
        if ask.stream:
            return await self._stream(ask)
        working = asyncio.create_task(self._whole(ask))
        leaving = asyncio.create_task(_farewell(request))
        try:
            await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                return Response(status_code=CLIENT_GONE_STATUS)
            return working.result()
        finally:
            for task in (working, leaving):
                task.cancel()
            await asyncio.gather(working, leaving, return_exceptions=True)

    async def _whole(self, ask: Asked) -> Response:
        async with self.desk.listen(ask.data, ask.wanted) as listening:
            heard = [one async for one in listening.heard]
            self._count(listening.recording)
            return _whole(ask, listening.recording, heard)

    async def _stream(self, ask: Asked) -> Response:
        stack = contextlib.AsyncExitStack()
        # Until the sound is decoded and the model listens, a failure is a status.
        listening = await stack.enter_async_context(self.desk.listen(ask.data, ask.wanted))

        async def events() -> AsyncGenerator[bytes]:
            async with stack:
                said: list[str] = []
                try:
                    async for one in listening.heard:
                        text = one.text if said else one.text.lstrip()
                        said.append(text)
                        yield _event({"type": "transcript.text.delta", "delta": text})
                except KitError as error:
                    yield _event(error.body())
                    return
                self._count(listening.recording)
                usage = _usage(listening.recording)
                yield _event(
                    {"type": "transcript.text.done", "text": "".join(said), "usage": usage}
                )

        return _Stream(events(), stack)

    def _count(self, recording: Recording) -> None:
        self.numbers.recordings.inc()
        self.numbers.seconds.inc(recording.seconds)


class _Stream(StreamingResponse):
    """A stream that leaves the desk even if its client goes before the first event."""

    def __init__(self, events: AsyncGenerator[bytes], stack: contextlib.AsyncExitStack) -> None:
        super().__init__(
            events, media_type="text/event-stream", headers={"cache-control": "no-store"}
        )
        self._events = events
        self._stack = stack

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._events.aclose()
            await self._stack.aclose()


async def _farewell(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _event(data: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(data, ensure_ascii=False).encode() + b"\n\n"


def _usage(recording: Recording) -> dict[str, Any]:
    return {"type": "duration", "seconds": recording.seconds}


def _whole(ask: Asked, recording: Recording, heard: list[Heard]) -> Response:
    text = "".join(one.text for one in heard).strip()
    if ask.format == "text":
        return PlainTextResponse(text + "\n")
    body: dict[str, Any] = {"text": text, "usage": _usage(recording)}
    if ask.format == "verbose_json":
        body |= {
            "task": "translate" if ask.wanted.translate else "transcribe",
            "language": recording.language,
            "duration": recording.seconds,
            "segments": [one.told for one in heard],
        }
        if ask.wanted.words:
            body["words"] = [word for one in heard for word in one.words]
    return JSONResponse(body)
