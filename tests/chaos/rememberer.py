"""Several hands at one memory while its parts are killed: each promise that was made is written down."""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.chaos.resident import Resident

PATIENCE_SECONDS = 90.0
PAUSE_SECONDS = 0.08
LEVELS = ("session", "working", "episodic", "knowledge")
TIERS = ("convenience", "convenience", "sensitive", "sacred")
THINGS = "kettle ladder hammock piano compass blanket lantern trumpet bicycle mirror parasol anvil".split()
PLACES = (
    "attic cellar shed pantry garage hallway study balcony larder nursery workshop porch".split()
)
DEEDS = "borrowed painted repaired measured photographed polished catalogued wrapped insured lent".split()


@dataclass
class Promise:
    """One memory as the house acknowledged it last."""

    text: str
    tier: str
    level: str


@dataclass
class Promises:
    """What was acknowledged: memories by id, and those that were forgotten. `unsure` may be either."""

    kept: dict[str, Promise] = field(default_factory=dict)
    forgotten: set[str] = field(default_factory=set)
    recalls: int = 0
    degraded: int = 0
    troubles: list[tuple[str, int, str]] = field(default_factory=list)
    given_up: list[str] = field(default_factory=list)


class Rememberer:
    """Writes, edits, forgets, reads and recalls as one person, trying again until it is told yes."""

    def __init__(self, resident: Resident) -> None:
        self.resident = resident
        self.promises = Promises()
        self._done = asyncio.Event()
        self._changing: set[str] = set()
        self._random = random.Random(20)

    async def work(self) -> None:
        """Work with every hand until `rest`."""
        async with asyncio.TaskGroup() as hands:
            for _ in range(2):
                hands.create_task(self._writes())
            hands.create_task(self._edits())
            hands.create_task(self._forgets())
            hands.create_task(self._asks())

    def rest(self) -> None:
        """Let every hand finish what it has begun."""
        self._done.set()

    async def _writes(self) -> None:
        while not self._done.is_set():
            body = {
                "text": self._sentence(),
                "tier": self._random.choice(TIERS),
                "level": self._random.choice(LEVELS),
            }
            key = secrets.token_hex(12)

            async def once(told: dict[str, str] = body, key: str = key) -> httpx.Response:
                return await self.resident.request(
                    "POST", "/api/memories", told, {"idempotency-key": key}
                )

            reply = await self._insist("write", once, (200, 201))
            if reply is not None:
                memory = reply.json()
                self.promises.kept[memory["id"]] = Promise(
                    memory["text"], memory["tier"], memory["level"]
                )
            await asyncio.sleep(PAUSE_SECONDS)

    async def _edits(self) -> None:
        while not self._done.is_set():
            await asyncio.sleep(PAUSE_SECONDS * 6)
            chosen = self._choose()
            if chosen is None:
                continue
            text = self._sentence()

            async def once(place: str = chosen, text: str = text) -> httpx.Response:
                return await self.resident.request(
                    "PATCH", f"/api/memories/{place}", {"text": text}
                )

            if await self._insist("edit", once, (200,)) is not None:
                self.promises.kept[chosen].text = text
            self._changing.discard(chosen)

    async def _forgets(self) -> None:
        while not self._done.is_set():
            await asyncio.sleep(PAUSE_SECONDS * 12)
            chosen = self._choose()
            if chosen is None:
                continue

            async def once(place: str = chosen) -> httpx.Response:
                return await self.resident.request("DELETE", f"/api/memories/{place}")

            # A repeated forgetting may find it gone: the first one had done it when the line broke.
            if await self._insist("forget", once, (200, 404)) is not None:
                del self.promises.kept[chosen]
                self.promises.forgotten.add(chosen)
            self._changing.discard(chosen)

    async def _asks(self) -> None:
        while not self._done.is_set():
            await asyncio.sleep(PAUSE_SECONDS * 2)
            thing = self._random.choice(THINGS)

            async def once(thing: str = thing) -> httpx.Response:
                return await self.resident.request(
                    "POST", "/api/recall", {"query": f"What happened to the {thing}?", "limit": 10}
                )

            reply = await self._insist("recall", once, (200,))
            if reply is not None:
                self.promises.recalls += 1
                self.promises.degraded += reply.json()["degraded"] is not None

    def _choose(self) -> str | None:
        free = [each for each in self.promises.kept if each not in self._changing]
        if len(free) < 5:
            return None
        chosen = self._random.choice(free)
        self._changing.add(chosen)
        return chosen

    def _sentence(self) -> str:
        """A sentence that no other one repeats, nearly or in what it states."""
        choose = self._random.choice
        first, second = self._random.sample(THINGS, 2)
        return (
            f"Number {secrets.randbelow(10**9)}: the {first} from the {choose(PLACES)} was {choose(DEEDS)} beside"
            f" the {second}, says note {secrets.token_hex(5)}"
        )

    async def _insist(
        self, what: str, once: Callable[[], Awaitable[httpx.Response]], good: tuple[int, ...]
    ) -> httpx.Response | None:
        """Ask until the answer is good; None when patience ends."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            try:
                reply = await once()
                if reply.status_code in good:
                    return reply
                self.promises.troubles.append((what, reply.status_code, _code(reply)))
            except httpx.TransportError as error:
                self.promises.troubles.append((what, 0, type(error).__name__))
            await asyncio.sleep(0.3)
        self.promises.given_up.append(what)
        return None


def _code(reply: httpx.Response) -> str:
    try:
        code: Any = reply.json()["error"]["code"]
    except (ValueError, KeyError, TypeError):
        return ""
    return str(code)
