"""Two memories become one: the older keeps its id, and everything that hung on the newer hangs on it.

What the other said and where it came from becomes a source of the survivor, under the id that it had, so that nothing
that was said is lost and whoever still knows the old id finds the survivor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import UUID

from contracts.tiers import Tier

from memory.domain import Entry
from memory.errors import Busy
from memory.facts.extract import states
from memory.library import Library
from memory.plain import PlainShelf
from memory.writing.duplicates import NEIGHBOURS_MAX, claim_id, may_merge
from memory.writing.embed import ROLE
from memory.writing.models import Models
from memory.writing.store import PLAIN, PLAIN_TIERS, text_of

if TYPE_CHECKING:
    from kit.pool import Connection

# A memory can have so many other sources; what would be one more stays a memory of its own.
SOURCES_MAX = 200


async def merge_in(
    conn: Connection,
    shelf: PlainShelf,
    tier: Tier,
    one_id: UUID,
    other_id: UUID,
    *,
    judged: bool = False,
) -> UUID | None:
    """Make one memory of two and return the survivor's id; None when they may not be one (any more).

    Inside a transaction of the role that sees both, which must hold both memories (`hold_memories`). The role is left
    when this returns an id, and kept when it returns None. `judged` says that a person has decided: then only tier,
    namespace and the number of sources count. The outcome does not depend on which of the two is named first.
    """
    pair = [
        entry
        for entry in [await shelf.take(conn, tier, each) for each in sorted((one_id, other_id))]
        if entry is not None
    ]
    if len(pair) < 2 or pair[0].namespace != pair[1].namespace:
        return None
    if not judged and not may_merge(pair[0], pair[1]):
        return None
    survivor, gone = sorted(pair, key=lambda entry: (entry.created_at, entry.id))
    if await _sources(conn, tier, survivor.id) + await _sources(conn, tier, gone.id) >= SOURCES_MAX:
        return None
    await _adopt(conn, tier, survivor, gone)
    await _hand_over_marks(conn, shelf, tier, survivor, gone)
    await shelf.delete(conn, tier, gone.id)
    await shelf.step_out(conn)
    await shelf.drop_pending(conn, gone.id)
    await conn.execute(text_of("drop_relation"), gone.id)
    await conn.execute(text_of("rebind_keys"), gone.id, survivor.id)
    for each in (survivor, gone):
        await shelf.announce(conn, each.id, each.subject_id, tier, "merged")
    return survivor.id


async def _adopt(conn: Connection, tier: Tier, survivor: Entry, gone: Entry) -> None:
    """Hang on the survivor what the other was and had."""
    from memory.facts.store import rebase

    said = gone.text if gone.text != survivor.text else None
    await conn.execute(text_of("move_sources", tier), gone.id, survivor.id, said)
    await add_source(conn, survivor, gone, merged=True)
    for name in ("move_links_from", "move_links_to", "move_superseded"):
        await conn.execute(text_of(name, tier), gone.id, survivor.id)
    await rebase(conn, tier, gone.id, survivor.id)
    await conn.execute(
        text_of("strengthen", tier),
        survivor.id,
        gone.strength,
        gone.accesses,
        gone.accessed_at or gone.created_at,
        gone.occurred_at,
        gone.expires_at,
    )


async def _hand_over_marks(
    conn: Connection, shelf: PlainShelf, tier: Tier, survivor: Entry, gone: Entry
) -> None:
    """Let what the other had replaced be replaced by the survivor, and be restored as if nothing had been merged.

    Before the other is deleted: with a memory go the marks that it made, and how to undo them.
    """
    if tier is Tier.SENSITIVE:
        await conn.execute(text_of("hand_over_hidden"), gone.id, survivor.id)
    role = await conn.fetchval("SELECT current_user::text")
    await shelf.step_out(conn)
    await conn.execute(text_of("hand_over_marks"), gone.id, survivor.id)
    await shelf.step_in(conn, role)


async def add_source(conn: Connection, survivor: Entry, said: Entry, *, merged: bool) -> bool:
    """Note where else a memory came from; False when it was noted already or there is no room."""
    row = await conn.fetchval(
        text_of("add_source", survivor.tier),
        survivor.id,
        survivor.subject_id,
        survivor.namespace,
        said.source_kind,
        said.source_ref,
        said.thread,
        said.position,
        said.speaker,
        said.text if said.text != survivor.text else None,
        said.occurred_at,
        said.created_at,
        said.id if merged else None,
        SOURCES_MAX,
    )
    return row is not None


async def _sources(conn: Connection, tier: Tier, memory_id: UUID) -> int:
    return int(await conn.fetchval(text_of("count_sources", tier), memory_id))


async def hold_memories(conn: Connection, shelf: PlainShelf, ids: Sequence[UUID]) -> None:
    """Be the only one who changes these memories until the transaction ends. Raises Busy."""
    import asyncpg

    for memory_id in sorted(ids):
        try:
            await shelf.hold(conn, memory_id)
        except asyncpg.LockNotAvailableError:
            raise Busy() from None
    for memory_id in ids:
        # An interrupted move has left a copy in the other database: first that must end.
        if await conn.fetchval(text_of("moving"), memory_id):
            raise Busy()


class Join:
    """Finds, in the transaction of a write, the memory that says the same already, and adds the source to it."""

    def __init__(self, library: Library, enabled: bool) -> None:
        self._shelf = library.plain
        self._enabled = enabled

    async def __call__(self, conn: Connection, db_role: str, entry: Entry) -> Entry | None:
        """Return the memory that `entry` joined, or None when it is to be written.

        A text that states what may change ("I live in Lisbon") joins at once only when nothing of its person is on
        its way: something may have been said in between that the memory does not know of yet.
        """
        if not self._enabled or entry.tier is Tier.SACRED:
            return None
        held = f"{entry.subject_id}{entry.namespace}{claim_id(entry.text)}"
        await conn.execute(text_of("hold_text"), held)
        rows = await conn.fetch(
            text_of("same_text", entry.tier),
            entry.subject_id,
            entry.namespace,
            entry.text,
            NEIGHBOURS_MAX,
        )
        if not rows:
            return None
        found = await self._shelf.many(conn, entry.tier, [row["id"] for row in rows])
        for other in sorted(found, key=lambda each: (each.created_at, each.id)):
            if may_merge(other, entry) and not await self._unsure(conn, db_role, other):
                return await self._joined(conn, other, entry)
        return None

    async def _unsure(self, conn: Connection, db_role: str, other: Entry) -> bool:
        if not states(other.text):
            return False
        await self._shelf.step_out(conn)
        waits = await PLAIN.waits(conn, other.subject_id, other.id)
        await self._shelf.step_in(conn, db_role)
        return waits

    async def _joined(self, conn: Connection, other: Entry, entry: Entry) -> Entry | None:
        same = entry.source_ref is not None and (other.source_kind, other.source_ref) == (
            entry.source_kind,
            entry.source_ref,
        )
        if not same:
            if await _sources(conn, entry.tier, other.id) >= SOURCES_MAX:
                return None
            await add_source(conn, other, entry, merged=False)
        await conn.execute(
            text_of("strengthen", entry.tier),
            other.id,
            0.0,
            1,
            entry.created_at,
            entry.occurred_at,
            entry.expires_at,
        )
        return replace(other, accesses=other.accesses + 1, accessed_at=entry.created_at)


class Duplicates:
    """The last follower of a write: finds who made the same claim before, and makes one memory of both."""

    name = "merge"

    def __init__(self, library: Library, models: Models, enabled: bool) -> None:
        self._shelf = library.plain
        self._models = models
        self._enabled = enabled

    async def __call__(self, subject: UUID, tier: Tier, memory_ids: Sequence[UUID]) -> None:
        """Merge each of the memories into the oldest that it repeats, if there is one. Raises Busy, DataUnavailable."""
        if not self._enabled or tier not in PLAIN_TIERS:
            return
        merged = 0
        for entry, other in await self._pairs(subject, tier, memory_ids):
            async with self._shelf.pool.as_role(ROLE, subject) as conn:
                await self._shelf.step_out(conn)
                await hold_memories(conn, self._shelf, (entry, other))
                await self._shelf.step_in(conn, ROLE)
                merged += await merge_in(conn, self._shelf, tier, entry, other) is not None
        if merged:
            async with self._shelf.pool.own() as conn:
                await PLAIN.tally(conn, merged=merged)

    async def _pairs(
        self, subject: UUID, tier: Tier, memory_ids: Sequence[UUID]
    ) -> list[tuple[UUID, UUID]]:
        """Note what the memories claim, and return each with the oldest that it repeats."""
        model = await self._models.active()
        async with self._shelf.pool.as_role(ROLE, subject) as conn:
            entries = {entry.id: entry for entry in await self._shelf.many(conn, tier, memory_ids)}
            await conn.execute(
                text_of("put_claims", tier),
                list(entries),
                [claim_id(entry.text) for entry in entries.values()],
            )
            rows = await conn.fetch(
                text_of("same_claims", tier),
                list(entries),
                model.id,
                NEIGHBOURS_MAX * len(entries),
            )
            if not rows:
                return []
            others = {
                entry.id: entry
                for entry in await self._shelf.many(conn, tier, [row["other"] for row in rows])
            }
        pairs: dict[UUID, UUID] = {}
        for row in rows:
            entry, other = entries.get(row["id"]), others.get(row["other"])
            fresh = row["id"] not in pairs and row["other"] not in pairs
            if entry and other and fresh and may_merge(entry, other, float(row["cosine"])):
                pairs[entry.id] = other.id
        return list(pairs.items())
