"""kit.bus.resp against servers that are not as they should be; the real one is behind every other test of the bus."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import hiredis
import pytest
from kit.bus.resp import Client, Lost, ReplyError

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(answer: Answer, connections_max: int = 2) -> AsyncGenerator[Client]:
    """A server that welcomes everyone and then does what `answer` does."""

    async def welcome(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await decode(reader)
            writer.write(b"+OK\r\n")
            await answer(reader, writer)
        except (Lost, OSError, EOFError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(welcome, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    client = Client("127.0.0.1", port, "me", "secret", connections_max=connections_max)
    try:
        yield client
    finally:
        await client.aclose()
        server.close()


def always(reply: bytes) -> Answer:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await decode(reader)
            writer.write(reply)

    return answer


async def decode(reader: asyncio.StreamReader) -> list[str]:
    """Read one command as a server does. Raises Lost when the client has gone."""
    # One parser a connection: commands that came together wait in it.
    parser = vars(reader).setdefault("parser", hiredis.Reader(encoding="utf-8"))
    while (command := parser.gets()) is False:
        data = await reader.read(65536)
        if not data:
            raise Lost("the client has gone")
        parser.feed(data)
    return command


async def test_every_kind_of_reply_is_read() -> None:
    replies = {
        b"+OK\r\n": "OK",
        b":-7\r\n": -7,
        b"$-1\r\n": None,
        b"*-1\r\n": None,
        b"$6\r\n\xc3\xa9\r\nab\r\n": "é\r\nab",
        b"*2\r\n$1\r\na\r\n*1\r\n:1\r\n": ["a", [1]],
    }
    for sent, read in replies.items():
        async with serving(always(sent)) as client:
            assert await client.call("GET", seconds_max=2) == read
    async with serving(always(b"-NOPERM no permission\r\n")) as client:
        with pytest.raises(ReplyError) as caught:
            await client.call("GET", seconds_max=2)
        assert caught.value.kind == "NOPERM"


async def test_a_reply_in_many_pieces_is_one_reply() -> None:
    async def piecewise(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await decode(reader)
        for byte in b"$5\r\nhello\r\n":
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)
        await decode(reader)

    async with serving(piecewise) as client:
        assert await client.call("GET", seconds_max=2) == "hello"


async def test_an_argument_cannot_become_a_second_command() -> None:
    seen: list[list[str]] = []

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await decode(reader))
        writer.write(b"+OK\r\n")
        await decode(reader)

    async with serving(echo) as client:
        await client.call("GET", "a\r\nFLUSHALL\r\n", seconds_max=2)
    assert seen == [["GET", "a\r\nFLUSHALL\r\n"]]


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 400 Bad Request\r\n",
        b"$99999999999\r\n",
        b"*99999999\r\n",
        b":x\r\n",
        b"+" + b"x" * 200_000,
        b"",
    ],
)
async def test_what_is_not_resp2_or_beyond_the_limits_is_a_lost_connection(reply: bytes) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await decode(reader)
        writer.write(reply)
        await writer.drain()

    async with serving(answer) as client:
        with pytest.raises(Lost):
            await client.call("PING", seconds_max=2)


async def test_a_silent_server_is_left_after_the_time_given() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(30)

    async with serving(silent) as client:
        begun = asyncio.get_running_loop().time()
        with pytest.raises(Lost):
            await client.call("PING", seconds_max=0.2)
        assert asyncio.get_running_loop().time() - begun < 2


async def test_connections_are_used_again_and_never_more_than_allowed() -> None:
    seen: list[int] = []

    async def counting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(1)
        while True:
            await decode(reader)
            await asyncio.sleep(0.02)
            writer.write(b"+PONG\r\n")

    async with serving(counting, connections_max=2) as client:
        await asyncio.gather(*(client.call("PING", seconds_max=5) for _ in range(20)))
    assert len(seen) <= 2


async def test_a_cancelled_call_s_late_answer_is_never_taken_for_the_next_one_s() -> None:
    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            command = await decode(reader)
            await asyncio.sleep(0.2)
            writer.write(b"+%s\r\n" % command[1].encode())

    async with serving(slow, connections_max=1) as client:
        first = asyncio.create_task(client.call("ECHO", "first", seconds_max=5))
        await asyncio.sleep(0.1)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert await client.call("ECHO", "second", seconds_max=5) == "second"


async def test_a_connection_that_died_while_idle_is_replaced_without_a_word() -> None:
    connections: list[asyncio.StreamWriter] = []

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        await decode(reader)
        writer.write(b"+PONG\r\n")
        await writer.drain()
        await decode(reader)

    async with serving(once) as client:
        assert await client.call("PING", seconds_max=2) == "PONG"
        assert await client.call("PING", seconds_max=2) == "PONG"
    assert len(connections) == 2


async def test_a_refused_command_inside_a_transaction_says_why() -> None:
    replies = iter([b"+OK\r\n", b"-OOM command not allowed\r\n", b"-EXECABORT previous errors\r\n"])

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for reply in replies:
            await decode(reader)
            writer.write(reply)
        await decode(reader)

    async with serving(answer) as client:
        with pytest.raises(ReplyError) as caught:
            await client.transaction(("XADD", "s"), seconds_max=2)
        assert caught.value.kind == "OOM"


async def test_a_refused_password_is_a_refusal_and_not_a_lost_connection() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await decode(reader)
        writer.write(b"-WRONGPASS invalid username-password pair\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    client = Client("127.0.0.1", port, "me", "secret", connections_max=1)
    with pytest.raises(ReplyError, match="WRONGPASS"):
        await client.call("PING", seconds_max=2)
    server.close()


async def test_an_error_reply_leaves_the_connection_usable() -> None:
    async with serving(always(b"-ERR no\r\n"), connections_max=1) as client:
        for _ in range(3):
            with pytest.raises(ReplyError):
                await client.call("X", seconds_max=2)
