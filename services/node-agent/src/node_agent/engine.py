"""The container engine over its socket: the few calls that are needed, each with a time limit.

Whoever holds this socket rules the node. So every path is written here, and what is put into one is an id that the
engine itself gave, or a name that is made in containers.py.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp

from node_agent.containers import INSTANCE, NET, NODE
from node_agent.errors import EngineRefused, EngineUnavailable

ANSWER_BYTES_MAX = 8 * 1024 * 1024
LOG_BYTES_MAX = 64 * 1024
SECONDS_MAX = 5.0
CREATE_SECONDS_MAX = 60.0
SAID_CHARS_MAX = 300
_PLAIN = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$")


@dataclass(frozen=True)
class Found:
    """One container, from the list."""

    id: str
    name: str
    state: str  # created, running, exited, dead, ...
    labels: Mapping[str, str]


@dataclass(frozen=True)
class Ended:
    """How a container's process ended."""

    running: bool
    exit_code: int
    oom_killed: bool
    pid: int = 0
    networks: Mapping[str, str] = field(default_factory=dict[str, str])  # name -> address


class Engine:
    """The engine behind one socket. Every call raises EngineUnavailable or EngineRefused."""

    def __init__(self, socket_path: Path, node: str, *, seconds_max: float = SECONDS_MAX) -> None:
        self._path = str(socket_path)
        self._node = node
        self._seconds_max = seconds_max
        self._session: aiohttp.ClientSession | None = None

    async def ping(self) -> None:
        """Return when the engine answers."""
        await self._ask("GET", "/_ping", text=True)

    async def containers(self) -> list[Found]:
        """Return every container of this node's agent, running or not."""
        filters = json.dumps({"label": [INSTANCE, f"{NODE}={self._node}"]})
        listed = await self._ask("GET", f"/containers/json?all=1&filters={quote(filters)}")
        return [
            Found(
                id=str(one["Id"]),
                name=str((one.get("Names") or ["/"])[0]).lstrip("/"),
                state=str(one.get("State", "")),
                labels=one.get("Labels") or {},
            )
            for one in listed or []
        ]

    async def create(self, name: str, body: Mapping[str, Any]) -> str:
        """Make a container and return its id. One of the same name that does not run is replaced."""
        path = f"/containers/create?name={_checked(name)}"
        try:
            made = await self._ask("POST", path, body, seconds=CREATE_SECONDS_MAX)
        except EngineRefused as error:
            if "already in use" not in error.reason:
                raise
            await self.remove(name)
            made = await self._ask("POST", path, body, seconds=CREATE_SECONDS_MAX)
        return str(made["Id"])

    async def start(self, container: str) -> None:
        """Start it; one that runs already is left alone."""
        await self._ask(
            "POST", f"/containers/{_checked(container)}/start", seconds=CREATE_SECONDS_MAX
        )

    async def stop(self, container: str, seconds: int) -> None:
        """Ask it to end, and kill it after `seconds`. One that is gone has stopped."""
        await self._ask(
            "POST",
            f"/containers/{_checked(container)}/stop?t={seconds}",
            seconds=seconds + self._seconds_max * 2,
            missing_is_fine=True,
        )

    async def remove(self, container: str) -> None:
        """Kill and remove it with its volumes. One that is gone is removed."""
        await self._ask(
            "DELETE",
            f"/containers/{_checked(container)}?force=1&v=1",
            seconds=self._seconds_max * 3,
            missing_is_fine=True,
        )

    async def inspect(self, container: str) -> Ended | None:
        """Return how it is, or None when it is gone."""
        told = await self._ask(
            "GET", f"/containers/{_checked(container)}/json", missing_is_fine=True
        )
        if told is None:
            return None
        state = told.get("State") or {}
        joined = (told.get("NetworkSettings") or {}).get("Networks") or {}
        return Ended(
            running=bool(state.get("Running")),
            exit_code=int(state.get("ExitCode") or 0),
            oom_killed=bool(state.get("OOMKilled")),
            pid=int(state.get("Pid") or 0),
            networks={name: str(one.get("IPAddress") or "") for name, one in joined.items()},
        )

    async def log_tail(self, container: str, lines: int = 200) -> str:
        """Return the end of what it wrote, both streams, bounded; nothing when it is gone."""
        path = f"/containers/{_checked(container)}/logs?stdout=1&stderr=1&tail={lines}"
        raw = await self._ask("GET", path, raw=True, missing_is_fine=True)
        return _unframed(raw or b"")[-LOG_BYTES_MAX:]

    async def pids(self, container: str) -> frozenset[int]:
        """Return the host's ids of its processes."""
        path = f"/containers/{_checked(container)}/top?ps_args={quote('-eo pid')}"
        told = await self._ask("GET", path, missing_is_fine=True)
        rows: list[list[str]] = (told or {}).get("Processes") or []
        return frozenset(int(row[0]) for row in rows if row and row[0].strip().isdigit())

    async def image_id(self, image: str) -> str | None:
        """Return the id of an image that is on this node, or None."""
        told = await self._ask(
            "GET", f"/images/{quote(image, safe='/:@')}/json", missing_is_fine=True
        )
        return None if told is None else str(told["Id"])

    async def networks(self) -> dict[str, int]:
        """Return this node's networks for models: their names and numbers."""
        filters = json.dumps({"label": [NET, f"{NODE}={self._node}"]})
        listed = await self._ask("GET", f"/networks?filters={quote(filters)}")
        found = {str(one["Name"]): str((one.get("Labels") or {}).get(NET)) for one in listed or []}
        return {name: int(net) for name, net in found.items() if net.isdigit()}

    async def make_network(self, body: Mapping[str, Any]) -> None:
        """Make a network; one of its name is one of ours, left by a start that broke off."""
        try:
            await self._ask("POST", "/networks/create", body, seconds=CREATE_SECONDS_MAX)
        except EngineRefused as error:
            if "already exists" not in error.reason:
                raise

    async def join(self, network: str, container: str) -> None:
        """Put a container on a network; one that is on it already is left there."""
        try:
            await self._ask(
                "POST", f"/networks/{_checked(network)}/connect", {"Container": container}
            )
        except EngineRefused as error:
            if "already exists" not in error.reason:
                raise

    async def remove_network(self, network: str, member: str = "") -> None:
        """Remove a network, its last member taken off first. One that is gone is removed."""
        if member:
            try:
                await self._ask(
                    "POST",
                    f"/networks/{_checked(network)}/disconnect",
                    {"Container": member, "Force": True},
                    missing_is_fine=True,
                )
            except EngineRefused:
                pass  # it was not on it
        await self._ask("DELETE", f"/networks/{_checked(network)}", missing_is_fine=True)

    async def deaths(self) -> AsyncIterator[str]:
        """Yield the id of each of our containers whose process ends, until the engine hangs up."""
        filters = json.dumps(
            {"type": ["container"], "event": ["die"], "label": [f"{NODE}={self._node}"]}
        )
        path = f"http://engine/events?filters={quote(filters)}"
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=self._seconds_max)
        try:
            async with self._connected().get(path, timeout=timeout) as answer:
                while line := await answer.content.readline():
                    yield str((json.loads(line).get("Actor") or {}).get("ID", ""))
        except (aiohttp.ClientError, OSError, ValueError, TimeoutError) as error:
            raise EngineUnavailable(f"The engine's events end: {type(error).__name__}.") from None

    async def close(self) -> None:
        """Hang up."""
        if self._session is not None:
            await self._session.close()

    def _connected(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.UnixConnector(self._path, limit=64),
                trust_env=False,
            )
        return self._session

    async def _ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        seconds: float | None = None,
        missing_is_fine: bool = False,
        text: bool = False,
        raw: bool = False,
    ) -> Any:
        """Return the answer's JSON (or text, or bytes). A socket that hangs is EngineUnavailable after `seconds`."""
        try:
            async with asyncio.timeout(seconds or self._seconds_max):
                async with self._connected().request(
                    method, f"http://engine{path}", json=body, timeout=aiohttp.ClientTimeout()
                ) as answer:
                    said = await _bounded(answer)
        except TimeoutError:
            raise EngineUnavailable(
                f"The engine did not answer in {seconds or self._seconds_max:g} s."
            ) from None
        except (aiohttp.ClientError, OSError) as error:
            raise EngineUnavailable(
                f"The engine does not answer: {type(error).__name__}."
            ) from None
        if answer.status == 404 and missing_is_fine:
            return None
        if answer.status >= 400:
            raise EngineRefused(f"The engine refused: {_message(said)}")
        if raw:
            return said
        return said.decode(errors="replace") if text else _json(said)


async def _bounded(answer: aiohttp.ClientResponse) -> bytes:
    said = bytearray()
    async for piece in answer.content.iter_any():
        said += piece
        if len(said) > ANSWER_BYTES_MAX:
            raise EngineUnavailable("The engine's answer is larger than is taken.")
    return bytes(said)


def _checked(name: str) -> str:
    if not _PLAIN.match(name):
        raise ValueError("not a container's or a network's id")
    return name


def _json(said: bytes) -> Any:
    if not said.strip():
        return None
    try:
        return json.loads(said)
    except ValueError:
        raise EngineUnavailable("The engine's answer is not JSON.") from None


def _message(said: bytes) -> str:
    try:
        return str(json.loads(said)["message"])[:SAID_CHARS_MAX]
    except (ValueError, KeyError, TypeError):
        return "it says nothing more"


def _unframed(raw: bytes) -> str:
    """Return a log without its frames: eight bytes before each piece, the last four its length."""
    pieces: list[bytes] = []
    at = 0
    while at + 8 <= len(raw) and raw[at] in (0, 1, 2):
        size = int.from_bytes(raw[at + 4 : at + 8], "big")
        pieces.append(raw[at + 8 : at + 8 + size])
        at += 8 + size
    return b"".join(pieces).decode(errors="replace")
