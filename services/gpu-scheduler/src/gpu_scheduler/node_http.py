"""HTTP to GPU nodes: CONNECT through the egress proxy, mutual TLS inside of it, one request a connection.

A whole client library would cost a sixth of the scheduler's memory. What is here is what a node needs: nothing is
reused, so that no answer can be another's, and everything has a bound.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httptools

from gpu_scheduler.errors import NodeRefused
from gpu_scheduler.join_store import MemberNode

CONNECT_SECONDS_MAX = 3.0
HEAD_BYTES_MAX = 16 * 1024
ANSWER_BYTES_MAX = 64 * 1024
PIECE_BYTES = 64 * 1024
PROXY_PORT = 3128


class Unreachable(Exception):
    """No answer came, or not all of it. Whether the request arrived is not known."""


class _Answer:
    """What httptools tells of an answer."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.headed = False
        self.whole = False

    def on_headers_complete(self) -> None:
        self.headed = True

    def on_body(self, body: bytes) -> None:
        self.pieces.append(body)

    def on_message_complete(self) -> None:
        self.whole = True

    def taken(self) -> bytes:
        """Return what has come since the last call."""
        body = b"".join(self.pieces)
        self.pieces.clear()
        return body


@dataclass(frozen=True)
class Way:
    """How nodes are reached: the proxy, and the TLS context that says who the scheduler is and whom it believes."""

    proxy_url: str
    tls: ssl.SSLContext

    async def call(
        self, node: MemberNode, method: str, path: str, body: bytes | None, seconds: float
    ) -> tuple[int, bytes]:
        """Return the status and the whole answer to one call. Raises Unreachable, NodeRefused."""
        try:
            async with asyncio.timeout(seconds), self._asked(node, method, path, body) as stream:
                status, answer = 0, b""
                async for told, piece in stream:
                    status, answer = told, answer + piece
                    if len(answer) > ANSWER_BYTES_MAX:
                        raise NodeRefused(f"{node.name} answered with too much.")
                return status, answer
        except TimeoutError as error:
            raise Unreachable("TimeoutError") from error

    @asynccontextmanager
    async def follow(self, node: MemberNode, path: str) -> AsyncGenerator[AsyncIterator[bytes]]:
        """Open a stream that goes on for ever; its bytes as they come. Raises Unreachable, NodeRefused."""
        async with self._asked(node, "GET", path, None) as stream:

            async def pieces() -> AsyncIterator[bytes]:
                async for status, piece in stream:
                    if status != 200:
                        raise NodeRefused(f"{node.name} answered with {status}.")
                    yield piece

            yield pieces()

    @asynccontextmanager
    async def _asked(
        self, node: MemberNode, method: str, path: str, body: bytes | None
    ) -> AsyncGenerator[AsyncIterator[tuple[int, bytes]]]:
        writer: asyncio.StreamWriter | None = None
        where = urlsplit(node.url).netloc
        try:
            async with asyncio.timeout(CONNECT_SECONDS_MAX):
                reader, writer = await self._tunnel(where)
                await writer.start_tls(self.tls, server_hostname=node.tls_name)
                writer.write(_request(method, path, where, body))
                await writer.drain()
            yield _read(reader)
        except (OSError, EOFError, ssl.SSLError, TimeoutError, httptools.HttpParserError) as error:
            raise Unreachable(type(error).__name__) from error
        finally:
            if writer is not None:
                # Not closed in good order: what is left of this connection is of no use to anybody.
                writer.transport.abort()

    async def _tunnel(self, where: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        proxy = urlsplit(self.proxy_url)
        reader, writer = await asyncio.open_connection(
            proxy.hostname, proxy.port or PROXY_PORT, limit=HEAD_BYTES_MAX
        )
        try:
            writer.write(f"CONNECT {where} HTTP/1.1\r\nHost: {where}\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
        except BaseException as error:
            writer.transport.abort()
            if isinstance(error, (asyncio.IncompleteReadError, asyncio.LimitOverrunError)):
                raise ConnectionError("the proxy does not speak HTTP") from None
            raise
        if head.split(b" ", 2)[1:2] != [b"200"]:
            writer.transport.abort()
            raise ConnectionRefusedError("the proxy does not let this through")
        return reader, writer


def _request(method: str, path: str, where: str, body: bytes | None) -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nHost: {where}\r\nConnection: close\r\n"
    if body is not None:
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return f"{head}\r\n".encode() + (body or b"")


async def _read(reader: asyncio.StreamReader) -> AsyncIterator[tuple[int, bytes]]:
    """The answer's status with each piece of its body; once at least. Ends with the answer."""
    answer = _Answer()
    parser: Any = httptools.HttpResponseParser(answer)
    head_bytes, told = 0, False
    while not answer.whole:
        data = await reader.read(PIECE_BYTES)
        if not data:
            raise EOFError
        parser.feed_data(data)
        if not answer.headed:
            head_bytes += len(data)
            if head_bytes > HEAD_BYTES_MAX:
                raise NodeRefused("A node's answer has a head without end.")
            continue
        piece = answer.taken()
        if piece or not told:
            told = True
            yield parser.get_status_code(), piece
