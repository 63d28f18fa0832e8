"""The only way to a model: streamed both ways, each request once, ended at the model when its client goes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from urllib.parse import unquote

import aiohttp
from aiohttp import web
from contracts.gpunode import FENCE_HEADER, INSTANCES_PATH, REQUEST_HEADER
from kit import logs, trace
from kit.errors import BodyTooLarge, InvalidRequest
from multidict import CIMultiDict
from yarl import URL

from node_agent import errors
from node_agent.instance import CUT, Instance
from node_agent.node import REQUEST_ID, Node

log = logs.get(__name__)

CONNECT_SECONDS_MAX = 3.0
WHOLE_BODY_BYTES_MAX = 256 * 1024
BEGUN = web.RequestKey("begun", bool)
# Sent on to the model, and nothing else: who asks is none of its business.
PASSED_ON = ("content-type", "accept", trace.HEADER)
# A hop's own, and what this server says itself.
DROPPED = frozenset(
    {
        "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "trailers",
        "transfer-encoding", "upgrade", "server", "date", "content-length", "content-encoding", "set-cookie",
    }
)  # fmt: skip


def open_session(connections_max: int) -> aiohttp.ClientSession:
    """Return the session to the models' servers: no proxy of the environment, no redirect, no cookie."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=connections_max + 64,
            # Each request its own connection, which costs a tenth of a millisecond here: llama.cpp hangs up on kept ones
            # without a word, and whether a request that met that has arrived, nobody can tell.
            force_close=True,
            use_dns_cache=False,
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS_MAX),
    )


class Proxy:
    """`/v1/instances/{instance_id}/...`"""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._session = node.session

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Pass one request on. Raises the coded error that says what speaks against it; then nothing was sent."""
        instance_id, tail = self._target(request)
        known = self._node.instances.get(instance_id)
        if known is not None and tail not in known.server.paths:
            raise errors.PathRefused()
        fence, request_id = _credentials(request)
        size = request.content_length
        if size is not None and size > self._node.settings.body_bytes_max:
            raise BodyTooLarge()
        instance = self._node.admit(instance_id, fence, request_id)
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a handler runs in a task")
        instance.enter(task)
        self._node.numbers.in_flight.inc()
        outcome = "cut"
        try:
            answer = await self._pass_on(request, instance, tail)
            outcome = "ok" if answer.status < 500 else "failed"
            return answer
        except errors.ModelFailed:
            outcome = "failed"
            raise
        except errors.ModelNotReached:
            outcome = "not_sent"
            raise
        except asyncio.CancelledError as cancelled:
            if cancelled.args != (CUT,) or request.get(BEGUN):
                raise  # the client has gone, or has half an answer: only the end of its connection tells it
            task.uncancel()
            raise errors.RequestCut() from None
        finally:
            instance.leave(task)
            self._node.over(fence, request_id)
            self._node.numbers.in_flight.dec()
            self._node.numbers.proxied.labels(outcome).inc()
            log.info("request.over", instance=instance.id, request_id=request_id, outcome=outcome)

    def _target(self, request: web.Request) -> tuple[str, str]:
        """Return the instance's id and the address behind it. An id may hold a slash, plain or encoded."""
        rest = request.rel_url.raw_path.removeprefix(f"{INSTANCES_PATH}/")
        first, _, tail = rest.partition("/")
        if unquote(first) in self._node.instances:
            return unquote(first), f"/{tail}"
        for known in self._node.instances:
            if rest.startswith(f"{known}/"):
                return known, rest.removeprefix(known)
        return unquote(first), f"/{tail}"

    async def _pass_on(
        self, request: web.Request, instance: Instance, tail: str
    ) -> web.StreamResponse:
        headers = {name: request.headers[name] for name in PASSED_ON if name in request.headers}
        headers["accept-encoding"] = "identity"
        size = request.content_length
        body: bytes | _Bounded | None = None
        bounded: _Bounded | None = None
        if size is not None and size <= WHOLE_BODY_BYTES_MAX:
            body = await request.content.read(-1) if size else None
        elif request.body_exists:
            if size is not None:
                headers["content-length"] = str(size)
            body = bounded = _Bounded(request, self._node.settings.body_bytes_max)
        url = URL(instance.talk.base + tail, encoded=True)
        if request.rel_url.raw_query_string:
            url = url.with_query(request.rel_url.query)
        try:
            upstream = await self._session.request(
                request.method, url, data=body, headers=headers, allow_redirects=False
            )
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            # Its process ends before anybody hears of it. Each request has a connection of its own: this one never was.
            log.warning("model.not_reached", instance=instance.id, error_type=type(error).__name__)
            raise errors.ModelNotReached() from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            if bounded is not None and bounded.exceeded:
                raise BodyTooLarge() from None
            log.warning("model.failed", instance=instance.id, error_type=type(error).__name__)
            raise errors.ModelFailed() from None
        try:
            return await _answer(request, upstream)
        finally:
            # Unless it was read to its end this closes the connection, and the model's server stops.
            upstream.release() if upstream.content.at_eof() else upstream.close()


async def _answer(request: web.Request, upstream: aiohttp.ClientResponse) -> web.StreamResponse:
    headers = CIMultiDict(
        (name, value) for name, value in upstream.headers.items() if name.lower() not in DROPPED
    )
    answer = web.StreamResponse(status=upstream.status, headers=headers)
    if upstream.content_length is not None and request.method != "HEAD":
        answer.content_length = upstream.content_length
    request[BEGUN] = True
    await answer.prepare(request)
    while piece := await _piece(request, upstream):
        # A client that has gone raises here, and that is no failure of the model's.
        await answer.write(piece)
    await answer.write_eof()
    return answer


async def _piece(request: web.Request, upstream: aiohttp.ClientResponse) -> bytes:
    """Return what the model has said since, nothing at its end. Raises ModelFailed when it breaks off."""
    try:
        return await upstream.content.readany()
    except (aiohttp.ClientError, OSError) as error:
        # The answer is half sent: only closing the connection tells the client.
        log.warning("model.broke_off", error_type=type(error).__name__)
        if request.transport is not None:
            request.transport.abort()
        raise errors.ModelFailed() from None


class _Bounded(AsyncIterable[bytes]):
    """A body in pieces that ends with an error beyond its limit: the model's server must not take the half for the whole."""

    def __init__(self, request: web.Request, bytes_max: int) -> None:
        self._request = request
        self._bytes_max = bytes_max
        self.exceeded = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        taken = 0
        async for piece in self._request.content.iter_any():
            taken += len(piece)
            if taken > self._bytes_max:
                self.exceeded = True
                raise BodyTooLarge()
            yield piece


def _credentials(request: web.Request) -> tuple[int, str]:
    fence, request_id = (
        request.headers.get(FENCE_HEADER, ""),
        request.headers.get(REQUEST_HEADER, ""),
    )
    if not fence.isascii() or not fence.isdigit() or len(fence) > 16:
        raise InvalidRequest(f"{FENCE_HEADER} is not a fence.")
    if not REQUEST_ID.match(request_id):
        raise InvalidRequest(f"{REQUEST_HEADER} is not a request's id.")
    return int(fence), request_id
