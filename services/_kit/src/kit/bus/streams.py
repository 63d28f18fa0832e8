"""The commands on streams that the bus needs, in plain types, with coded errors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from kit.bus.errors import BusDenied, BusFull, BusUnavailable
from kit.bus.resp import Client, Lost, ReplyError

if TYPE_CHECKING:
    from kit.bus.client import Broker

Entry = tuple[str, dict[str, str] | None]
COMMAND_S_MAX = 3.0
_CONNECTIONS_MAX = 16
_PENDING_MAX = 1000


class NoGroup(Exception):
    """The stream or the group is not there (any more)."""


@contextmanager
def coded() -> Iterator[None]:
    """Turn what went wrong into the bus's own errors."""
    try:
        yield
    except Lost as error:
        raise BusUnavailable() from error
    except ReplyError as error:
        if error.kind == "OOM":
            raise BusFull() from None
        if error.kind in ("NOPERM", "NOAUTH", "WRONGPASS"):
            raise BusDenied() from error
        if error.kind in ("LOADING", "MASTERDOWN", "BUSY", "ERR") and _passing(error):
            raise BusUnavailable() from error
        if error.kind == "NOGROUP":
            raise NoGroup() from error
        raise


def _passing(error: ReplyError) -> bool:
    return error.kind != "ERR" or "max number of clients" in str(error)


class Streams:
    """One service's streams in Valkey."""

    def __init__(self, broker: Broker) -> None:
        self._client = Client(
            broker.host,
            broker.port,
            broker.user,
            broker.password,
            connections_max=_CONNECTIONS_MAX,
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def ping(self) -> None:
        """Return if Valkey answers."""
        await self._call("PING")

    async def add(self, stream: str, entry: Mapping[str, str], length_max: int) -> str:
        """XADD, trimmed to about `length_max`; return the entry's id."""
        return await self._call(*_xadd(stream, entry, length_max))

    async def create_group(self, stream: str, group: str, start: str) -> None:
        """XGROUP CREATE, with its stream; nothing if it is there."""
        try:
            await self._call("XGROUP", "CREATE", stream, group, start, "MKSTREAM")
        except ReplyError as error:
            if error.kind != "BUSYGROUP":
                raise

    async def read_group(
        self, stream: str, group: str, name: str, after: str, count: int, block_s: float = 0.0
    ) -> list[Entry]:
        """XREADGROUP: new entries (`after` is ">"), waiting for them, or this member's own pending ones."""
        block = ("BLOCK", int(block_s * 1000)) if block_s else ()
        reply = await self._call(
            *("XREADGROUP", "GROUP", group, name, "COUNT", count, *block, "STREAMS", stream, after),
            seconds_max=COMMAND_S_MAX + block_s,
        )
        return _entries(reply[0][1]) if reply else []

    async def claim_idle(
        self, stream: str, group: str, name: str, idle_s: float, start: str, count: int
    ) -> tuple[str, list[Entry]]:
        """XAUTOCLAIM: what others (or this member) left for `idle_s`, and where to go on."""
        reply = await self._call(
            "XAUTOCLAIM", stream, group, name, int(idle_s * 1000), start, "COUNT", count
        )
        return reply[0], _entries(reply[1])

    async def keep(
        self, stream: str, group: str, name: str, entry_id: str, deliveries: int
    ) -> None:
        """XCLAIM one's own entry: touched now, its count of deliveries set."""
        await self._call(
            *("XCLAIM", stream, group, name, 0, entry_id, "RETRYCOUNT", deliveries, "JUSTID")
        )

    async def deliveries(
        self, stream: str, group: str, name: str, first: str, last: str
    ) -> dict[str, int]:
        """XPENDING: how often each entry that this member holds in a range was delivered."""
        reply = await self._call("XPENDING", stream, group, first, last, _PENDING_MAX, name)
        return {found[0]: int(found[3]) for found in reply}

    async def acknowledge(self, stream: str, group: str, entry_id: str) -> None:
        """XACK."""
        await self._call("XACK", stream, group, entry_id)

    async def bury(
        self,
        stream: str,
        group: str,
        entry_id: str,
        dead: str,
        letter: Mapping[str, str],
        length_max: int,
    ) -> None:
        """XADD the letter and XACK the entry: both or neither."""
        with coded():
            await self._client.transaction(
                _xadd(dead, letter, length_max),
                ("XACK", stream, group, entry_id),
                seconds_max=COMMAND_S_MAX,
            )

    async def lag(self, stream: str, group: str) -> int:
        """XINFO GROUPS: how many entries the group was not handed yet."""
        for flat in await self._call("XINFO", "GROUPS", stream):
            found = dict(zip(flat[::2], flat[1::2], strict=True))
            if found["name"] == group:
                return int(found.get("lag") or 0)
        return 0

    async def newest_id(self, stream: str) -> str:
        """XREVRANGE: the id of the newest entry, or the one before the first."""
        reply = await self._call("XREVRANGE", stream, "+", "-", "COUNT", 1)
        return reply[0][0] if reply else "0-0"

    async def read(self, stream: str, after: str, count: int, block_s: float) -> list[Entry]:
        """XREAD: entries after an id, waiting for them."""
        reply = await self._call(
            *("XREAD", "COUNT", count, "BLOCK", int(block_s * 1000), "STREAMS", stream, after),
            seconds_max=COMMAND_S_MAX + block_s,
        )
        return _entries(reply[0][1]) if reply else []

    async def _call(self, *command: str | int, seconds_max: float = COMMAND_S_MAX) -> Any:
        with coded():
            return await self._client.call(*command, seconds_max=seconds_max)


def _xadd(stream: str, entry: Mapping[str, str], length_max: int) -> list[str | int]:
    flat = [part for pair in entry.items() for part in pair]
    return ["XADD", stream, "MAXLEN", "~", length_max, "*", *flat]


def _entries(reply: list[Any]) -> list[Entry]:
    # An entry that was trimmed while pending comes without its fields.
    return [
        (entry_id, dict(zip(flat[::2], flat[1::2], strict=True)) if flat else None)
        for entry_id, flat in reply
    ]
