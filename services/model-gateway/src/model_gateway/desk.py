"""The use cases: chat at once, chat word by word, embeddings."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from kit.errors import KitError

from model_gateway import sse
from model_gateway.domain import ChatAsk, EmbedAsk, Fields, Route
from model_gateway.errors import BackendFailed, BackendInvalid
from model_gateway.numbers import Numbers
from model_gateway.upstream import Upstream, pieces, read_json
from model_gateway.vectors import read_vectors

Emit = Callable[[bytes], Awaitable[None]]
CHAT_PATH, EMBEDDINGS_PATH = "/chat/completions", "/embeddings"
JSON_TYPE, STREAM_TYPE = "application/json", "text/event-stream"


@dataclass(frozen=True)
class Desk:
    """Asks backends and hands their answers on."""

    upstreams: Mapping[str, Upstream]
    numbers: Numbers

    async def chat(self, route: Route, ask: ChatAsk) -> Fields:
        """Return a whole answer in OpenAI's shape. Raises what the backend's failure means."""
        with self._counted(route.name):
            async with self.upstreams[route.backend_name].ask(
                CHAT_PATH, ask.payload, JSON_TYPE
            ) as answer:
                reply = await read_json(answer)
                if not isinstance(reply.get("choices"), list) or not reply["choices"]:
                    raise BackendInvalid("The backend's answer has no choices.")
        self.numbers.count_usage(route.name, reply.get("usage"))
        reply.pop("timings", None)
        return {**reply, "model": route.name}

    async def embed(self, route: Route, ask: EmbedAsk) -> Fields:
        """Return a vector per input, in order. Raises what the backend's failure means."""
        with self._counted(route.name):
            async with self.upstreams[route.backend_name].ask(
                EMBEDDINGS_PATH, ask.payload, JSON_TYPE
            ) as answer:
                reply = await read_json(answer)
                data = read_vectors(reply, ask.inputs, route.model.dimensions, ask.base64)
        self.numbers.count_usage(route.name, reply.get("usage"))
        return {
            "object": "list",
            "model": route.name,
            "data": data,
            "usage": reply.get("usage") or {},
        }

    async def stream(self, route: Route, ask: ChatAsk, emit: Emit) -> None:
        """Emit the answer's events as they come, and `[DONE]` at its end.

        Raises a coded error while nothing has been emitted, so that it can still become a status. After that an
        error becomes the last event, without `[DONE]`: a client never takes half an answer for a whole one.
        """
        reader = sse.Reader(route.name, ask.usage_wanted)
        emitted = False

        async def count_and_emit(event: bytes) -> None:
            nonlocal emitted
            emitted = True
            await emit(event)

        try:
            with self._counted(route.name):
                await self._relay(route, ask, reader, count_and_emit)
        except KitError as error:
            if not emitted:
                raise
            await emit(sse.encode(error.body()))
        else:
            await emit(sse.DONE)
        finally:
            self.numbers.count_usage(route.name, reader.usage, reader.pieces)

    async def _relay(self, route: Route, ask: ChatAsk, reader: sse.Reader, emit: Emit) -> None:
        began, first = time.perf_counter(), True
        async with self.upstreams[route.backend_name].ask(
            CHAT_PATH, ask.payload, STREAM_TYPE
        ) as answer:
            if not answer.headers.get("content-type", "").startswith(STREAM_TYPE):
                raise BackendInvalid("The backend answered a streaming request without a stream.")
            async for event in sse.split(pieces(answer)):
                out = reader.read(event)
                if first and reader.pieces:
                    first = False
                    self.numbers.first_token.labels(route.name).observe(time.perf_counter() - began)
                if out is not None:
                    await emit(out)
                if reader.done:
                    return
            if not reader.finished:
                raise BackendFailed("The backend stopped in the middle of its answer.")

    @contextmanager
    def _counted(self, model: str) -> Generator[None]:
        began, outcome = time.perf_counter(), "kit.internal"
        try:
            yield
            outcome = "ok"
        except KitError as error:
            outcome = error.code
            raise
        except asyncio.CancelledError:
            outcome = "client_gone"
            raise
        finally:
            self.numbers.requests.labels(model, outcome).inc()
            self.numbers.answer.labels(model).observe(time.perf_counter() - began)
