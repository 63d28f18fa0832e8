"""A person says that two memories are one."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from contracts.identity import Caller
from contracts.memory import Memory, Tier

from memory.library import Library
from memory.presenting import check_writes, to_memory
from memory.writing.errors import MergeRefused
from memory.writing.merge import hold_memories, merge_in


class Merge:
    """`POST /v1/memories/{id}/merge`: a person says that two memories are one."""

    def __init__(self, library: Library, wake: Callable[[Tier], None]) -> None:
        self._library = library
        self._wake = wake

    async def __call__(self, caller: Caller, memory_id: UUID, other_id: UUID) -> Memory:
        """Return the one that both are now: the older. Two that are one already are no error.

        Raises MemoryNotFound, MergeRefused, Busy, kit.read_only.
        """
        check_writes(caller.db_role, caller.read_only)
        one = await self._library.find(caller, memory_id)
        other = await self._library.find(caller, other_id)
        if one.id == other.id:
            if memory_id == other_id:
                raise MergeRefused()
            return to_memory(one)
        if Tier.SACRED in (one.tier, other.tier) or one.tier is not other.tier:
            raise MergeRefused()
        shelf = self._library.plain
        async with shelf.pool.as_caller(caller) as conn:
            await shelf.step_out(conn)
            await hold_memories(conn, shelf, (one.id, other.id))
            await shelf.step_in(conn, caller.db_role)
            survivor = await merge_in(conn, shelf, one.tier, one.id, other.id, judged=True)
        if survivor is None:
            raise MergeRefused()
        self._wake(one.tier)
        return to_memory(await self._library.find(caller, survivor))
