"""Edit: another text or time in place, or another tier, which may be another database."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from contracts.identity import Caller
from contracts.memory import EditRequest, Level, Memory, Tier

from memory.domain import (
    PRIVACY,
    Entry,
    check_span,
    check_tier,
    clean_text,
    expiry,
    lasting,
    parse_level,
    parse_namespace,
    parse_tier,
)
from memory.errors import EditEmpty, MemoryNotFound
from memory.identity import check_room
from memory.library import Library, now
from memory.presenting import check_person, check_writes, to_memory
from memory.writing.move import Move


class Edit:
    """`PATCH /v1/memories/{id}`."""

    def __init__(self, library: Library, move: Move, wake: Callable[[Tier], None]) -> None:
        self._library = library
        self._move = move
        self._wake = wake

    async def __call__(self, caller: Caller, memory_id: UUID, request: EditRequest) -> Memory:
        """Return the memory as it is now. A new text is only ever written in the more private of the two tiers.

        Raises MemoryNotFound, EditEmpty, Busy, TierUnknown, TierDenied, LevelUnknown, NamespaceUnknown, IdentityFull,
        the text's errors, TimeInvalid, SacredFull, kit.read_only.
        """
        check_writes(caller.db_role, caller.read_only)
        change = read_change(request)
        if change.tier is not None:
            check_tier(caller.db_role, change.tier)
        if change.namespace is not None:
            await self._library.check_namespace(caller, change.namespace)
        async with self._library.changing(memory_id):
            await self._move.settle(memory_id)
            entry = await self._library.find(caller, memory_id)
            if Level.IDENTITY in (entry.level, change.fields.get("level")):
                check_person(caller)
            to_tier = change.tier or entry.tier
            upwards = PRIVACY[to_tier] > PRIVACY[entry.tier]
            if upwards:
                entry = await self._move(caller, entry, to_tier)
            if change.revises:
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
            revised = change.applied(entry, now())
            await check_room(conn, shelf, entry, revised)
            revised = await shelf.revise(conn, entry, revised)
            await shelf.step_out(conn)
            if revised.revision != entry.revision:
                await shelf.put_pending(conn, revised)
            await shelf.announce(conn, revised.id, revised.subject_id, revised.tier, "edited")
        return revised


@dataclass(frozen=True)
class Change:
    """What an edit asks for. `fields` are the columns that change in place; None leaves the tier as it is."""

    tier: Tier | None
    fields: dict[str, Any]

    @property
    def revises(self) -> bool:
        """Whether anything changes in place."""
        return bool(self.fields)

    @property
    def namespace(self) -> str | None:
        """The namespace to move to, if one was named."""
        return self.fields.get("namespace")

    def applied(self, entry: Entry, moment: datetime) -> Entry:
        """Return the entry with the change. Raises TimeInvalid."""
        fields = dict(self.fields)
        if "level" in fields and fields["level"] is not entry.level:
            fields |= {"expires_at": expiry(fields["level"], moment), "archived_at": None}
        revised = replace(entry, **fields, updated_at=moment)
        check_span(revised.valid_from, revised.valid_to)
        return revised


def read_change(request: EditRequest) -> Change:
    """Return what the request asks for. Raises EditEmpty, the text's errors, TierUnknown, LevelUnknown, TimeInvalid."""
    sent = request.model_fields_set
    fields: dict[str, Any] = {}
    if request.text is not None:
        fields["text"] = clean_text(request.text)
    if request.namespace is not None:
        fields["namespace"] = parse_namespace(request.namespace)
    if request.level is not None:
        fields["level"] = parse_level(request.level)
    for name in ("occurred_at", "valid_from", "valid_to"):
        if name in sent:
            fields[name] = lasting(getattr(request, name))
    tier = parse_tier(request.tier) if request.tier is not None else None
    if tier is None and not fields:
        raise EditEmpty()
    return Change(tier, fields)
