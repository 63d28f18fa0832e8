"""Move a memory to another tier, without a moment in which it is in neither and without a copy left behind.

Between convenience and sensitive it is one transaction. To or from sacred it is two databases, in this order:
  1. note the move in the journal
  2. write the copy in the target, with its embedding
  3. hold the note; delete the source; strike the note and announce the move
Until 3 the source is whole, after 2 the target is. Whoever finds a note without its mover (`settle`) holds it too and
decides by `surviving_tier`: with two copies the more private one stays, and a tombstone outlives both.

A mover or settler that lost its hold must not go on deleting. So every connection it will use is open before the note
is held: when Postgres restarts they break together, and what follows fails instead of acting late.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import UUID

from contracts.tiers import Tier
from kit import logs
from kit.pool import Connection

from memory.domain import Entry, surviving_tier
from memory.errors import Busy, MemoryNotFound
from memory.library import Library
from memory.store import Shelf
from memory.writing.store import text_of

if TYPE_CHECKING:
    from contracts.identity import Caller

log = logs.get(__name__)
# Journalled work is finished for its owner after the request is gone, as the application itself.
ROLE = "lares_app"
# A mark that nobody keeps books of came with an import.
_BY_PERSON = ("person", "person")


class Move:
    """Changes a memory's tier. Call it inside `Library.changing`."""

    def __init__(self, library: Library) -> None:
        self._library = library

    async def __call__(self, caller: Caller, entry: Entry, to_tier: Tier) -> Entry:
        """Return the memory in its new tier. Raises MemoryNotFound, SacredFull, Busy."""
        if Tier.SACRED not in (entry.tier, to_tier):
            return await self._within(caller, entry, to_tier)
        async with self._library.plain.pool.own() as conn:
            await self._library.plain.begin_move(conn, entry, to_tier)
        try:
            return await self._across(caller, entry, to_tier)
        except Exception:
            # Known to have failed: settle it now rather than leave it to the worker, if the stores still answer.
            await self._settle_after_failure(entry.id)
            raise

    async def _within(self, caller: Caller, found: Entry, to_tier: Tier) -> Entry:
        shelf = self._library.plain
        async with shelf.pool.as_caller(caller) as conn:
            entry = await shelf.take(conn, found.tier, found.id)
            if entry is None:
                raise MemoryNotFound()
            await shelf.step_out(conn)
            mark = await conn.fetchrow(text_of("own_mark"), entry.id)
            await shelf.step_in(conn, caller.db_role)
            moved = await self._settled(conn, replace(entry, tier=to_tier), mark)
            await shelf.insert(conn, moved)
            upwards = to_tier is Tier.SENSITIVE
            carry = text_of("carry_sources_up" if upwards else "carry_sources_down")
            await conn.execute(carry, entry.id)
            await shelf.delete(conn, entry.tier, entry.id)
            await shelf.step_out(conn)
            if mark is not None and moved.superseded_by == entry.superseded_by:
                # It went with the row that was deleted: how to undo the mark that the memory still has.
                await conn.execute(text_of("put_mark"), entry.id, entry.subject_id, *mark.values())
            if not moved.embedded:
                await shelf.put_pending(conn, moved)
            await shelf.announce(conn, moved.id, moved.subject_id, to_tier, "moved")
        return replace(moved, embedding=None)

    async def _settled(self, conn: Connection, moved: Entry, mark: Any) -> Entry:
        """Return the memory as its new tier may know it: what a more private memory replaced shows no mark of it."""
        shelf, by = self._library.plain, moved.superseded_by
        if moved.tier is Tier.SENSITIVE or by is None:
            return moved
        if not await shelf.has(conn, Tier.SENSITIVE, by):
            return moved
        until, at = moved.valid_to or moved.happened_at, moved.superseded_at or moved.updated_at
        made_by, rule = (mark["made_by"], mark["rule"]) if mark is not None else _BY_PERSON
        await conn.execute(
            text_of("hide_mark"),
            *(moved.id, moved.subject_id, moved.namespace, by, made_by, rule, until, at),
        )
        before = mark["valid_to_before"] if mark is not None else None
        return replace(moved, superseded_by=None, superseded_at=None, valid_to=before)

    async def _across(self, caller: Caller, found: Entry, to_tier: Tier) -> Entry:
        journal = self._library.plain
        source, target = self._library.shelf(found.tier), self._library.shelf(to_tier)
        async with source.pool.as_caller(caller) as conn:
            entry = await source.take(conn, found.tier, found.id)
        if entry is None:
            raise MemoryNotFound()
        moved = replace(entry, tier=to_tier)
        async with target.pool.as_caller(caller) as conn:
            await target.insert(conn, moved)
            await target.step_out(conn)
            await target.note_subject(conn, moved.subject_id)
            if not moved.embedded:
                await target.put_pending(conn, moved)
        # The source's transaction ends first, then the note's: a note without a source points at the target.
        async with journal.pool.own() as notes, source.pool.as_caller(caller) as conn:
            if await journal.hold_move(notes, entry.id) is None:
                raise Busy()
            left = await source.take(conn, entry.tier, entry.id)
            if left is None or left.updated_at != entry.updated_at:
                # Forgotten or edited since it was copied: the copy is not this memory any more.
                raise Busy()
            await self._drop(source, conn, entry.tier, entry.id)
            await journal.end_move(notes, entry.id)
            await journal.announce(notes, moved.id, moved.subject_id, to_tier, "moved")
        return replace(moved, embedding=None)

    async def _drop(self, shelf: Shelf, conn: Connection, tier: Tier, memory_id: UUID) -> None:
        await shelf.delete(conn, tier, memory_id)
        await shelf.step_out(conn)
        await shelf.drop_pending(conn, memory_id)

    async def _settle_after_failure(self, memory_id: UUID) -> None:
        try:
            await self.settle(memory_id)
        except Exception as error:
            log.exception("memory.move_left_to_worker", error, memory_id=str(memory_id))

    async def settle(self, memory_id: UUID) -> bool:
        """End an interrupted move of this memory, if there is one; say whether there was."""
        plain, sacred = self._library.plain, self._library.sacred
        async with plain.pool.own(read_only=True) as conn:
            noted = await plain.move(conn, memory_id)
        if noted is None:
            return False
        _, subject, from_tier, to_tier = noted
        async with (
            plain.pool.own() as notes,
            plain.pool.as_role(ROLE, subject) as in_plain,
            sacred.pool.as_role(ROLE, subject) as in_sacred,
        ):
            if await plain.hold_move(notes, memory_id) is None:
                return False
            places = {
                tier: (shelf, in_sacred if shelf is sacred else in_plain)
                for tier in (from_tier, to_tier)
                for shelf in (self._library.shelf(tier),)
            }
            present: list[Tier] = []
            forgotten = False
            for tier, (shelf, conn) in places.items():
                if await shelf.has(conn, tier, memory_id):
                    present.append(tier)
                await shelf.step_out(conn)
                forgotten = forgotten or await shelf.tombstone(conn, memory_id, subject) is not None
                await shelf.step_in(conn, ROLE)
            survivor = surviving_tier(from_tier, to_tier, present, forgotten)
            for tier in present:
                if tier is not survivor:
                    await self._drop(*places[tier], tier, memory_id)
            await plain.end_move(notes, memory_id)
            if survivor is not None:
                await plain.announce(notes, memory_id, subject, survivor, "moved")
        log.info(
            "memory.move_settled",
            memory_id=str(memory_id),
            survivor=survivor.value if survivor else "none",
        )
        return True

    async def settle_all(self) -> int:
        """End every interrupted move that nobody is working on; return how many."""
        journal = self._library.plain
        async with journal.pool.own(read_only=True) as conn:
            noted = await journal.moves(conn)
        settled = 0
        for memory_id, *_ in noted:
            async with journal.pool.own() as conn:
                # The mover holds the memory for as long as it lives: only an abandoned note can be taken.
                if await journal.try_hold(conn, memory_id):
                    settled += int(await self.settle(memory_id))
        return settled
