"""What the leader does now and then beside its rounds: each chore once in its time, whoever leads."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from kit import logs
from kit.errors import KitError

if TYPE_CHECKING:
    from kit.client import ServiceClient
    from kit.clock import Clock

    from memory.levels.store import LevelStore
    from memory.plain import PlainShelf
    from memory.settings import ConsolidatorSettings

log = logs.get(__name__)
# A chore that failed, or was cut off, is tried again after this.
RETRY = timedelta(hours=1)


@dataclass(frozen=True)
class Desk:
    """What chores work with. There is no key to the sacred tier here: they do without what it says."""

    plain: PlainShelf
    store: LevelStore
    client: ServiceClient
    settings: ConsolidatorSettings
    clock: Clock


@dataclass(frozen=True)
class Chore:
    """Something to do every so often. It bears being cut off and run again.

    With `hour` (UTC) it waits for that hour of the day. `when_off` chores are also run while the consolidation is
    switched off or dry: they move nothing between levels.
    """

    name: str
    every: timedelta
    run: Callable[[Desk], Awaitable[None]]
    hour: int | None = None
    when_off: bool = False


@dataclass(frozen=True)
class LastTime:
    """When a chore last began, and how it ended: not at all, with an error's code, or well."""

    began_at: datetime
    ended: bool
    code: str | None = None


def due(chore: Chore, last: LastTime | None, now: datetime) -> bool:
    """Say whether it is time for the chore."""
    if last is None:
        return chore.hour is None or now.hour >= chore.hour
    # A time far ahead was noted by a clock that ran ahead: it must not silence the chore until then.
    since = abs(now - last.began_at)
    if not last.ended or last.code is not None:
        return since >= min(RETRY, chore.every)
    if chore.hour is None:
        return since >= chore.every
    return since >= chore.every - timedelta(hours=12) and now.hour >= chore.hour


class Chores:
    """Runs chores that are due, one after the other, and notes each before and after in Postgres."""

    def __init__(self, desk: Desk, chores: Sequence[Chore]) -> None:
        self._desk = desk
        self._chores = chores

    async def run_due(self, *, switched_on: bool) -> list[str]:
        """Run what is due and return its names; one that fails keeps none of the others."""
        done: list[str] = []
        for chore in self._chores:
            now = self._desk.clock.now()
            if (switched_on or chore.when_off) and due(chore, await self._last(chore), now):
                await self._run(chore, now)
                done.append(chore.name)
        return done

    async def _last(self, chore: Chore) -> LastTime | None:
        store = self._desk.store
        async with store.plain.own(read_only=True) as conn:
            row = await conn.fetchrow(store.book("last_chore"), chore.name)
        return LastTime(row["began_at"], row["ended_at"] is not None, row["code"]) if row else None

    async def _run(self, chore: Chore, now: datetime) -> None:
        store = self._desk.store
        async with store.plain.own() as conn:
            await conn.execute(store.book("begin_chore"), chore.name, now)
        code: str | None = None
        try:
            await chore.run(self._desk)
        except KitError as error:
            code = error.code
            log.warning("chore.put_off", chore=chore.name, code=code)
        except Exception as error:
            # One chore's mistake must not end the rounds.
            code = type(error).__name__
            log.exception("chore.failed", error, chore=chore.name)
        async with store.plain.own() as conn:
            await conn.execute(store.book("end_chore"), chore.name, self._desk.clock.now(), code)
        if code is None:
            log.info("chore.done", chore=chore.name)
