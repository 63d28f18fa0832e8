"""The single writer: one task owns the state, takes events in, decides, and sends what it decided on its way.

Nothing in here waits for I/O. Whoever brings an event waits for room in the inbox; whoever carries out an action does so
in tasks of its own, and what goes wrong comes back as an event. A fault in the decision ends the process: what really
runs is read anew at the next start, and a state that is half changed is believed by nobody.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from kit import logs
from kit.clock import Clock

from gpu_scheduler.core.actions import Action
from gpu_scheduler.core.apply import apply
from gpu_scheduler.core.commit import commit
from gpu_scheduler.core.events import Event, StoodStill
from gpu_scheduler.core.model import Request, State
from gpu_scheduler.core.plan import next_instant, plan
from gpu_scheduler.errors import Busy

log = logs.get(__name__)

INBOX_MAX = 8192
BATCH_MAX = 256
# A timer that comes early decides nothing; one that is due again at once would be polling.
PAUSE_SECONDS_MIN = 0.01
# So late a timer says that the whole process had no time: it was stopped, or the machine hung.
STALL_SECONDS = 1.0


class Effects(Protocol):
    """Carries out what was decided. `do` returns at once; failures come back as events."""

    def do(self, action: Action, request: Request | None, state: State) -> None:
        """Begin to carry out `action`. `request` is the one it speaks of, as it was before the action."""
        ...


@dataclass(frozen=True)
class Turn:
    """What one round of the loop did."""

    now: float
    events: int
    actions: tuple[Action, ...]
    seconds: float


# Told after each turn, in order; returns when it wants to be told again though nothing happens, or None.
Watcher = Callable[[State, Turn], float | None]


class Loop:
    """The inbox, the state, and the task between the two."""

    def __init__(
        self,
        state: State,
        effects: Effects,
        clock: Clock,
        *,
        inbox_max: int = INBOX_MAX,
        watchers: Iterable[Watcher] = (),
    ) -> None:
        self.state = state
        self._effects = effects
        self._clock = clock
        self._inbox: deque[tuple[Event, asyncio.Future[None] | None]] = deque()
        self._inbox_max = inbox_max
        self._watchers = list(watchers)
        self._woken = asyncio.Event()
        self._room = asyncio.Event()
        self._timer: asyncio.Task[None] | None = None
        self._due = float("inf")
        self._waited_since: float | None = None

    def watch(self, watcher: Watcher) -> None:
        """Tell `watcher` of every turn from now on."""
        self._watchers.append(watcher)

    async def put(self, event: Event) -> None:
        """Hand in an event, waiting for room in the inbox: who brings too much is slowed down."""
        while len(self._inbox) >= self._inbox_max:
            self._room.clear()
            await self._room.wait()
        self._take(event, None)

    async def settle(self, event: Event) -> None:
        """Hand in an event and return when it was applied and everything that follows from it decided. Raises Busy."""
        if len(self._inbox) >= self._inbox_max:
            raise Busy()
        settled: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._take(event, settled)
        await settled

    def follow(self, event: Event) -> None:
        """Hand in an event that follows from a turn; it is taken in the next. For watchers and effects alone."""
        self._take(event, None)

    def nudge(self) -> None:
        """Decide and tell again soon, though nothing has happened: what watchers look at has changed."""
        self._woken.set()

    def _take(self, event: Event, settled: asyncio.Future[None] | None) -> None:
        if not self._inbox:
            self._waited_since = self._clock.monotonic()
        self._inbox.append((event, settled))
        self._woken.set()

    @property
    def lag_seconds(self) -> float:
        """How long the oldest event of the inbox has waited."""
        since = self._waited_since
        return 0.0 if since is None else self._clock.monotonic() - since

    async def run(self) -> None:
        """Decide until cancelled."""
        try:
            while True:
                await self._woken.wait()
                self._woken.clear()
                self.turn()
                # Whoever was told something gets to say it before the next turn.
                await asyncio.sleep(0)
        finally:
            if self._timer is not None:
                self._timer.cancel()
            self._room.set()

    def turn(self) -> Turn:
        """Apply what has come in, decide, and send it on its way."""
        now = self._clock.monotonic()
        begun = time.perf_counter()
        if now - self._due > STALL_SECONDS:
            log.warning("loop.stood_still", seconds=round(now - self._due, 1))
            apply(self.state, StoodStill(now - self._due), now)
            self._due = float("inf")
        settled: list[asyncio.Future[None]] = []
        events = min(len(self._inbox), BATCH_MAX)
        for _ in range(events):
            event, future = self._inbox.popleft()
            apply(self.state, event, now)
            if future is not None:
                settled.append(future)
        actions = tuple(plan(self.state, now))
        for action in actions:
            self._do(action, now)
        turn = Turn(now, events, actions, time.perf_counter() - begun)
        for future in settled:
            if not future.done():
                future.set_result(None)
        self._waited_since = now if self._inbox else None
        if self._inbox:
            self._woken.set()
        self._room.set()
        self._arm(turn)
        return turn

    def _do(self, action: Action, now: float) -> None:
        # A refusal takes its request out of the state: who asked is looked up before.
        request = self.state.requests.get(getattr(action, "request_id", ""))
        commit(self.state, action, now)
        self._effects.do(action, request, self.state)

    def _arm(self, turn: Turn) -> None:
        """Set the timer to the next instant that matters. It may come too early, never too late."""
        instants = [watcher(self.state, turn) for watcher in self._watchers]
        instants.append(next_instant(self.state, turn.now))
        wanted = [instant for instant in instants if instant is not None]
        if not wanted:
            if self._timer is None or self._timer.done():
                self._due = float("inf")
            return
        due = max(min(wanted), turn.now + PAUSE_SECONDS_MIN)
        if self._timer is not None and not self._timer.done():
            if self._due <= due and self._due > turn.now:
                return
            self._timer.cancel()
        self._due = due
        self._timer = asyncio.create_task(self._wake_at(due - turn.now), name="next-instant")

    async def _wake_at(self, seconds: float) -> None:
        await self._clock.sleep(seconds)
        self._woken.set()
