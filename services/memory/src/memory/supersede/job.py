"""The follower of a write that finds what it replaces, or what replaces it, and marks it.

Many that change nothing share a transaction; it ends with the first that does, so what a memory marks is one
transaction of its own, and nobody waits for more than that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from contracts.tiers import Tier

from memory.domain import Entry
from memory.levels.plan import SUMMARY_KIND
from memory.library import Library, now
from memory.supersede import store
from memory.supersede.around import PLAIN_TIERS, Asked, Surroundings, about
from memory.supersede.plan import BY_RULE, Clear, Set, plan
from memory.supersede.readings import KEPT_SECONDS
from memory.writing.store import PLAIN

if TYPE_CHECKING:
    from kit.pool import Connection

    from memory.writing.models import Models

ROLE = "lares_app"
# So many searches, of some ten milliseconds each, before others have their turn with this person's marks.
SEARCHES_MAX = 8


class Supersession:
    """Sets, moves and takes back the marks around the memories it is given. It bears being run twice or late."""

    name = "supersede"

    def __init__(self, library: Library, models: Models, enabled: bool) -> None:
        self._shelf = library.plain
        self._models = models
        self._enabled = enabled
        self._surroundings = Surroundings(library.plain)
        self._tidying: asyncio.TimerHandle | None = None

    async def __call__(self, subject: UUID, tier: Tier, memory_ids: Sequence[UUID]) -> None:
        """Decide about each of the memories in turn. Raises DataUnavailable."""
        if not self._enabled or tier not in PLAIN_TIERS:
            return
        model = await self._models.active()
        marked = cleared = done = 0
        self._tidy()
        # What was found for the next ones, when one before them ended the transaction.
        ready: dict[UUID, Asked] = {}
        while done < len(memory_ids):
            seen, moves = await self._some(subject, tier, memory_ids[done:], model.id, ready)
            done += seen
            cleared += sum(isinstance(move, Clear) for move in moves)
            marked += sum(isinstance(move, Set) for move in moves)
        if marked or cleared:
            async with self._shelf.pool.own() as conn:
                await PLAIN.tally(conn, superseded=marked, unsuperseded=cleared)

    def _tidy(self) -> None:
        """Drop what was read too long ago, now, and again when nothing more was asked meanwhile."""
        self._surroundings.readings.forget()
        if self._tidying is not None:
            self._tidying.cancel()
        self._tidying = asyncio.get_running_loop().call_later(
            2 * KEPT_SECONDS, self._surroundings.readings.forget
        )

    async def _some(
        self,
        subject: UUID,
        tier: Tier,
        memory_ids: Sequence[UUID],
        model: int,
        ready: dict[UUID, Asked],
    ) -> tuple[int, Sequence[Set | Clear]]:
        """Decide about the first memories up to one that changes something; return how many, and the changes."""
        shelf = self._shelf
        async with shelf.pool.as_role(ROLE, subject) as conn:
            await shelf.step_out(conn)
            await store.hold_person(conn, subject)
            marked = await store.marked_among(conn, memory_ids)
            await shelf.step_in(conn, ROLE)
            marked |= await store.hidden_among(conn, memory_ids)
            entries = {entry.id: entry for entry in await shelf.many(conn, tier, memory_ids)}
            asking = [
                (place, asked)
                for place, each in enumerate(memory_ids, 1)
                if (entry := entries.get(each)) is not None
                and _open(entry)
                and (asked := self._surroundings.asks(entry, each in marked)) is not None
            ]
            few = [(place, _same(ready, asked)) for place, asked in asking[:SEARCHES_MAX]]
            fresh = [asked for _, asked in few if asked.entry.id not in ready]
            await self._surroundings.look(conn, tier, fresh, model)
            ready.clear()
            ready |= {asked.entry.id: asked for _, asked in few}
            place, moves = await self._decide(conn, few)
            if moves:
                return place, moves
            return place if len(few) < len(asking) else len(memory_ids), ()

    async def _decide(
        self, conn: Connection, few: Sequence[tuple[int, Asked]]
    ) -> tuple[int, Sequence[Set | Clear]]:
        """Carry out what the first of these changes that changes something; return its place, and the changes."""
        if not few:
            return 0, ()
        asked = [each for _, each in few]
        own = [each.entry.id for each in asked]
        ids = list({*own, *(one for each in asked for one in each.around)})
        secret = await store.hidden(conn, ids, own)
        await self._shelf.step_out(conn)
        visible = await store.books(conn, ids, own)
        await self._shelf.step_in(conn, ROLE)
        around = await self._surroundings.link(conn, asked, [*secret, *visible])
        for place, each in few:
            marks = {(mark.old_id, True): mark for mark in about(secret, each)}
            marks |= {(mark.old_id, False): mark for mark in about(visible, each)}
            moves = plan(each.known, list(around[each.entry.id].values()), marks)
            if moves:
                await self._move(conn, moves)
                return place, moves
        return few[-1][0], ()

    async def _move(self, conn: Connection, moves: Sequence[Set | Clear]) -> None:
        news = [move.new_id for move in moves if isinstance(move, Set)]
        await store.hold_rows(conn, [*(move.old_id for move in moves), *news])
        entries = await self._surroundings.entries(conn, [move.old_id for move in moves])
        for move in moves:
            old = entries.get(move.old_id)
            if old is None or old.source_kind == SUMMARY_KIND:
                continue
            if isinstance(move, Clear):
                await self._clear(conn, old, move.hidden)
            else:
                await self._set(conn, old, move)

    async def _set(self, conn: Connection, old: Entry, move: Set) -> None:
        shelf, moment = self._shelf, now()
        if move.hidden:
            await store.hide(conn, old, move.new_id, BY_RULE, move.rule, move.valid_to, moment)
            return
        await shelf.step_out(conn)
        booked, before = await store.valid_to_before(conn, old.id)
        before = before if booked else old.valid_to
        await store.book(conn, old, move.new_id, BY_RULE, move.rule, before, moment)
        await shelf.announce(conn, old.id, old.subject_id, old.tier, "superseded")
        await shelf.step_in(conn, ROLE)
        await store.mark(conn, old, move.new_id, move.valid_to, moment, before)

    async def _clear(self, conn: Connection, old: Entry, hidden: bool) -> None:
        shelf = self._shelf
        if hidden:
            await conn.execute(store.text_of("unhide"), old.id)
            return
        await shelf.step_out(conn)
        booked, before = await store.valid_to_before(conn, old.id)
        await conn.execute(store.text_of("unbook"), old.id)
        # What else may replace it is looked for when it is read again.
        await conn.execute(
            store.text_of("relate_again"), old.id, old.subject_id, old.tier.value, old.created_at
        )
        await shelf.announce(conn, old.id, old.subject_id, old.tier, "restored")
        await shelf.step_in(conn, ROLE)
        await store.unmark(conn, old, before, booked)


def _open(entry: Entry) -> bool:
    """A summary restates what is known: it replaces nothing, and nothing replaces all it says."""
    return entry.archived_at is None and entry.source_kind != SUMMARY_KIND


def _same(ready: dict[UUID, Asked], asked: Asked) -> Asked:
    """Return what was found for the memory a moment ago, unless its text has changed since."""
    before = ready.get(asked.entry.id)
    if before is not None and before.entry.revision == asked.entry.revision:
        return before
    ready.pop(asked.entry.id, None)
    return asked
