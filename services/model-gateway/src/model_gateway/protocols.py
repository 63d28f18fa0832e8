"""What a backend speaks: OpenAI's protocol as it is, or Anthropic's behind it (loaded by a house that uses it)."""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Mapping

import aiohttp

from model_gateway.body import json_object, read_json, to_json
from model_gateway.catalogue import Backend
from model_gateway.endpoint import JSON_TYPE, STREAM_TYPE, Answer, Outgoing
from model_gateway.errors import ModelUnable
from model_gateway.replies import HttpAnswer
from model_gateway.ways import Way

# The newer one refuses sampling; the older is asked for where the file says that a model takes it.
VERSION, VERSION_WITH_SAMPLING = "2026-10-21", "2023-06-01"


class Protocol(ABC):
    """How requests are put and answers read."""

    @abstractmethod
    def headers(self, api_key: str | None) -> dict[str, str]:
        """Return the headers of every request; with them the house's key."""

    @abstractmethod
    def put(self, way: Way, outgoing: Outgoing) -> Outgoing:
        """Return the request as this protocol has it. Raises ModelUnable."""

    @abstractmethod
    async def read(self, response: aiohttp.ClientResponse) -> Answer:
        """Return a successful answer in OpenAI's shape, its first piece read. Raises what an early error means."""


class OpenAI(Protocol):
    """As it is."""

    def headers(self, api_key: str | None) -> dict[str, str]:
        """Return the bearer."""
        return {"authorization": f"Bearer {api_key}"} if api_key else {}

    def put(self, way: Way, outgoing: Outgoing) -> Outgoing:
        """Return the request unchanged."""
        return outgoing

    async def read(self, response: aiohttp.ClientResponse) -> Answer:
        """Return the answer unchanged."""
        return HttpAnswer(response, await response.content.readany())


class Anthropic(Protocol):
    """The Messages API."""

    def headers(self, api_key: str | None) -> dict[str, str]:
        """Return the key, under the name that both versions of the API know."""
        return {"x-api-key": api_key} if api_key else {}

    def put(self, way: Way, outgoing: Outgoing) -> Outgoing:
        """Return the Messages request for a chat request."""
        if outgoing.path != "/chat/completions" or not isinstance(outgoing.body, bytes):
            raise ModelUnable(f"{way.name} only chats.")
        from model_gateway.anthropic.request import SAMPLING, to_messages

        request = to_messages(json_object(outgoing.body), way.extra_fields)
        version = VERSION_WITH_SAMPLING if set(SAMPLING) & set(request) else VERSION
        headers, body = {"anthropic-version": version}, to_json(request)
        if outgoing.pictures is not None:
            headers.update(outgoing.pictures.headers(body))
        return Outgoing(
            "/messages", body, JSON_TYPE, outgoing.accept, headers, pictures=outgoing.pictures
        )

    async def read(self, response: aiohttp.ClientResponse) -> Answer:
        """Return the answer translated."""
        from model_gateway.anthropic.reply import to_chunks

        content_type = response.headers.get("content-type", "")
        pieces = response.content.iter_any()
        streamed = content_type.startswith(STREAM_TYPE)
        chunks = to_chunks(pieces) if streamed else _completion(pieces)
        return Translated(content_type, chunks, await anext(chunks, b""))


async def _completion(pieces: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    from model_gateway.anthropic.reply import to_completion

    yield to_json(to_completion(await read_json(pieces)))


class Translated:
    """An answer whose bytes are made from somebody else's."""

    def __init__(self, content_type: str, chunks: AsyncIterator[bytes], first: bytes) -> None:
        self.content_type = content_type
        self.headers: Mapping[str, str] = {"content-type": content_type}
        self._chunks = chunks
        self._first = first

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield OpenAI's bytes."""
        yield self._first
        async for chunk in self._chunks:
            yield chunk


def protocol_of(backend: Backend) -> Protocol:
    """Return what `backend` speaks."""
    return Anthropic() if backend.protocol == "anthropic" else OpenAI()
