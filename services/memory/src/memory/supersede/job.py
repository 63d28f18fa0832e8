"""The follower of a write that finds what it replaces, or what replaces it, and marks it. One transaction a memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from contracts.tiers import Tier

from memory.domain import Entry, Filters
from memory.facts.subjects import is_self
from memory.index.search import lexemes, search
from memory.levels.plan import SUMMARY_KIND
from memory.library import Library, now
from memory.supersede import store
from memory.supersede.plan import BY_RULE, Clear, Known, Mark, Set, plan
from memory.supersede.reading import read
from memory.writing.store import PLAIN

if TYPE_CHECKING:
    from kit.pool import Connection

    from memory.finding import Candidate
    from memory.writing.models import Models

ROLE = "lares_app"
PLAIN_TIERS = (Tier.CONVENIENCE, Tier.SENSITIVE)
# How many of each arm are compared with what was written: each costs a third of a millisecond to read.
NEAR_MAX = 30
TERMS_MAX = 24


class Supersession:
    """Sets, moves and takes back the marks around the memories it is given. It bears being run twice or late."""

    name = "supersede"

    def __init__(self, library: Library, models: Models, enabled: bool) -> None:
        self._shelf = library.plain
        self._models = models
        self._enabled = enabled

    async def __call__(self, subject: UUID, tier: Tier, memory_ids: Sequence[UUID]) -> None:
        """Decide about each of the memories in turn. Raises DataUnavailable."""
        if not self._enabled or tier not in PLAIN_TIERS:
            return
        model = await self._models.active()
        marked = cleared = 0
        for memory_id in memory_ids:
            moves = await self._decide(subject, tier, memory_id, model.id)
            cleared += sum(isinstance(move, Clear) for move in moves)
            marked += sum(isinstance(move, Set) for move in moves)
        if marked or cleared:
            async with self._shelf.pool.own() as conn:
                await PLAIN.tally(conn, superseded=marked, unsuperseded=cleared)

    async def _decide(
        self, subject: UUID, tier: Tier, memory_id: UUID, model: int
    ) -> Sequence[Set | Clear]:
        shelf = self._shelf
        async with shelf.pool.as_role(ROLE, subject) as conn:
            entry = await shelf.get(conn, tier, memory_id)
            # A summary restates what is known: it replaces nothing, and nothing replaces all it says.
            if entry is None or entry.archived_at is not None or entry.source_kind == SUMMARY_KIND:
                return ()
            await shelf.step_out(conn)
            await store.hold_person(conn, subject)
            await shelf.step_in(conn, ROLE)
            around = await self._around(conn, entry, model)
            return await self._apply(conn, entry, around)

    async def _around(self, conn: Connection, entry: Entry, model: int) -> dict[UUID, Known]:
        """Return what may replace the memory or be replaced by it: near in meaning or words, or of one slot."""
        vector = await store.vector_of(conn, entry.tier, entry.id, model)
        filters = Filters(tiers=PLAIN_TIERS, namespaces=(entry.namespace,))
        terms = (await lexemes(conn, entry.text))[:TERMS_MAX]
        found, _ = await search(conn, filters, vector, terms, NEAR_MAX, model=model)
        known = {each.id: _candidate(each) for each in found}
        missing = [
            each for each in await store.slot_mates(conn, entry.tier, entry.id) if each not in known
        ]
        for other in await self._shelf.many(conn, entry.tier, missing) if missing else []:
            if other.archived_at is None and other.namespace == entry.namespace:
                known[other.id] = _known(other)
        known.pop(entry.id, None)
        return known

    async def _apply(
        self, conn: Connection, entry: Entry, around: dict[UUID, Known]
    ) -> Sequence[Set | Clear]:
        shelf = self._shelf
        ids = [*around, entry.id]
        secret = await store.hidden(conn, ids, entry.id)
        await shelf.step_out(conn)
        visible = await store.books(conn, ids, entry.id)
        await shelf.step_in(conn, ROLE)
        around |= await self._linked(conn, entry, around, [*secret, *visible])
        marks = {(mark.old_id, True): mark for mark in secret}
        marks |= {(mark.old_id, False): mark for mark in visible}
        moves = plan(_known(entry), list(around.values()), marks)
        entries = await self._entries(conn, [move.old_id for move in moves])
        for move in moves:
            old = entries.get(move.old_id)
            if old is None or old.source_kind == SUMMARY_KIND:
                continue
            if isinstance(move, Clear):
                await self._clear(conn, old, move.hidden)
            else:
                await self._set(conn, old, move)
        return moves

    async def _linked(
        self, conn: Connection, entry: Entry, around: dict[UUID, Known], marks: Sequence[Mark]
    ) -> dict[UUID, Known]:
        """Return what the marks name and the search did not find."""
        wanted = {each for mark in marks for each in (mark.old_id, mark.new_id)}
        wanted -= {*around, entry.id}
        found = await self._entries(conn, list(wanted))
        return {each.id: _known(each) for each in found.values()}

    async def _entries(self, conn: Connection, ids: Sequence[UUID]) -> dict[UUID, Entry]:
        if not ids:
            return {}
        return {
            entry.id: entry
            for tier in PLAIN_TIERS
            for entry in await self._shelf.many(conn, tier, ids)
        }

    async def _set(self, conn: Connection, old: Entry, move: Set) -> None:
        shelf, moment = self._shelf, now()
        if move.hidden:
            await store.hide(conn, old, move.new_id, BY_RULE, move.rule, move.valid_to, moment)
            return
        await shelf.step_out(conn)
        booked, before = await store.valid_to_before(conn, old.id)
        before = before if booked else old.valid_to
        await store.book(conn, old, move.new_id, BY_RULE, move.rule, before, moment)
        await shelf.step_in(conn, ROLE)
        await store.mark(conn, old, move.new_id, move.valid_to, moment, before)
        await self._announce(conn, old, "superseded")

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
        await shelf.step_in(conn, ROLE)
        await store.unmark(conn, old, before, booked)
        await self._announce(conn, old, "restored")

    async def _announce(self, conn: Connection, old: Entry, change: str) -> None:
        await self._shelf.step_out(conn)
        await self._shelf.announce(conn, old.id, old.subject_id, old.tier, change)
        await self._shelf.step_in(conn, ROLE)


def _candidate(found: Candidate) -> Known:
    said_at = found.occurred_at or found.created_at
    return Known(
        found.id,
        found.tier,
        read(found.text, found.speaker, said_at),
        found.created_at,
        found.cosine,
        found.thread is not None or not is_self(found.speaker),
    )


def _known(entry: Entry) -> Known:
    return Known(
        entry.id,
        entry.tier,
        read(entry.text, entry.speaker, entry.happened_at),
        entry.created_at,
        turn=entry.thread is not None or not is_self(entry.speaker),
    )
