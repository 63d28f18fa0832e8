"""What a person decides: that one memory replaced another, and that a memory stands again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from uuid import UUID

from contracts.memory import Memory, RememberRequest
from contracts.tiers import Level, Tier
from kit.pool import PERSON

from memory.domain import PRIVACY, Entry, allowed_tiers
from memory.errors import MemoryNotFound
from memory.library import Library, now
from memory.presenting import check_person, check_writes, to_memory
from memory.supersede import store
from memory.supersede.errors import SupersedeEmpty, SupersedeRefused
from memory.supersede.plan import BY_PERSON

if TYPE_CHECKING:
    from contracts.identity import Caller
    from contracts.supersede import SupersedeRequest
    from kit.pool import Connection

    from memory.writing.remember import Remember

# A chain of replacements is followed so far when a circle is looked for.
CHAIN_MAX = 64


class Supersede:
    """`POST /v1/memories/{id}/supersede`."""

    def __init__(self, library: Library, remember: Remember, wake: Callable[[Tier], None]) -> None:
        self._library = library
        self._remember = remember
        self._wake = wake

    async def __call__(self, caller: Caller, memory_id: UUID, request: SupersedeRequest) -> Memory:
        """Return the memory that now stands in the other's place.

        Raises MemoryNotFound, SupersedeEmpty, SupersedeRefused, PersonNeeded, Busy, kit.read_only, and what remembering raises.
        """
        check_writes(caller.db_role, caller.read_only)
        if (request.by is None) == (request.text is None):
            raise SupersedeEmpty()
        old = await self._library.find(caller, memory_id)
        if old.level is Level.IDENTITY:
            check_person(caller)
        async with self._library.changing(old.id):
            if request.by is None:
                written = await self._remember(
                    caller, _instead_of(old, request, caller), beside=_Marking(self, caller, old)
                )
                new_id = written.id
            else:
                new = await self._library.find(caller, request.by)
                await self._check(caller, old, new)
                async with self._library.shelf(old.tier).pool.as_caller(caller) as conn:
                    await self.mark(conn, caller, old, new)
                new_id = new.id
        self._wake(old.tier)
        return to_memory(await self._library.find(caller, new_id))

    async def _check(self, caller: Caller, old: Entry, new: Entry) -> None:
        sealed = {old.tier is Tier.SACRED, new.tier is Tier.SACRED}
        if old.id == new.id or old.namespace != new.namespace or len(sealed) > 1:
            raise SupersedeRefused()
        each = new
        for _ in range(CHAIN_MAX):
            if each.superseded_by is None:
                return
            if each.superseded_by == old.id:
                raise SupersedeRefused()
            try:
                each = await self._library.find(caller, each.superseded_by)
            except MemoryNotFound:
                return

    async def hold(self, conn: Connection, caller: Caller, tier: Tier) -> None:
        """Be the only one who decides about this person's memories until the transaction ends.

        Before any row is held: whoever else decides takes the two in this order.
        """
        if tier is Tier.SACRED:
            return
        shelf = self._library.plain
        await shelf.step_out(conn)
        await store.hold_person(conn, caller.subject)
        await shelf.step_in(conn, caller.db_role)

    async def mark(self, conn: Connection, caller: Caller, old: Entry, new: Entry) -> None:
        """Mark the old memory as replaced, as the caller, whose role is left at the end. Raises MemoryNotFound."""
        shelf, moment = self._library.shelf(old.tier), now()
        until = max(new.valid_from or new.happened_at, old.happened_at)
        await self.hold(conn, caller, old.tier)
        taken = await shelf.take(conn, old.tier, old.id)
        if taken is None:
            raise MemoryNotFound()
        if old.tier is Tier.SACRED:
            marked = replace(taken, superseded_by=new.id, superseded_at=moment, updated_at=moment)
            await shelf.revise(conn, taken, marked)
        elif PRIVACY[new.tier] > PRIVACY[old.tier]:
            await store.hide(conn, taken, new.id, BY_PERSON, BY_PERSON, until, moment)
            # Said of the one that is not noticed elsewhere: whoever keeps answers lets go of them.
            taken = new
        else:
            await shelf.step_out(conn)
            booked, before = await store.valid_to_before(conn, old.id)
            before = before if booked else taken.valid_to
            await store.book(conn, taken, new.id, BY_PERSON, BY_PERSON, before, moment)
            await shelf.step_in(conn, caller.db_role)
            await store.mark(conn, taken, new.id, until, moment, before)
        await shelf.step_out(conn)
        await shelf.announce(conn, taken.id, taken.subject_id, taken.tier, "superseded")


@dataclass(frozen=True)
class _Marking:
    """The mark on the old memory, in the transaction that writes the new one: never one without the other."""

    supersede: Supersede
    caller: Caller
    old: Entry

    async def before(self, conn: Connection) -> None:
        await self.supersede.hold(conn, self.caller, self.old.tier)

    async def after(self, conn: Connection, kept: Entry) -> None:
        if kept.id == self.old.id:
            # It says what the old one says.
            raise SupersedeRefused()
        await self.supersede.mark(conn, self.caller, self.old, kept)


def _instead_of(old: Entry, request: SupersedeRequest, caller: Caller) -> RememberRequest:
    return RememberRequest(
        text=request.text or "",
        tier=old.tier.value,
        namespace=old.namespace,
        level=old.level.value,
        source=request.source,
        occurred_at=request.occurred_at,
        valid_from=request.valid_from,
        # A person may say anything of their own; a client is judged as ever.
        force=caller.kind == PERSON,
    )


class Restore:
    """`POST /v1/memories/{id}/restore`."""

    def __init__(self, library: Library, wake: Callable[[Tier], None]) -> None:
        self._library = library
        self._wake = wake

    async def __call__(self, caller: Caller, memory_id: UUID) -> Memory:
        """Return the memory as it stands again: neither replaced nor archived. One that stands is left as it is.

        Raises MemoryNotFound, Busy, kit.read_only.
        """
        check_writes(caller.db_role, caller.read_only)
        async with self._library.changing(memory_id):
            entry = await self._library.find(caller, memory_id)
            if entry.tier is Tier.SACRED:
                await self._restore_sealed(caller, entry)
            else:
                await self._restore(caller, entry)
        self._wake(entry.tier)
        return to_memory(await self._library.find(caller, entry.id))

    async def _restore_sealed(self, caller: Caller, entry: Entry) -> None:
        if entry.superseded_at is None and entry.archived_at is None:
            return
        shelf, moment = self._library.sacred, now()
        async with shelf.pool.as_caller(caller) as conn:
            taken = await shelf.take(conn, entry.tier, entry.id)
            if taken is None:
                raise MemoryNotFound()
            stands = replace(
                taken, superseded_by=None, superseded_at=None, archived_at=None, updated_at=moment
            )
            await shelf.revise(conn, taken, stands)
            await shelf.step_out(conn)
            await shelf.announce(conn, entry.id, entry.subject_id, entry.tier, "restored")

    async def _restore(self, caller: Caller, entry: Entry) -> None:
        shelf, moment = self._library.plain, now()
        async with shelf.pool.as_caller(caller) as conn:
            await shelf.step_out(conn)
            await store.hold_person(conn, caller.subject)
            booked, before = await store.valid_to_before(conn, entry.id)
            await shelf.step_in(conn, caller.db_role)
            taken = await shelf.take(conn, entry.tier, entry.id)
            if taken is None:
                raise MemoryNotFound()
            changed = await self._unhide(conn, caller, taken)
            if taken.superseded_at is not None:
                changed |= await store.unmark(conn, taken, before, booked)
                await shelf.step_out(conn)
                await conn.execute(
                    store.text_of("note_restored"),
                    taken.id,
                    taken.superseded_by or taken.id,
                    taken.subject_id,
                    moment,
                )
                await shelf.step_in(conn, caller.db_role)
            if taken.archived_at is not None:
                name = store.text_of("unarchive", taken.tier)
                changed |= bool(await conn.fetchval(name, taken.id, moment))
            if changed:
                await shelf.step_out(conn)
                await shelf.announce(conn, taken.id, taken.subject_id, taken.tier, "restored")

    async def _unhide(self, conn: Connection, caller: Caller, entry: Entry) -> bool:
        if Tier.SENSITIVE not in allowed_tiers(caller.db_role):
            return False
        return bool(await conn.fetchval(store.text_of("restore_hidden"), entry.id, now()))
