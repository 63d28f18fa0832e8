"""Look at memories: one by its id, all, newest first, a page at a time, or how many happened when."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import datetime
from typing import Literal, cast, get_args
from uuid import UUID

from contracts.identity import Caller
from contracts.memory import Memory, MemoryPage, Tier, Timeline, TimelineBucket

from memory.domain import (
    Cursor,
    Entry,
    Order,
    Shown,
    check_list_limit,
    check_span,
    chosen_tiers,
    decode_cursor,
    encode_cursor,
)
from memory.errors import StateUnknown
from memory.facts.arm import expand
from memory.facts.entities import readable
from memory.facts.errors import EntityNotFound
from memory.library import Library
from memory.presenting import to_memory

BucketName = Literal["day", "week", "month"]
BUCKETS_MAX = 400
# Five levels in every bucket.
ROWS_MAX = BUCKETS_MAX * 5


class Browse:
    """`GET /v1/memories`, `GET /v1/memories/{id}` and `GET /v1/timeline`."""

    def __init__(self, library: Library) -> None:
        self._library = library

    async def one(self, caller: Caller, memory_id: UUID) -> Memory:
        """Return the caller's memory. Raises MemoryNotFound."""
        return to_memory(await self._library.find(caller, memory_id))

    async def page(
        self, caller: Caller, tier: str | None, shown: Shown, limit: int, cursor: str | None
    ) -> MemoryPage:
        """Return the next memories of the tier, or of all tiers but sacred, newest first by the list's order.

        No sacred memory is known to be about an entity: nothing is derived of it. Raises TierUnknown, TierDenied,
        LimitInvalid, CursorInvalid, EntityNotFound.
        """
        tiers = chosen_tiers(caller.db_role, None if tier is None else [tier])
        limit = check_list_limit(limit)
        listing = repr((tiers, shown))
        after = decode_cursor(cursor, listing) if cursor is not None else None
        if shown.entities is not None:
            tiers = tuple(each for each in tiers if each is not Tier.SACRED)
            shown = await self._about(caller, shown, shown.entities)
        entries: list[Entry] = []
        for shelf in dict.fromkeys(self._library.shelf(each) for each in tiers):
            async with shelf.pool.as_caller(caller) as conn:
                for each in tiers:
                    if self._library.shelf(each) is shelf:
                        # One more than asked for says whether there is a next page.
                        entries += await shelf.page(conn, each, after, limit + 1, shown)
        entries.sort(key=lambda entry: (_moment(entry, shown), entry.id), reverse=True)
        page = entries[:limit]
        more = len(entries) > limit
        return MemoryPage(
            items=[to_memory(entry) for entry in page],
            next_cursor=encode_cursor(Cursor(_moment(page[-1], shown), page[-1].id), listing)
            if more
            else None,
        )

    async def _about(self, caller: Caller, shown: Shown, entities: tuple[UUID, ...]) -> Shown:
        """Return the list by the roots of everything that is shown as these entities. Raises EntityNotFound."""
        async with self._library.plain.pool.as_caller(caller) as conn:
            roots = await expand(conn, readable(caller), entities)
        if not roots:
            raise EntityNotFound()
        return replace(shown, entities=tuple(roots))

    async def timeline(
        self, caller: Caller, bucket: str, since: datetime | None, until: datetime | None
    ) -> Timeline:
        """Return how much happened in each day, week or month, newest first, without archived and sacred memories.

        Raises StateUnknown, TimeInvalid.
        """
        if bucket not in get_args(BucketName):
            raise StateUnknown()
        check_span(since, until)
        levels: dict[datetime, Counter[str]] = {}
        shelf = self._library.plain
        async with shelf.pool.as_caller(caller) as conn:
            for tier in chosen_tiers(caller.db_role, None):
                rows = await shelf.happened(conn, tier, bucket, since, until, ROWS_MAX)
                for start, level, count in rows:
                    levels.setdefault(start, Counter())[level] += count
        newest = sorted(levels.items(), reverse=True)[:BUCKETS_MAX]
        items = [
            TimelineBucket(start=start, count=counts.total(), by_level=dict(counts))
            for start, counts in newest
        ]
        return Timeline(bucket=cast(BucketName, bucket), items=items)


def _moment(entry: Entry, shown: Shown) -> datetime:
    return entry.created_at if shown.order is Order.CREATED else entry.happened_at
