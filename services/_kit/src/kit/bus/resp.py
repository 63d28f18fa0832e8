"""A small pool of connections to Valkey for the bus: hiredis speaks the protocol, asyncio carries it.

The usual driver on top of hiredis costs a process 5.6 MB, more than a tenth of a service's memory, for the dozen
commands used here.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from typing import Any

import hiredis

Reply = Any
Argument = str | int | bytes
_READ_BYTES = 64 * 1024
# One exchange's replies: a hundred events of a few hundred bytes, with a wide margin.
_REPLY_BYTES_MAX = 16 * 1024 * 1024


class ReplyError(Exception):
    """Valkey's own refusal of a command: `kind` is its first word (OOM, NOPERM, BUSYGROUP, ...)."""

    def __init__(self, text: str) -> None:
        self.kind, _, rest = text.partition(" ")
        super().__init__(f"{self.kind}: {rest}")


class Lost(Exception):
    """The connection could not be made, was lost, timed out, or spoke something else than RESP2."""


class _Connection:
    """One authenticated connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._parser = hiredis.Reader(
            protocolError=Lost, replyError=ReplyError, encoding="utf-8", errors="replace"
        )

    @classmethod
    async def open(cls, host: str, port: int, user: str, password: str) -> _Connection:
        reader, writer = await asyncio.open_connection(host, port)
        sock: socket.socket = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection = cls(reader, writer)
        try:
            [reply] = await connection.exchange([("AUTH", user, password)])
            if isinstance(reply, ReplyError):
                raise reply
        except BaseException:
            connection.close()
            raise
        return connection

    @property
    def usable(self) -> bool:
        """Whether nothing has ended it yet, as far as this side knows."""
        return not (self._reader.at_eof() or self._writer.is_closing())

    async def exchange(self, commands: Sequence[Sequence[Argument]]) -> list[Reply]:
        """Send commands and read as many replies; an error reply is returned as a ReplyError, not raised."""
        # Its stub says a tuple of exactly one.
        pack: Any = hiredis.pack_command
        self._writer.write(b"".join(pack(tuple(command)) for command in commands))
        await self._writer.drain()
        replies: list[Reply] = []
        bytes_left = _REPLY_BYTES_MAX
        while len(replies) < len(commands):
            # RESP2 has no booleans: False says that the reply is not all there yet.
            reply = self._parser.gets()
            if reply is not False:
                replies.append(reply)
                continue
            data = await self._reader.read(_READ_BYTES)
            bytes_left -= len(data)
            if not data or bytes_left < 0:
                raise Lost("the connection ended" if not data else "a reply beyond the limit")
            self._parser.feed(data)
        return replies

    def close(self) -> None:
        self._writer.close()


class Client:
    """A bounded pool of connections as one user. Every call has a time limit, waiting for a connection included."""

    def __init__(
        self, host: str, port: int, user: str, password: str, *, connections_max: int
    ) -> None:
        self._address = (host, port)
        self._login = (user, password)
        self._free = asyncio.Semaphore(connections_max)
        self._idle: list[_Connection] = []
        self._closed = False

    async def call(self, *command: Argument, seconds_max: float) -> Reply:
        """Send one command and return its reply. Raises ReplyError, Lost."""
        [reply] = await self._exchange([command], seconds_max)
        if isinstance(reply, ReplyError):
            raise reply
        return reply

    async def transaction(self, *commands: Sequence[Argument], seconds_max: float) -> list[Reply]:
        """Send commands as one MULTI: all of them happen or none. Raises ReplyError, Lost."""
        replies = await self._exchange([("MULTI",), *commands, ("EXEC",)], seconds_max)
        # A refused command makes EXEC fail too, and its own reply says why.
        for reply in replies:
            if isinstance(reply, ReplyError):
                raise reply
        results: list[Reply] = replies[-1]
        for result in results:
            if isinstance(result, ReplyError):
                raise result
        return results

    async def aclose(self) -> None:
        """Close what is idle; what is in use closes when it comes back."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()

    async def _exchange(
        self, commands: Sequence[Sequence[Argument]], seconds_max: float
    ) -> list[Reply]:
        try:
            async with asyncio.timeout(seconds_max):
                async with self._free:
                    connection = self._reusable()
                    if connection is not None:
                        try:
                            return await self._use(connection, commands)
                        except (Lost, OSError, EOFError):
                            # It may have died unnoticed while idle: a fresh one decides. What was sent may have
                            # been done; every command of the bus may be done twice.
                            pass
                    connection = await _Connection.open(*self._address, *self._login)
                    return await self._use(connection, commands)
        except (OSError, EOFError, ValueError, TimeoutError) as error:
            raise Lost(type(error).__name__) from error

    def _reusable(self) -> _Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                return connection
            connection.close()
        return None

    async def _use(
        self, connection: _Connection, commands: Sequence[Sequence[Argument]]
    ) -> list[Reply]:
        try:
            replies = await connection.exchange(commands)
        except BaseException:
            # Also when cancelled: an unread reply would answer the next command.
            connection.close()
            raise
        if self._closed:
            connection.close()
        else:
            self._idle.append(connection)
        return replies
