"""The GPU nodes' part of the wiring: the link, and the pool of connections to nodes."""

import asyncio
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp
from kit.clock import Clock

from model_gateway.gpu.link import Link
from model_gateway.gpu.opener import Gpu
from model_gateway.gpu.tls import client_context

# Longer than a pause in a conversation, shorter than any proxy keeps an idle tunnel.
KEEP_ALIVE_SECONDS = 30.0


@asynccontextmanager
async def gpu_ways(
    scheduler_url: str,
    proxy: str | None,
    secrets_dir: Path,
    session: aiohttp.ClientSession,
    clock: Clock,
) -> AsyncGenerator[tuple[Gpu, Link]]:
    """Hold the connection to the scheduler during the block, and connections to nodes as they are needed."""
    link = Link(scheduler_url, session, clock)
    nodes = _Nodes(secrets_dir)
    keeping = asyncio.create_task(link.keep())
    try:
        yield Gpu(link, nodes.way_there, proxy), link
    finally:
        keeping.cancel()
        with suppress(asyncio.CancelledError):
            await keeping
        await nodes.close()


class _Nodes:
    """Kept connections to nodes: each costs a CONNECT and a handshake. Made when the first request is granted."""

    def __init__(self, secrets_dir: Path) -> None:
        self._secrets_dir = secrets_dir
        self._there: tuple[aiohttp.ClientSession, ssl.SSLContext] | None = None

    def way_there(self) -> tuple[aiohttp.ClientSession, ssl.SSLContext]:
        """Return the session and what a node is believed by. Raises GpuUnavailable."""
        if self._there is None:
            context = client_context(self._secrets_dir)
            connector = aiohttp.TCPConnector(
                limit=0, keepalive_timeout=KEEP_ALIVE_SECONDS, ttl_dns_cache=10
            )
            session = aiohttp.ClientSession(
                connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
            )
            self._there = session, context
        return self._there

    async def close(self) -> None:
        """Close every connection."""
        if self._there is not None:
            await self._there[0].close()
