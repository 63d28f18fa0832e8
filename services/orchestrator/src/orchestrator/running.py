"""The turns that run now: their limits, their listeners, and how each is stopped."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from kit.clock import Clock

from orchestrator.domain import Intent
from orchestrator.errors import Busy, TooManyTurns

PING_SECONDS = 10.0
Event = tuple[str, Any]


class Feed:
    """What a turn has said so far. Whoever listens hears all of it, however late they come.

    Bounded by what it carries: an answer has a most of tokens, a turn a handful of other events.
    """

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._closed = False
        self._news = asyncio.Condition()

    async def say(self, name: str, data: Any) -> None:
        """Add an event and wake the listeners."""
        async with self._news:
            if not self._closed:
                self._events.append((name, data))
                self._news.notify_all()

    async def close(self) -> None:
        """End the feed: listeners return once they have heard everything."""
        async with self._news:
            self._closed = True
            self._news.notify_all()

    async def listen(self) -> AsyncGenerator[Event | None]:
        """Yield every event from the first on; None when nothing happened for a while, to keep a line open."""
        heard = 0
        while True:
            async with self._news:
                try:
                    async with asyncio.timeout(PING_SECONDS):
                        while heard >= len(self._events) and not self._closed:
                            await self._news.wait()
                except TimeoutError:
                    pass
                fresh, over = self._events[heard:], self._closed
            if not fresh and not over:
                yield None
            for event in fresh:
                yield event
            heard += len(fresh)
            if over and not fresh:
                return


@dataclass(slots=True, eq=False)
class RunningTurn:
    """One live turn. `intent` holds the person's words; they go nowhere from here but to where the plan says."""

    turn_id: UUID
    conversation_id: UUID
    subject: UUID
    correlation_id: str
    intent: Intent
    feed: Feed = field(default_factory=Feed)
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None
    listeners: int = 0
    abandonment: asyncio.Task[None] | None = None


class Registry:
    """Every live turn of this process, and how many there may be."""

    def __init__(self, clock: Clock, *, per_person_max: int, all_max: int, grace_s: float) -> None:
        self._clock = clock
        self._per_person_max = per_person_max
        self._all_max = all_max
        self._grace_s = grace_s
        self._turns: dict[UUID, RunningTurn] = {}

    def add(self, turn: RunningTurn) -> None:
        """Admit a turn. Raises TooManyTurns or Busy."""
        if sum(t.subject == turn.subject for t in self._turns.values()) >= self._per_person_max:
            raise TooManyTurns(Retry_After="5")
        if len(self._turns) >= self._all_max:
            raise Busy(Retry_After="5")
        self._turns[turn.turn_id] = turn

    def remove(self, turn: RunningTurn) -> None:
        """Take out a turn that ended."""
        self._turns.pop(turn.turn_id, None)

    def get(self, turn_id: UUID, subject: UUID) -> RunningTurn | None:
        """Return this person's live turn of that id, or None."""
        turn = self._turns.get(turn_id)
        return turn if turn is not None and turn.subject == subject else None

    def alive(self) -> list[UUID]:
        """Return the ids of all live turns."""
        return list(self._turns)

    def of_conversation(self, conversation_id: UUID, subject: UUID) -> list[RunningTurn]:
        """Return this person's live turns in a conversation."""
        return [
            t
            for t in self._turns.values()
            if t.conversation_id == conversation_id and t.subject == subject
        ]

    def start(self, turn: RunningTurn, work: Coroutine[Any, Any, None]) -> None:
        """Run a turn in a task of its own: it outlives the request that began it."""
        turn.task = asyncio.create_task(work)

    def join(self, turn: RunningTurn) -> None:
        """Note a listener; a planned abandonment is called off."""
        turn.listeners += 1
        if turn.abandonment is not None:
            turn.abandonment.cancel()
            turn.abandonment = None

    def leave(self, turn: RunningTurn) -> None:
        """Note that a listener went. When it was the last, the turn stops after a grace and keeps what it has."""
        turn.listeners -= 1
        if turn.listeners <= 0 and turn.abandonment is None and turn.turn_id in self._turns:
            turn.abandonment = asyncio.create_task(self._abandon(turn))

    async def _abandon(self, turn: RunningTurn) -> None:
        await self._clock.sleep(self._grace_s)
        turn.stop.set()

    async def close(self, within_s: float) -> None:
        """Cancel every turn and wait a moment for each to keep what it has."""
        tasks = [turn.task for turn in self._turns.values() if turn.task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=within_s)


async def unless_stopped(work: Coroutine[Any, Any, None], stop: asyncio.Event) -> bool:
    """Run `work` until it ends (True) or `stop` is set (False: it has been cancelled, and has let go of everything)."""
    task = asyncio.ensure_future(work)
    waiter = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({task, waiter}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiter.cancel()
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    if task.cancelled():
        return False
    task.result()
    return True
