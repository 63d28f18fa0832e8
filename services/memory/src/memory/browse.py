"""Look at memories: one by its id, or all, newest first, a page at a time."""

from __future__ import annotations

from uuid import UUID

from contracts.identity import Caller
from contracts.memory import Memory, MemoryPage, Tier

from memory.domain import (
    Cursor,
    Entry,
    check_list_limit,
    chosen_tiers,
    decode_cursor,
    encode_cursor,
)
from memory.library import Library
from memory.presenting import to_memory


class Browse:
    """`GET /v1/memories` and `GET /v1/memories/{id}`."""

    def __init__(self, library: Library) -> None:
        self._library = library

    async def one(self, caller: Caller, memory_id: UUID) -> Memory:
        """Return the caller's memory. Raises MemoryNotFound."""
        return to_memory(await self._library.find(caller, memory_id))

    async def page(
        self, caller: Caller, tier: str | None, limit: int, cursor: str | None
    ) -> MemoryPage:
        """Return the next memories of the tier, or of all tiers but sacred, newest first.

        Raises TierUnknown, TierDenied, LimitInvalid, CursorInvalid.
        """
        tiers = chosen_tiers(caller.db_role, None if tier is None else [tier])
        limit = check_list_limit(limit)
        after = decode_cursor(cursor, tiers) if cursor is not None else None
        entries: list[Entry] = []
        for shelf in dict.fromkeys(self._library.shelf(each) for each in tiers):
            async with shelf.pool.as_caller(caller) as conn:
                for each in tiers:
                    if self._library.shelf(each) is shelf:
                        # One more than asked for says whether there is a next page.
                        entries += await shelf.page(conn, each, after, limit + 1)
        entries.sort(key=lambda entry: (entry.created_at, entry.id), reverse=True)
        shown = entries[:limit]
        more = len(entries) > limit
        return MemoryPage(
            items=[to_memory(entry) for entry in shown],
            next_cursor=_cursor(shown[-1], tiers) if more else None,
        )


def _cursor(entry: Entry, tiers: tuple[Tier, ...]) -> str:
    return encode_cursor(Cursor(entry.created_at, entry.id), tiers)
