"""A person who keeps talking while things break, and remembers every promise the house made to them."""

from __future__ import annotations

import asyncio
import itertools
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

from tests.chaos.resident import Resident, Said, Trouble

PAUSE_SECONDS = 0.25
PATIENCE_SECONDS = 90.0
TURNS_PER_CONVERSATION = 20
T = TypeVar("T")


@dataclass
class Ledger:
    """What the house promised: facts it said it keeps, turns it said it took, answers it said are done."""

    facts: list[str] = field(default_factory=list)
    turns: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    troubles: list[Trouble] = field(default_factory=list)
    given_up: list[str] = field(default_factory=list)
    answered_at: list[float] = field(default_factory=list)
    remembered_at: list[float] = field(default_factory=list)

    def since(self, moment: float) -> list[Trouble]:
        return [trouble for trouble in self.troubles if trouble.at >= moment]


class Talker:
    """Talks in a thread of its own: tells facts by turn and by page, asks for them, tries again under the same key."""

    def __init__(self, make: Callable[[], Coroutine[Any, Any, Resident]]) -> None:
        self._make = make
        self.mark = f"chaos{secrets.token_hex(4)}"
        self.ledger = Ledger()
        self.resident: Resident | None = None
        self._quiet = threading.Event()
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._run(),))

    def start(self) -> None:
        self._thread.start()
        assert self._ready.wait(60), "the talker could not sign in"

    def hush(self) -> None:
        """Stop talking; promises made so far stand."""
        self._quiet.set()
        self._thread.join(PATIENCE_SECONDS + 60)
        assert not self._thread.is_alive(), "the talker never came to an end"

    def do(self, work: Callable[[Resident], Coroutine[Any, Any, T]]) -> T:
        """Use the talker's browser, while it talks or after it has hushed."""
        assert self.resident is not None
        if self._thread.is_alive():
            return asyncio.run_coroutine_threadsafe(work(self.resident), self._loop).result(60)
        return self._loop.run_until_complete(work(self.resident))

    def close(self) -> None:
        if self.resident is not None:
            self._loop.run_until_complete(self.resident.close())
        self._loop.close()

    async def _run(self) -> None:
        self.resident = await self._make()
        self._ready.set()
        # Two voices: an answer takes seconds, and writes must be under way whenever something dies.
        async with asyncio.TaskGroup() as voices:
            voices.create_task(self._tell())
            voices.create_task(self._wonder())

    async def _tell(self) -> None:
        conversation = ""
        for number in itertools.count():
            if self._quiet.is_set():
                return
            fact = f"{self.mark} fact {number} is {secrets.token_hex(4)}"
            if number % 2:
                await self._insist(fact, lambda key, fact=fact: self._write(fact, key))
            else:
                if number % (2 * TURNS_PER_CONVERSATION) == 0:
                    conversation = ""
                told = f"Remember that {fact}"
                conversation = await self._turn(told, conversation, keeps=fact) or conversation
            await asyncio.sleep(PAUSE_SECONDS)

    async def _wonder(self) -> None:
        conversation = ""
        for number in itertools.count():
            if self._quiet.is_set():
                return
            if number % TURNS_PER_CONVERSATION == 0:
                conversation = ""
            asked = f"What is {self.mark} fact {number}?"
            # Most answers are stopped soon: more of them are under way when something dies.
            stop_after = 0 if number % 5 == 0 else 6
            conversation = (
                await self._turn(asked, conversation, stop_after=stop_after) or conversation
            )
            await asyncio.sleep(PAUSE_SECONDS)

    async def _write(self, fact: str, key: str) -> Trouble | None:
        assert self.resident is not None
        trouble = await self.resident.remember(fact, key)
        if trouble is None:
            self.ledger.facts.append(fact)
            self.ledger.remembered_at.append(time.monotonic())
        return trouble

    async def _turn(
        self, text: str, conversation: str, *, keeps: str = "", stop_after: int = 0
    ) -> str:
        where = ""

        async def once(key: str) -> Trouble | None:
            nonlocal where
            assert self.resident is not None
            said = await self.resident.ask(text, key, conversation, stop_after=stop_after)
            if said.accepted:
                where = said.accepted["conversation_id"]
            return self._note(said, keeps)

        await self._insist(text, once)
        return where

    def _note(self, said: Said, keeps: str) -> Trouble | None:
        """Write down what was promised; return what went wrong, if anything did."""
        if said.accepted:
            ids = said.accepted
            self.ledger.turns[ids["turn_id"]] = (ids["conversation_id"], said.status, said.answer)
        if said.error is not None:
            code = str(said.error["code"])
            return Trouble(time.monotonic(), "turn", 200, code, str(said.error["reason"]))
        if said.trouble is not None:
            return said.trouble
        if said.status in ("done", "stopped"):
            if keeps:
                self.ledger.facts.append(keeps)
                self.ledger.remembered_at.append(time.monotonic())
            else:
                self.ledger.answered_at.append(time.monotonic())
            return None
        return Trouble(time.monotonic(), "turn", 200, "", f"ended as {said.status}")

    async def _insist(
        self, what: str, once: Callable[[str], Coroutine[Any, Any, Trouble | None]]
    ) -> None:
        """Try under one key until it is acknowledged, as a page's "Try again" does."""
        key = secrets.token_hex(16)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            trouble = await once(key)
            if trouble is None:
                return
            self.ledger.troubles.append(trouble)
            await asyncio.sleep(PAUSE_SECONDS)
        self.ledger.given_up.append(what)

    def summary(self) -> str:
        """Return what the person met with, for the report."""
        codes = Counter(f"{t.what} {t.status} {t.code or t.detail}" for t in self.ledger.troubles)
        lines = [f"{count:4d}  {code}" for code, count in codes.most_common()]
        told = f"{len(self.ledger.facts)} facts kept, {len(self.ledger.turns)} turns taken"
        return "\n".join([told, *lines])
