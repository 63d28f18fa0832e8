"""What follows a write, in this order: facts, then what they supersede, then duplicates. One person at a time.

A follower is asked about memories, oldest first, that have a vector, or whose model is away. It bears being asked
twice, late, and about memories that are gone. One that fails keeps only its memory waiting, not those beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from contracts.tiers import Tier
from kit import logs
from kit.errors import KitError

from memory.library import Library
from memory.writing.store import PLAIN

log = logs.get(__name__)
# What a batch reads and writes together costs little more than one memory alone. No more, since a job is finished before
# the worker stops, and a memory that is compared with many may take a tenth of a second on a small machine.
RELATE_MAX = 32


class Follower(Protocol):
    """One step behind a write."""

    name: str

    async def __call__(self, subject: UUID, tier: Tier, memory_ids: Sequence[UUID]) -> None:
        """Do this step for the memories, whatever of it was done before."""
        ...


class Relate:
    """The job `memory.relate`."""

    def __init__(self, library: Library, followers: Sequence[Follower]) -> None:
        self._library = library
        self._followers = tuple(followers)

    async def __call__(self, subject: UUID, tier: Tier, ids: Sequence[UUID]) -> int:
        """Run every follower over the memories; return for how many all was done. Raises DataUnavailable."""
        failed: set[UUID] = set()
        for follower in self._followers:
            left = [memory_id for memory_id in ids if memory_id not in failed]
            failed |= await self._follow(follower, subject, tier, left)
        done = [memory_id for memory_id in ids if memory_id not in failed]
        async with self._library.plain.pool.own() as conn:
            await PLAIN.related(conn, done)
            if failed:
                await PLAIN.release(conn, sorted(failed))
            await PLAIN.tally(conn, related=len(done), relation_failures=len(failed))
        return len(done)

    async def _follow(
        self, follower: Follower, subject: UUID, tier: Tier, ids: Sequence[UUID]
    ) -> set[UUID]:
        """Run one follower; return the memories for which it failed."""
        if not ids:
            return set()
        try:
            await follower(subject, tier, ids)
            return set()
        except KitError as error:
            if error.status == 503:
                # The database is away: for all of them, and nothing is at fault.
                raise
            log.warning("relate.retrying_singly", step=follower.name, code=error.code)
        except Exception as error:
            log.exception("relate.retrying_singly", error, step=follower.name)
        failed: set[UUID] = set()
        for memory_id in ids:
            try:
                await follower(subject, tier, [memory_id])
            except Exception as error:
                failed.add(memory_id)
                log.exception("relate.failed", error, step=follower.name, memory_id=str(memory_id))
        return failed
