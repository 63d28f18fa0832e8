"""What the gateway adds to a stream: an upstream that writes tokens by the clock, and clients that look when they come.

    python -m tests.bench.gateway_overhead upstream HOST PORT
    python -m tests.bench.gateway_overhead clients HOST PORT PATH STREAMS SECONDS TOKENS

Both are plain protocols on an event loop: what they cost themselves is the same on both ways, and small. Every token
bears the instant at which it was written (CLOCK_MONOTONIC, one machine), so that its lateness needs no guess.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import sys
import time
from typing import Any

import uvloop

TOKENS_PER_SECOND = 50
FIRST_TOKEN_SECONDS = 0.05
WARM_SECONDS = 2.0
_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
_TOKENS = re.compile(rb'"max_tokens":\s?(\d+)')
_STAMP = re.compile(rb'"content":"t(\d+)"')
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_END = b"0\r\n\r\n"
# What node-agent asks a model's server: whether it is there, whether it sleeps.
_WELL = b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 22\r\n\r\n{"is_sleeping": false}'


def chunked(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def event(delta: str, finish: str = "null") -> bytes:
    """Return an event with the keys, and in the order, in which llama.cpp writes them."""
    return chunked(
        b'data: {"choices":[{"finish_reason":%b,"index":0,"delta":%b}],"created":1795192075,'
        b'"id":"chatcmpl-EqbKznaG6Zej7Gl9vpviHJSrCklbgPe0","model":"small","system_fingerprint":"b0-unknown",'
        b'"object":"chat.completion.chunk"}\n\n' % (finish.encode(), delta.encode())
    )


class Upstream(asyncio.Protocol):
    """Answers every POST with as many tokens as it asks for, one each 20 ms, and every GET with all being well."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.transport: Any
        self.buffer = b""
        self.timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if self.timer:
            self.timer.cancel()

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, blank, body = self.buffer.partition(b"\r\n\r\n")
        if blank and head.startswith(b"GET "):
            self.buffer = body
            self.transport.write(_WELL)
            return
        length = _LENGTH.search(head)
        if not blank or not length or len(body) < int(length[1]):
            return
        asked = _TOKENS.search(body)
        self.left = int(asked[1]) if asked else 50
        self.buffer = body[int(length[1]) :]
        self.due = self.loop.time() + FIRST_TOKEN_SECONDS
        self.first = True
        self.timer = self.loop.call_at(self.due, self.tick)

    def tick(self) -> None:
        out = b""
        if self.first:
            self.first = False
            out = _HEAD + event('{"role":"assistant","content":null}')
        if self.left:
            self.left -= 1
            self.due += 1 / TOKENS_PER_SECOND
            self.timer = self.loop.call_at(self.due, self.tick)
            self.transport.write(out + event(f'{{"content":"t{time.monotonic_ns()}"}}'))
            return
        self.transport.write(event("{}", '"stop"') + chunked(b"data: [DONE]\n\n") + _END)


class Client(asyncio.Protocol):
    """One stream after the other over one connection, as the house's services keep theirs."""

    def __init__(self, path: str, tokens: int, until: float, seen: Seen) -> None:
        body = json.dumps(
            {
                "model": "small",
                "messages": [{"role": "user", "content": "Tell me about the lighthouse. " * 20}],
                "max_tokens": tokens,
                "stream": True,
            }
        ).encode()
        self.request = (
            f"POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n"
            f"x-lares-max-tier: convenience\r\nx-lares-class: interactive\r\ncontent-length: {len(body)}\r\n\r\n"
        ).encode() + body
        self.tokens, self.until, self.seen = tokens, until, seen
        self.loop = asyncio.get_running_loop()
        self.over: asyncio.Future[None] = self.loop.create_future()
        self.transport: Any
        self.tail = b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.ask()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.over.done():
            self.over.set_exception(RuntimeError(f"cut off: {exc!r} {self.tail[-300:]!r}"))

    def ask(self) -> None:
        self.tail = b""
        self.first, self.had = True, 0
        self.asked = time.monotonic_ns()
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns()
        if self.first:
            self.first = False
            if not data.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(data[:300].decode())
            self.seen.first.append((self.asked, now - self.asked))
        data = self.tail + data
        last = 0
        for found in _STAMP.finditer(data):
            self.seen.late.append((now, now - int(found[1])))
            self.had += 1
            last = found.end()
        self.tail = data[max(last, len(data) - 400) :]
        if data.endswith(_END):
            if self.had != self.tokens:
                raise RuntimeError(f"{self.had} tokens of {self.tokens} came")
            if self.loop.time() >= self.until:
                self.over.set_result(None)
                self.transport.close()
            else:
                self.loop.call_later(random.uniform(0.0, 0.1), self.ask)


class Seen:
    """What the clients saw, in nanoseconds: (when it was asked, to the first byte), (when it came, how late)."""

    def __init__(self) -> None:
        self.first: list[tuple[int, int]] = []
        self.late: list[tuple[int, int]] = []


async def upstream(host: str, port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Upstream, host, port, backlog=1024)
    await server.serve_forever()


async def clients(
    host: str, port: int, path: str, streams: int, seconds: float, tokens: int
) -> None:
    loop, seen = asyncio.get_running_loop(), Seen()
    began = time.monotonic_ns()
    until = loop.time() + WARM_SECONDS + seconds
    over: list[asyncio.Future[None]] = []
    for _ in range(streams):
        # Spread over an answer's length: they go on as they came, and never all at once.
        await asyncio.sleep(tokens / TOKENS_PER_SECOND / streams)
        _, client = await loop.create_connection(
            lambda: Client(path, tokens, until, seen), host, port
        )
        over.append(client.over)
    await asyncio.gather(*over)
    warm = began + int(WARM_SECONDS * 1e9)
    middle = warm + int(seconds / 2 * 1e9)
    print(
        json.dumps(
            {
                "first_ms": [round(took / 1e6, 3) for at, took in seen.first if at >= warm],
                "late_ms": [round(late / 1e6, 3) for at, late in seen.late if warm <= at < middle],
                "late_later_ms": [round(late / 1e6, 3) for at, late in seen.late if at >= middle],
            }
        )
    )


if __name__ == "__main__":
    role, *arguments = sys.argv[1:]
    if role == "upstream":
        uvloop.run(upstream(arguments[0], int(arguments[1])))
    else:
        uvloop.run(
            clients(
                arguments[0],
                int(arguments[1]),
                arguments[2],
                int(arguments[3]),
                float(arguments[4]),
                int(arguments[5]),
            )
        )
