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
RENEW_SECONDS = 1800.0


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
    nodes = Nodes(secrets_dir, clock)
    keeping = asyncio.create_task(link.keep())
    try:
        yield Gpu(link, nodes.way_there, proxy), link
    finally:
        keeping.cancel()
        with suppress(asyncio.CancelledError):
            await keeping
        await nodes.close()


class Nodes:
    """Kept connections to nodes: each costs a CONNECT and a handshake. Made when the first request is granted.

    They are renewed together: the egress proxy ends a tunnel two hours after its beginning, whatever goes through it, and
    a certificate that has been renewed is shown from the next renewal on.
    """

    def __init__(self, secrets_dir: Path, clock: Clock) -> None:
        self._secrets_dir = secrets_dir
        self._clock = clock
        self._there: tuple[aiohttp.ClientSession, ssl.SSLContext] | None = None
        self._made_at = 0.0
        self._before: aiohttp.ClientSession | None = None
        self._closing: set[asyncio.Task[None]] = set()

    def way_there(self) -> tuple[aiohttp.ClientSession, ssl.SSLContext]:
        """Return the session and what a node is believed by. Raises GpuUnavailable."""
        now = self._clock.monotonic()
        if self._there is None or now - self._made_at > RENEW_SECONDS:
            there = self._make()
            if self._before is not None:
                self._close_soon(self._before)
            # What it has begun, it ends: an answer takes less than a renewal.
            self._before = None if self._there is None else self._there[0]
            self._there, self._made_at = there, now
        return self._there

    def _make(self) -> tuple[aiohttp.ClientSession, ssl.SSLContext]:
        context = client_context(self._secrets_dir)
        connector = aiohttp.TCPConnector(
            limit=0, keepalive_timeout=KEEP_ALIVE_SECONDS, ttl_dns_cache=10
        )
        session = aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
        )
        return session, context

    def _close_soon(self, session: aiohttp.ClientSession) -> None:
        closing = asyncio.create_task(session.close())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Close every connection."""
        if self._before is not None:
            await self._before.close()
        if self._there is not None:
            await self._there[0].close()
        await asyncio.gather(*self._closing)
