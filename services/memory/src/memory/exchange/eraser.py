"""Erases memories from every store in one go, and looks again.

In this order: what was made of them is found; the sacred database erases and commits; the other one erases and
commits. A crash between the two leaves memories that are still there and can be forgotten again: nothing claims to be
gone before it is. What tables there are is read from the catalog, so that a table somebody adds is counted as well.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

from contracts.tiers import Tier
from kit import logs
from kit.pool import DataSlow

from memory.domain import PRIVACY
from memory.errors import Busy
from memory.exchange.errors import ForgetTooMany
from memory.exchange.store import statement, text_for
from memory.facts.sqltext import one
from memory.rows import count
from memory.writing.store import pipeline

if TYPE_CHECKING:
    from kit.pool import Connection

    from memory.library import Library
    from memory.store import Shelf

log = logs.get(__name__)
ROLE = "lares_app"
PLAIN = (Tier.CONVENIENCE, Tier.SENSITIVE)
# A memory may be part of summaries, and those of further ones; a house in which more hang on one is out of joint.
TOGETHER_MAX = 5000
CACHE_PAUSES_S = (0.05, 0.2, 0.5)
# What a store is called in a report; a table that nobody has named goes by its own name.
NAMES = {
    "memory": "rows",
    "memory_vector": "embeddings",
    "memory_source": "sources",
    "memory_link": "links",
    "mention": "mentions",
    "fact": "facts",
    "entity": "entities",
    "entity_alias": "entity_names",
    "entity_change": "entity_changes",
    "pending_embedding": "pending",
}
STORES = (
    *("rows", "embeddings", "postings", "sources", "links", "facts", "mentions", "entities"),
    *("entity_names", "entity_changes", "pending", "request_hashes", "events", "summaries"),
)
Cache = Callable[[UUID], Awaitable[None]]
"""Drops what a cache holds of a person; it raises when it cannot, and nothing is called verified."""


@dataclass
class Erasure:
    """What was erased. `tiers` says for each memory that stood anywhere where that was."""

    counts: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(STORES, 0)))
    tiers: dict[UUID, Tier] = field(default_factory=dict)
    swallowed: set[UUID] = field(default_factory=set)
    found: Counter[str] = field(default_factory=Counter)
    cached: bool = False


@dataclass(frozen=True)
class _Table:
    name: str
    counting: str
    deleting: str


class Eraser:
    """Erases sets of one person's memories. Whoever calls it has asked whether they may."""

    def __init__(self, library: Library, caches: Sequence[Cache] = ()) -> None:
        self._library = library
        self._caches = caches
        self._tables: dict[str, list[_Table]] = {}

    async def __call__(self, subject: UUID, ids: Sequence[UUID]) -> Erasure:
        """Erase the memories and what was made of them; return what went, once a second look was taken.

        Raises Busy, ForgetTooMany, DataUnavailable.
        """
        erasure = Erasure()
        together, others = await self._together(subject, ids)
        try:
            async with self._library.plain.pool.as_role(ROLE, subject) as conn:
                await conn.execute("SET LOCAL lock_timeout = '5s'")
                await conn.fetch(statement("hold_memories"), together)
                await self._hold_rows(conn, subject, together, others)
                indexed = await self._erase_plain(conn, subject, together, others, erasure)
                await self._erase_sacred(subject, together, erasure)
                await self._keep_books(conn, subject, together, erasure)
        except DataSlow:
            raise Busy() from None
        erasure.counts["summaries"] = len(erasure.tiers.keys() - set(ids))
        erasure.found = await self.look(subject, together, indexed)
        if erasure.found:
            # Whoever had read an id just before may have noted by now that there is something to do about it.
            async with self._library.plain.pool.own() as conn:
                await self._strike_notes(conn, self._library.plain, "memory", together, Erasure())
            erasure.found = await self.look(subject, together, indexed)
        erasure.cached = await self._drop_caches(subject)
        return erasure

    async def look(
        self,
        subject: UUID,
        ids: Sequence[UUID],
        indexed: Sequence[tuple[Tier, list[int], list[str]]] = (),
    ) -> Counter[str]:
        """Return what every store still has of these memories; of one that was forgotten, nothing."""
        found: Counter[str] = Counter()
        plain, sacred = self._library.plain, self._library.sacred
        async with plain.pool.as_role(ROLE, subject, read_only=True) as conn:
            for tier in PLAIN:
                for table in await self._of(conn, plain, tier.value):
                    if not table.deleting:
                        continue
                    found[table.name] += int(await conn.fetchval(table.counting, list(ids)))
            for tier, seqs, terms in indexed:
                found["postings"] += int(
                    await conn.fetchval(text_for("count_postings", tier), seqs, terms)
                )
            await plain.step_out(conn)
            await self._look_in_books(conn, plain, "memory", ids, found)
        async with sacred.pool.as_role(ROLE, subject, read_only=True) as conn:
            rows = await conn.fetch(statement("find_standing_sacred"), list(ids))
            found["rows"] += len(rows)
            await sacred.step_out(conn)
            await self._look_in_books(conn, sacred, "sacred", ids, found)
        return +found

    async def _look_in_books(
        self, conn: Connection, shelf: Shelf, schema: str, ids: Sequence[UUID], found: Counter[str]
    ) -> None:
        for table in await self._of(conn, shelf, schema):
            if table.name != "rows":
                found[table.name] += int(await conn.fetchval(table.counting, list(ids)))
        if schema == "memory":
            found["nightly_files"] += int(await conn.fetchval(statement("count_synced"), list(ids)))

    async def _together(self, subject: UUID, ids: Sequence[UUID]) -> tuple[list[UUID], list[UUID]]:
        """Return the memories with all that was made of them, and what else that was made of."""
        async with self._library.plain.pool.own(read_only=True) as conn:
            rows = await conn.fetch(statement("find_made_of"), subject, list(ids), TOGETHER_MAX + 1)
            together = [row["id"] for row in rows]
            if len(together) > TOGETHER_MAX:
                raise ForgetTooMany()
            made = [ident for ident in together if ident not in set(ids)]
            others = await conn.fetch(statement("find_made_from"), subject, made, TOGETHER_MAX)
        return together, [row["of_id"] for row in others if row["of_id"] not in set(together)]

    async def _hold_rows(
        self, conn: Connection, subject: UUID, together: list[UUID], others: list[UUID]
    ) -> None:
        """Hold all that is deleted or changed before any of it is, as every other does: nobody waits in a circle."""
        for tier in PLAIN if len(together) > 1 else ():
            # Before the rows, as whoever reads them for names: a name goes with the last memory that has it, and what
            # one memory names is struck in one order, but not what several do. One alone need not wait for readers.
            await conn.execute(one("hold_names", tier), f"{subject}{tier.value}")
        for tier in PLAIN:
            await conn.execute(text_for("hold_rows", tier), [*together, *others], together)

    async def _erase_plain(
        self,
        conn: Connection,
        subject: UUID,
        together: list[UUID],
        others: list[UUID],
        erasure: Erasure,
    ) -> list[tuple[Tier, list[int], list[str]]]:
        indexed: list[tuple[Tier, list[int], list[str]]] = []
        for tier in PLAIN:
            before = await self._count(conn, tier, together)
            if not before["rows"]:
                continue
            terms = await conn.fetchrow(text_for("find_terms", tier), together)
            indexed.append((tier, terms["seqs"], terms["terms"]))
            erasure.counts["postings"] += int(
                await conn.fetchval(text_for("count_postings", tier), *indexed[-1][1:])
            )
            swallowed = await conn.fetch(text_for("find_swallowed", tier), together)
            erasure.swallowed |= {row["merged_id"] for row in swallowed}
            for row in await conn.fetch(text_for("delete_memories", tier), together):
                erasure.tiers[row["id"]] = tier
            # Names go when nothing needs them any more: what is gone is what was there less what is.
            erasure.counts.update(before - await self._count(conn, tier, together))
            await conn.fetch(text_for("wake_sources", tier), others)
        return indexed

    async def _erase_sacred(self, subject: UUID, together: list[UUID], erasure: Erasure) -> None:
        shelf = self._library.sacred
        async with shelf.pool.as_role(ROLE, subject) as conn:
            rows = await conn.fetch(statement("delete_sacred_memories"), together)
            for row in rows:
                erasure.tiers[row["id"]] = Tier.SACRED
            erasure.counts["rows"] += len(rows)
            erasure.counts["embeddings"] += sum(row["embedded"] for row in rows)
            await shelf.step_out(conn)
            await self._clear_books(conn, shelf, "sacred", together, erasure)
            await self._bury(conn, shelf, subject, (Tier.SACRED,), erasure)

    async def _keep_books(
        self, conn: Connection, subject: UUID, together: list[UUID], erasure: Erasure
    ) -> None:
        shelf = self._library.plain
        await shelf.step_out(conn)
        await self._clear_books(conn, shelf, "memory", together, erasure)
        await conn.execute(statement("drop_made_of"), subject, together)
        await self._bury(conn, shelf, subject, PLAIN, erasure)

    async def _clear_books(
        self, conn: Connection, shelf: Shelf, schema: str, ids: list[UUID], erasure: Erasure
    ) -> None:
        tier = Tier.SACRED if schema == "sacred" else Tier.CONVENIENCE
        await self._strike_notes(conn, shelf, schema, ids, erasure)
        erasure.counts["request_hashes"] += count(
            await conn.execute(text_for("blank_keys_of", tier), ids)
        )
        texts = [str(ident) for ident in ids]
        erasure.counts["events"] += count(
            await conn.execute(text_for("drop_events_of", tier), texts)
        )

    async def _strike_notes(
        self, conn: Connection, shelf: Shelf, schema: str, ids: list[UUID], erasure: Erasure
    ) -> None:
        """Delete what names the memories by a key of theirs; what announces that they are gone stays."""
        for table in await self._of(conn, shelf, schema):
            if table.name != "rows":
                erasure.counts[table.name] += count(await conn.execute(table.deleting, ids))

    async def _bury(
        self,
        conn: Connection,
        shelf: Shelf,
        subject: UUID,
        tiers: Sequence[Tier],
        erasure: Erasure,
    ) -> None:
        """Leave tombstones, also for what had been merged into these: an old export must not bring it back."""
        for tier in tiers:
            gone = [ident for ident, stood in erasure.tiers.items() if stood is tier]
            if tier is Tier.SENSITIVE or (tier is Tier.CONVENIENCE and gone):
                swallowed, erasure.swallowed = erasure.swallowed, set()
                buried = [*gone, *swallowed]
            else:
                buried = gone
            if buried:
                await conn.execute(text_for("bury_all", _books(tier)), subject, buried, tier.value)
            books = pipeline(tier)
            await books.announce(conn, gone, subject, tier, "forgotten", shelf.on_announce)

    async def _drop_caches(self, subject: UUID) -> bool:
        """Drop what caches hold; say whether all of them did, within a few tries."""
        dropped = [await self._drop(cache, subject) for cache in self._caches]
        return all(dropped)

    async def _drop(self, cache: Cache, subject: UUID) -> bool:
        for pause_s in (*CACHE_PAUSES_S, None):
            try:
                await cache(subject)
                return True
            except Exception as error:
                if pause_s is None:
                    # The memory is gone whatever a cache does; the report must only not claim more.
                    log.exception("forget.cache_not_dropped", error)
                    return False
                await asyncio.sleep(pause_s)
        return False

    async def _count(self, conn: Connection, tier: Tier, ids: list[UUID]) -> Counter[str]:
        counted: Counter[str] = Counter()
        for table in await self._of(conn, self._library.plain, tier.value):
            arguments = [ids] if table.deleting else []
            counted[table.name] += int(await conn.fetchval(table.counting, *arguments))
        return counted

    async def _of(self, conn: Connection, shelf: Shelf, schema: str) -> list[_Table]:
        """Return the tables of a schema that hold something of a memory. Migrations restart nothing that runs."""
        if schema not in self._tables:
            tiers = [tier.value for tier in PLAIN]
            rows: list[Any] = await conn.fetch(statement("catalog_of_traces"), [schema], tiers)
            tables = [_table(row) for row in rows]
            if schema in tiers:
                names = await conn.fetch(statement("catalog_of_names"), [schema])
                tables += [_Table(_name(row["name"]), row["counting"], "") for row in names]
            self._tables[schema] = tables
        return self._tables[schema]


def most_private(tiers: Sequence[Tier]) -> Tier:
    """Return the tier that fewest can see."""
    return max(tiers, key=lambda tier: PRIVACY[tier])


def _books(tier: Tier) -> Tier:
    # The books of both plain tiers are the same.
    return Tier.SACRED if tier is Tier.SACRED else Tier.CONVENIENCE


def _table(row: Any) -> _Table:
    return _Table(_name(row["name"]), row["counting"], row["deleting"])


def _name(table: str) -> str:
    return NAMES.get(table, table)
