"""Observe, orient, decide, act: one round a minute, by one leader, for one person after the other.

The leader sits on an advisory lock for as long as its transaction lives; a second process tries for it every few
seconds and takes over when the first is gone. Nothing rests on the lock alone: each move is decided by its row.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from kit import logs
from kit.clock import Clock
from kit.errors import KitError
from kit.pool import Connection

from memory.levels.act import Actor
from memory.levels.chores import Chores
from memory.levels.decide import Move, plan
from memory.levels.observe import BATCH, Observer
from memory.levels.store import LevelStore, State

log = logs.get(__name__)
PEOPLE_PER_ROUND = 50
# An idle transaction is ended by Postgres after a minute, and the seat would be lost with it.
KEEP_SECONDS = 10.0
STANDBY_SECONDS_MAX = 5.0
# Failures that are not about Postgres being away: after so many a round ends, and the next begins afresh.
FAILURES_MAX = 10
# One person's turn; their lock lies in an idle transaction as well.
TURN_SECONDS_MAX = 25.0


class Stalled(KitError):
    """The rounds have not turned for a while."""

    code, status = "memory.consolidation_stalled", 503
    reason = "The consolidator has not finished a round for a while."
    fix = "It goes on by itself when Postgres answers; if it lasts, look at the consolidator's log."


@dataclass(frozen=True)
class Round:
    """What one round did: moves made, or only planned, and people looked at."""

    people: int = 0
    planned: int = 0
    moved: int = 0


class Seat:
    """The leader's place: a transaction that holds the lock, and a way to see that it still does."""

    def __init__(self, conn: Connection) -> None:
        self._conn = conn
        self._busy = asyncio.Lock()

    async def check(self) -> None:
        """Return if the lock is still held. Raises DataUnavailable."""
        async with self._busy:
            await self._conn.execute("SELECT 1")


class Loop:
    """The rounds, until cancelled."""

    def __init__(
        self,
        store: LevelStore,
        observer: Observer,
        actor: Actor,
        chores: Chores,
        *,
        name: str,
        mode: str,
        every_s: float,
        moves_max: int,
        clock: Clock,
    ) -> None:
        self._store = store
        self._observer = observer
        self._actor = actor
        self._chores = chores
        self._name = name
        self._mode = mode
        self._every_s = max(every_s, 0.1)
        self._moves_max = moves_max
        self._clock = clock
        self._turned_at = clock.monotonic()

    async def ping(self) -> None:
        """Return if the loop turns, whether it leads or waits. Raises Stalled."""
        if self._clock.monotonic() - self._turned_at > 5 * self._every_s + 60.0:
            raise Stalled()

    async def run(self) -> None:
        """Lead, or wait for the lead, until cancelled and over every restart of Postgres."""
        while True:
            try:
                async with self._store.plain.own() as conn:
                    if await self._store.take_lead(conn):
                        await self._lead(Seat(conn))
            except KitError as error:
                log.warning("consolidation.waiting", code=error.code)
            except Exception as error:
                # Such as before the first migration, when there is no table yet.
                log.exception("consolidation.failed", error)
            # Waiting is turning too, as long as nobody else is asked to wait for it.
            self._turned_at = self._clock.monotonic()
            await self._clock.sleep(min(self._every_s / 2, STANDBY_SECONDS_MAX))

    async def _lead(self, seat: Seat) -> None:
        log.info("consolidation.leading", name=self._name)
        tasks = [asyncio.create_task(self._keep(seat)), asyncio.create_task(self._rounds(seat))]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            # A round without its seat ends here: another process may sit on it by now.
            for task in tasks:
                task.cancel()
            for task in tasks:
                with contextlib.suppress(asyncio.CancelledError, Exception):
                    await task

    async def _keep(self, seat: Seat) -> None:
        while True:
            await self._clock.sleep(KEEP_SECONDS)
            await seat.check()

    async def _rounds(self, seat: Seat) -> None:
        while True:
            begun = self._clock.monotonic()
            await self.once(seat)
            self._turned_at = self._clock.monotonic()
            await self._clock.sleep(max(self._every_s - (self._turned_at - begun), 0.05))

    async def once(self, seat: Seat) -> Round:
        """Look at whoever waited longest and make the moves that follow; then the chores. Raises DataUnavailable."""
        now, begun = self._clock.now(), self._clock.monotonic()
        async with self._store.plain.own(read_only=True) as conn:
            switched_on = (await self._store.state(conn)).enabled
        mode = self._mode if switched_on else "off"
        done = Round()
        if mode != "off":
            for subject, since in await self._store.subjects(PEOPLE_PER_ROUND):
                await seat.check()
                done = await self._person(seat, subject, since, done, dry=mode == "dry_run")
                if self._clock.monotonic() - begun > self._every_s and done.people > 0:
                    # Those who are left waited longest, and are first next time.
                    break
        await self._note(mode, now, self._clock.monotonic() - begun)
        await self._chores.run_due(switched_on=mode == "on")
        return done

    async def _person(
        self, seat: Seat, subject: UUID, since: datetime | None, done: Round, *, dry: bool
    ) -> Round:
        """Plan for one person and carry it out, within what the round has left."""
        async with self._store.plain.own() as guard:
            if not await self._store.hold_subject(guard, subject):
                # Somebody asked for it by hand this moment.
                return done
            until = self._clock.monotonic() + TURN_SECONDS_MAX
            planned = moved = 0
            while True:
                now = self._clock.now()
                seen = await self._observer.look(subject, now, since)
                moves = plan(seen.snapshot, now, self._actor.limits)
                moves = moves[: self._moves_max - done.planned - planned]
                planned += len(moves)
                made = 0 if dry else await self._act(seat, subject, moves, now, until)
                moved += made
                # A look is bounded: while all it showed was moved, there may be more behind it.
                if made < BATCH or made < len(moves) or self._clock.monotonic() > until:
                    break
            await self._store.end_turn(guard, subject, now, seen.occupancy)
        if planned:
            log.info(
                "consolidation.person",
                subject_id=str(subject),
                planned=planned,
                moved=moved,
                dry_run=dry,
            )
        return Round(done.people + 1, done.planned + planned, done.moved + moved)

    async def _act(
        self, seat: Seat, subject: UUID, moves: list[Move], now: datetime, until: float
    ) -> int:
        moved = failures = 0
        for move in moves:
            if self._clock.monotonic() > until:
                break
            await seat.check()
            try:
                moved += int(await self._actor(subject, move, now) is not None)
            except KitError:
                raise
            except Exception as error:
                # One bad row must not keep all others where they are.
                log.exception("consolidation.move_failed", error, memory_id=str(move.id))
                failures += 1
                if failures >= FAILURES_MAX:
                    break
        return moved

    async def _note(self, mode: str, now: datetime, seconds: float) -> None:
        async with self._store.plain.own() as conn:
            await self._store.put_round(
                conn,
                State(
                    mode=self._mode,
                    leader=self._name,
                    round_at=now if mode != "off" else None,
                    next_round_at=now + timedelta(seconds=self._every_s),
                    round_seconds=seconds if mode != "off" else None,
                ),
            )
