"""Many memories in one request: judged one by one, stored in one transaction per tier."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from contracts.identity import Caller
from contracts.memory import Level, RememberRequest, Tier
from contracts.writing import BatchOutcome, BatchRequest, BatchResult
from kit.errors import KitError
from kit.pool import Connection

from memory.domain import Entry, check_tier
from memory.errors import SacredFull
from memory.library import Library, now
from memory.presenting import check_writes
from memory.store import Shelf
from memory.writing.duplicates import claim_id
from memory.writing.remember import Remember, Rules, read_entry
from memory.writing.store import pipeline, text_of


@dataclass(frozen=True, slots=True)
class _Item:
    index: int
    entry: Entry


class RememberMany:
    """`POST /v1/memories/batch`."""

    def __init__(
        self, library: Library, remember: Remember, rules: Rules, wake: Callable[[Tier], None]
    ) -> None:
        self._library = library
        self._remember = remember
        self._rules = rules
        self._wake = wake

    async def __call__(self, caller: Caller, request: BatchRequest) -> BatchResult:
        """Return what became of each memory, once all that was not refused is safely stored.

        Raises kit.read_only, TooManyWrites, DataUnavailable; what is wrong with one memory is its outcome alone.
        """
        check_writes(caller.db_role, caller.read_only)
        self._rules.spend(caller, len(request.memories))
        outcomes: dict[int, BatchOutcome] = {}
        items: dict[Tier, list[_Item]] = {}
        spaces: dict[str, KitError | None] = {}
        for index, asked in enumerate(request.memories):
            try:
                entry = await self._read(caller, asked, spaces)
            except KitError as error:
                outcomes[index] = _refused(index, error)
                continue
            if entry.level is Level.IDENTITY:
                # Whether it fits depends on what is there; these are few, and go one by one.
                outcomes[index] = await self._single(caller, asked, index)
            else:
                items.setdefault(entry.tier, []).append(_Item(index, entry))
        for tier, of_tier in items.items():
            outcomes.update(await self._store(caller, tier, of_tier))
        return BatchResult(results=[outcomes[index] for index in range(len(request.memories))])

    async def _read(
        self, caller: Caller, asked: RememberRequest, spaces: dict[str, KitError | None]
    ) -> Entry:
        entry = read_entry(caller, asked, now())
        check_tier(caller.db_role, entry.tier)
        if entry.namespace not in spaces:
            try:
                await self._library.check_namespace(caller, entry.namespace)
                spaces[entry.namespace] = None
            except KitError as error:
                if error.status >= 500:
                    raise
                spaces[entry.namespace] = error
        unknown = spaces[entry.namespace]
        if unknown is not None:
            raise unknown
        return self._rules.judge(caller, entry, force=asked.force)

    async def _single(self, caller: Caller, asked: RememberRequest, index: int) -> BatchOutcome:
        try:
            memory = await self._remember(caller, asked)
        except KitError as error:
            return _refused(index, error)
        return BatchOutcome(
            index=index, outcome="merged" if memory.merged else "remembered", id=memory.id
        )

    async def _store(
        self, caller: Caller, tier: Tier, items: Sequence[_Item]
    ) -> dict[int, BatchOutcome]:
        """Store one tier's memories in one transaction; all of them are in it or, when it fails, none."""
        shelf = self._library.shelf(tier)
        outcomes: dict[int, BatchOutcome] = {}
        joined: list[UUID] = []
        try:
            async with shelf.pool.as_caller(caller) as conn:
                said = await self._said(conn, tier, items)
                written = [item.entry for item in items if item.index not in said]
                await self._insert(conn, caller, shelf, written)
                for item in items:
                    found = None
                    if item.index in said:
                        found = await self._rules.join(conn, caller.db_role, item.entry)
                        if found is None:
                            await self._insert(conn, caller, shelf, [item.entry])
                            written.append(item.entry)
                        else:
                            joined.append(found.id)
                    outcomes[item.index] = _kept(item, found)
                await shelf.step_out(conn)
                await shelf.note_subject(conn, caller.subject)
                books = pipeline(tier)
                for ids, change in (
                    ([entry.id for entry in written], "remembered"),
                    (list(dict.fromkeys(joined)), "merged"),
                ):
                    await books.announce(
                        conn, ids, caller.subject, tier, change, told=shelf.on_announce
                    )
        except SacredFull as error:
            return {item.index: _refused(item.index, error) for item in items}
        self._wake(tier)
        return outcomes

    async def _said(self, conn: Connection, tier: Tier, items: Sequence[_Item]) -> set[int]:
        """Return which of them may have been said before, by a memory that is there or earlier in the batch."""
        if tier is Tier.SACRED:
            return set()
        seen: set[tuple[str, UUID]] = set()
        repeated: set[int] = set()
        for item in items:
            claim = (item.entry.namespace, claim_id(item.entry.text))
            if claim in seen:
                repeated.add(item.index)
            seen.add(claim)
        rows = await conn.fetch(
            text_of("texts_said", tier),
            [item.index for item in items],
            [item.entry.namespace for item in items],
            [item.entry.text for item in items],
        )
        return repeated | {row["place"] for row in rows}

    async def _insert(
        self, conn: Connection, caller: Caller, shelf: Shelf, entries: Sequence[Entry]
    ) -> None:
        """Write the rows and the notes that they want a vector, as the caller and then as the service; the caller's
        role is taken again.
        """
        if not entries:
            return
        await shelf.insert_many(conn, entries)
        await shelf.step_out(conn)
        await pipeline(entries[0].tier).put(
            conn, caller.subject, entries[0].tier, [(entry.id, 1) for entry in entries]
        )
        await shelf.step_in(conn, caller.db_role)


def _kept(item: _Item, joined: Entry | None) -> BatchOutcome:
    if joined is not None:
        return BatchOutcome(index=item.index, outcome="merged", id=joined.id)
    return BatchOutcome(index=item.index, outcome="remembered", id=item.entry.id)


def _refused(index: int, error: KitError) -> BatchOutcome:
    """Return a refusal as an outcome. Raises it when it is the house's and not the memory's."""
    if error.status >= 500:
        raise error
    return BatchOutcome(index=index, outcome="refused", code=error.code, reason=error.reason)
