"""Edit: another text or time in place, or another tier, which may be another database."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from contracts.identity import Caller
from contracts.memory import EditRequest, Memory, Tier

from memory.domain import (
    PRIVACY,
    Change,
    Entry,
    aware,
    check_tier,
    clean_text,
    parse_tier,
)
from memory.errors import EditEmpty, MemoryNotFound
from memory.library import Library, now
from memory.move import Move
from memory.presenting import check_writes, to_memory


class Edit:
    """`PATCH /v1/memories/{id}`."""

    def __init__(self, library: Library, move: Move, wake: Callable[[Tier], None]) -> None:
        self._library = library
        self._move = move
        self._wake = wake

    async def __call__(self, caller: Caller, memory_id: UUID, request: EditRequest) -> Memory:
        """Return the memory as it is now. A new text is only ever written in the more private of the two tiers.

        Raises MemoryNotFound, EditEmpty, Busy, TierUnknown, TierDenied, the text's errors, TimeInvalid,
        SacredFull, kit.read_only.
        """
        check_writes(caller.db_role, caller.read_only)
        change = _read(request)
        if change.tier is not None:
            check_tier(caller.db_role, change.tier)
        async with self._library.changing(memory_id):
            await self._move.settle(memory_id)
            entry = await self._library.find(caller, memory_id)
            to_tier = change.tier or entry.tier
            revises = change.text is not None or change.sets_occurred_at
            upwards = PRIVACY[to_tier] > PRIVACY[entry.tier]
            if upwards:
                entry = await self._move(caller, entry, to_tier)
            if revises:
                entry = await self._revise(caller, entry, change)
            if to_tier is not entry.tier:
                entry = await self._move(caller, entry, to_tier)
        self._wake(entry.tier)
        return to_memory(entry)

    async def _revise(self, caller: Caller, found: Entry, change: Change) -> Entry:
        shelf = self._library.shelf(found.tier)
        async with shelf.pool.as_caller(caller) as conn:
            entry = await shelf.take(conn, found.tier, found.id)
            if entry is None:
                raise MemoryNotFound()
            text = entry.text if change.text is None else change.text
            occurred_at = change.occurred_at if change.sets_occurred_at else entry.occurred_at
            revised = await shelf.revise(conn, entry, text, occurred_at, now())
            await shelf.step_out(conn)
            if revised.revision != entry.revision:
                await shelf.put_pending(conn, revised)
            await shelf.announce(conn, revised.id, revised.subject_id, revised.tier, "edited")
        return revised


def _read(request: EditRequest) -> Change:
    sent = request.model_fields_set
    change = Change(
        text=clean_text(request.text) if request.text is not None else None,
        tier=parse_tier(request.tier) if request.tier is not None else None,
        sets_occurred_at="occurred_at" in sent,
        occurred_at=aware(request.occurred_at),
    )
    if change.text is None and change.tier is None and not change.sets_occurred_at:
        raise EditEmpty()
    return change
