"""The three levels together: this process, Valkey, Postgres; and the stream of changes that keeps the copies true."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID, uuid4

from contracts.tiers import CHANGED_TOPIC, Tier
from kit import logs
from kit.errors import KitError
from kit.pool import PERSON

from memory.caching.local import Local
from memory.caching.shared import Shared

if TYPE_CHECKING:
    from contracts.identity import Caller
    from kit.bus import Bus, Subscription
    from kit.clock import Clock

    from memory.numbers import Numbers

log = logs.get(__name__)


class Copies(Protocol):
    """What else is kept of people's memories in this process."""

    def changed(self, subject: UUID, memory_id: UUID | None) -> None: ...
    def clear(self) -> None: ...


class CacheUnsure(Exception):
    """Valkey did not say that it let go."""


# How old an answer may get although nothing changed: its ages and strengths are as of when it was made.
LOCAL_SECONDS = 30.0
SHARED_SECONDS = 120
_RETRY_SECONDS = 1.0
_PUTS_MAX = 64
_EMPTY: frozenset[str] = frozenset()


class Answers:
    """Answers to a person's own session, which sees everything of theirs.

    A client's token is always answered by the database: which namespaces it may see is decided there, anew each time.
    What names sacred is neither kept here nor in Valkey.
    """

    def __init__(self, local: Local, shared: Shared, numbers: Numbers, *, enabled: bool) -> None:
        self._local = local
        # Further copies in this process, kept true by the same stream.
        self.beside: list[Copies] = []
        self._shared = shared
        self._numbers = numbers
        self._enabled = enabled
        self._events: Subscription | None = None
        self._losses = 0
        self._puts: set[asyncio.Task[None]] = set()

    async def get(
        self,
        caller: Caller,
        kind: str,
        question: bytes,
        ask: Callable[[], Awaitable[tuple[bytes, bool]]],
    ) -> bytes:
        """Return the answer to the question, from the nearest level that has it, else what `ask` returns.

        `ask` says with its answer whether it may be kept. Raises what `ask` raises.
        """
        if not self._open(caller):
            self._count("off")
            return (await ask())[0]
        key = f"{kind}:{hashlib.sha256(question).hexdigest()}"
        subject = caller.subject
        kept = self._local.get(subject, key)
        if kept is not None:
            self._count("process")
            return kept
        stamp = self._local.stamp(subject)
        if stamp is None:
            self._count("changing")
            return (await ask())[0]
        shared_stamp = await self._shared.stamp(subject)
        if shared_stamp is not None:
            kept = await self._shared.get(subject, key, shared_stamp)
            if kept is not None:
                self._count("valkey")
                self._local.put(subject, key, kept, stamp, LOCAL_SECONDS)
                return kept
        self._count("postgres")
        answer, keep = await ask()
        # The stream may have fallen silent while Postgres was asked.
        if keep and self._open(caller):
            self._local.put(subject, key, answer, stamp, LOCAL_SECONDS)
            if shared_stamp is not None and len(self._puts) < _PUTS_MAX:
                self._later(self._shared.put(subject, key, answer, shared_stamp, SHARED_SECONDS))
        return answer

    def sure(self, subject: UUID) -> bool:
        """Say whether every change of this person's memories that is done has come by, and none is under way."""
        return self._enabled and self._following() and self._local.stamp(subject) is not None

    def changing(self, subject: UUID, event_id: UUID) -> None:
        """Note a change that this process is about to commit."""
        self._local.changing(subject, event_id)

    async def forget(self, subject: UUID) -> None:
        """Let go of everything of a person's, here at once and in Valkey under a new generation.

        Raises CacheUnsure when Valkey does not take it: what it holds is sealed and dies of age, but nobody knows.
        """
        try:
            if self._enabled and await self._shared.changed(subject) is None:
                raise CacheUnsure()
        finally:
            self._changed(subject, uuid4(), None)

    async def follow(self, bus: Bus, clock: Clock) -> None:
        """Keep the copies true until cancelled: every change of every replica comes by here."""
        while True:
            try:
                async with bus.tail(CHANGED_TOPIC) as events:
                    await self._follow(events, clock)
            except KitError as error:
                log.warning("cache.not_following", code=error.code)
            finally:
                self._events = None
                self._clear()
            await clock.sleep(_RETRY_SECONDS)

    async def aclose(self) -> None:
        """Wait for what is being written, and close."""
        for task in list(self._puts):
            task.cancel()
        await asyncio.gather(*self._puts, return_exceptions=True)
        await self._shared.aclose()

    def _clear(self) -> None:
        self._local.clear()
        for copies in self.beside:
            copies.clear()

    async def _follow(self, events: Subscription, clock: Clock) -> None:
        self._clear()
        # Before the first look at the stream nothing is known; then what others wrote may be from before a loss.
        while not events.live or not await self._shared.new_epoch():
            if events.ended:
                return
            await clock.sleep(_RETRY_SECONDS)
        self._losses = events.losses
        self._events = events
        while not events.missed and events.losses == self._losses:
            try:
                async with asyncio.timeout(_RETRY_SECONDS):
                    message = await anext(events)
            except TimeoutError:
                continue
            except StopAsyncIteration:
                return
            subject = _id(message.payload, "subject_id")
            if subject is None:
                continue
            # Valkey first: a reader who finds this process open again must not be given the old generation's answer.
            if await self._shared.changed(subject) is None:
                log.warning("cache.generation_kept")
                return
            self._changed(subject, message.event_id, _id(message.payload, "memory_id"))
        # Changes may have passed unseen. Begin again, with nothing.

    def _changed(self, subject: UUID, event_id: UUID, memory_id: UUID | None) -> None:
        self._local.changed(subject, event_id)
        for copies in self.beside:
            copies.changed(subject, memory_id)

    def _open(self, caller: Caller) -> bool:
        return self._enabled and caller.kind == PERSON and self._following()

    def _following(self) -> bool:
        events = self._events
        return (
            events is not None
            and events.live
            and not events.missed
            and events.losses == self._losses
        )

    def _later(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._puts.add(task)
        task.add_done_callback(self._puts.discard)

    def _count(self, level: str) -> None:
        self._numbers.answered.labels(level).inc()


def keepable(tiers: Sequence[str] | None) -> bool:
    """Say whether an answer about these tiers may be kept: sacred texts are kept nowhere but in their database."""
    return Tier.SACRED.value not in (tiers or _EMPTY)


def _id(payload: dict[str, Any], name: str) -> UUID | None:
    try:
        return UUID(payload[name])
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
