"""The follower of a write that finds what it replaces, or what replaces it, and marks it.

Many that change nothing share a transaction; it ends with the first that does, so what a memory marks is one
transaction of its own, and nobody waits for more than that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from contracts.tiers import Tier

from memory.domain import Entry, Filters
from memory.facts.subjects import is_self
from memory.index.search import search
from memory.levels.plan import SUMMARY_KIND
from memory.library import Library, now
from memory.supersede import store
from memory.supersede.plan import BY_RULE, Clear, Known, Mark, Set, plan
from memory.supersede.reading import Reading, read
from memory.supersede.readings import Readings
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
# So many searches, of some ten milliseconds each, before others have their turn with this person's marks.
SEARCHES_MAX = 8


@dataclass(slots=True)
class Other:
    """A memory as it was found, not read yet."""

    id: UUID
    tier: Tier
    text: str = field(repr=False)
    speaker: str | None = field(repr=False)
    said_at: datetime
    created_at: datetime
    near: float | None
    turn: bool


@dataclass(frozen=True, slots=True)
class Asked:
    """A memory that is compared with others: what is known of it, and by what they are looked for."""

    entry: Entry
    known: Known
    vector: Sequence[float] | None
    terms: Sequence[str]
    mates: Sequence[UUID]


class Supersession:
    """Sets, moves and takes back the marks around the memories it is given. It bears being run twice or late."""

    name = "supersede"

    def __init__(self, library: Library, models: Models, enabled: bool) -> None:
        self._shelf = library.plain
        self._models = models
        self._enabled = enabled
        self._readings = Readings()

    async def __call__(self, subject: UUID, tier: Tier, memory_ids: Sequence[UUID]) -> None:
        """Decide about each of the memories in turn. Raises DataUnavailable."""
        if not self._enabled or tier not in PLAIN_TIERS:
            return
        model = await self._models.active()
        marked = cleared = done = 0
        while done < len(memory_ids):
            seen, moves = await self._some(subject, tier, memory_ids[done:], model.id)
            done += seen
            cleared += sum(isinstance(move, Clear) for move in moves)
            marked += sum(isinstance(move, Set) for move in moves)
        if marked or cleared:
            async with self._shelf.pool.own() as conn:
                await PLAIN.tally(conn, superseded=marked, unsuperseded=cleared)

    async def _some(
        self, subject: UUID, tier: Tier, memory_ids: Sequence[UUID], model: int
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
            # A summary restates what is known: it replaces nothing, and nothing replaces all it says.
            open_ = [
                (place, entries[each])
                for place, each in enumerate(memory_ids, 1)
                if each in entries
                and entries[each].archived_at is None
                and entries[each].source_kind != SUMMARY_KIND
            ]
            asking = [
                (place, entry, known)
                for place, entry in open_
                if (known := self._asks(entry, entry.id in marked)) is not None
            ]
            few = asking[:SEARCHES_MAX]
            asked = await self._prepare(conn, tier, [each[1:] for each in few], model)
            for (place, _, _), each in zip(few, asked, strict=True):
                moves = await self._apply(conn, each, await self._around(conn, each, model))
                if moves:
                    return place, moves
            return few[-1][0] if len(few) < len(asking) else len(memory_ids), ()

    def _asks(self, entry: Entry, marked: bool) -> Known | None:
        """Return what is known of a memory; None where nothing could come of comparing it."""
        reading = self._readings.of(
            entry.text, entry.speaker, entry.happened_at, turn=_is_turn(entry)
        )
        if reading is None and marked:
            # It bears nothing, and has a mark, which was set when it did.
            reading = read(entry.text, entry.speaker, entry.happened_at)
        return _known(entry, reading) if reading is not None else None

    async def _prepare(
        self, conn: Connection, tier: Tier, asking: Sequence[tuple[Entry, Known]], model: int
    ) -> list[Asked]:
        """Read for all at once what each is compared by."""
        if not asking:
            return []
        ids = [entry.id for entry, _ in asking]
        vectors = await store.vectors_of(conn, tier, ids, model)
        terms = await store.terms_of(conn, [entry.text for entry, _ in asking])
        mates = await store.slot_mates(conn, tier, ids)
        return [
            Asked(
                entry,
                known,
                vectors.get(entry.id),
                own[:TERMS_MAX],
                mates.get(entry.id, ()),
            )
            for (entry, known), own in zip(asking, terms, strict=True)
        ]

    async def _around(self, conn: Connection, asked: Asked, model: int) -> dict[UUID, Known]:
        """Return what may replace the memory or be replaced by it: near in meaning or words, or of one slot."""
        entry = asked.entry
        filters = Filters(tiers=PLAIN_TIERS, namespaces=(entry.namespace,))
        found, _ = await search(conn, filters, asked.vector, asked.terms, NEAR_MAX, model=model)
        seen = {each.id for each in found}
        missing = [each for each in asked.mates if each not in seen]
        others = [_candidate(each) for each in found if each.id != entry.id]
        others += [
            _other(each)
            for each in (await self._shelf.many(conn, entry.tier, missing) if missing else ())
            if each.archived_at is None and each.namespace == entry.namespace
        ]
        known: dict[UUID, Known] = {}
        for each in others:
            reading = self._readings.of(
                each.text, each.speaker, each.said_at, turn=each.turn or asked.known.turn
            )
            if reading is not None:
                known[each.id] = Known(
                    each.id, each.tier, reading, each.created_at, each.near, each.turn
                )
        return known

    async def _apply(
        self, conn: Connection, asked: Asked, around: dict[UUID, Known]
    ) -> Sequence[Set | Clear]:
        shelf, entry = self._shelf, asked.entry
        ids = [*around, entry.id]
        secret = await store.hidden(conn, ids, entry.id)
        await shelf.step_out(conn)
        visible = await store.books(conn, ids, entry.id)
        await shelf.step_in(conn, ROLE)
        around |= await self._linked(conn, entry, around, [*secret, *visible])
        marks = {(mark.old_id, True): mark for mark in secret}
        marks |= {(mark.old_id, False): mark for mark in visible}
        moves = plan(asked.known, list(around.values()), marks)
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


def _is_turn(said: Entry | Candidate) -> bool:
    return said.thread is not None or not is_self(said.speaker)


def _candidate(found: Candidate) -> Other:
    said_at = found.occurred_at or found.created_at
    return Other(
        found.id,
        found.tier,
        found.text,
        found.speaker,
        said_at,
        found.created_at,
        found.cosine,
        _is_turn(found),
    )


def _other(entry: Entry) -> Other:
    return Other(
        entry.id,
        entry.tier,
        entry.text,
        entry.speaker,
        entry.happened_at,
        entry.created_at,
        None,
        _is_turn(entry),
    )


def _known(entry: Entry, reading: Reading | None = None) -> Known:
    return Known(
        entry.id,
        entry.tier,
        reading or read(entry.text, entry.speaker, entry.happened_at),
        entry.created_at,
        turn=_is_turn(entry),
    )
