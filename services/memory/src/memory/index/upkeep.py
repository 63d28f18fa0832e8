"""Keeping the index of words small, and making it anew."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from uuid import UUID

from contracts.tiers import Tier
from kit import logs

from memory.index import statements

if TYPE_CHECKING:
    from kit.pool import Connection

    from memory.levels.chores import Desk
    from memory.plain import PlainShelf
    from memory.settings import StoreSettings

log = logs.get(__name__)
ROLE = "lares_app"
TIERS = (Tier.CONVENIENCE, Tier.SENSITIVE)
# A person's blocks of 2,048 memories are merged when there are as many as this.
FOLDS_MIN = 16
MERGES_MAX = 50
PEOPLE_AT_ONCE = 100
REBUILD_SECONDS_MAX = 3600.0


async def merge_postings(desk: Desk) -> None:
    """The chore: merge what many single writes left behind, person by person."""
    merged = 0
    for subject in await _people(desk.plain):
        for tier in TIERS:
            for _ in range(MERGES_MAX):
                async with desk.plain.pool.as_role(ROLE, subject) as conn:
                    went = await conn.fetchval(
                        statements.of("merge", tier), subject, FOLDS_MIN, timeout=60.0
                    )
                merged += went
                if not went:
                    break
    if merged:
        log.info("index.merged", blocks=merged)


async def sizes(conn: Connection) -> list[tuple[str, int]]:
    """Return how many bytes the texts, the vectors and the index of words take, of all people together."""
    return [(row["part"], row["bytes"]) for row in await conn.fetch(statements.NAMED.sizes)]


async def rebuild(shelf: PlainShelf) -> int:
    """Make everyone's index anew from the texts, each in one transaction; return how many memories there are."""
    rows = 0
    for subject in await _people(shelf):
        for tier in TIERS:
            async with shelf.pool.as_role(ROLE, subject) as conn:
                await conn.execute("SET LOCAL statement_timeout = 0")
                rows += await conn.fetchval(
                    statements.of("rebuild", tier), subject, timeout=REBUILD_SECONDS_MAX
                )
    return rows


def run(settings: StoreSettings) -> int:
    """Rebuild the index and return the exit status. Raises SacredKeyInvalid, DataUnavailable."""
    # The worker reads this module too, and opens its stores itself.
    from memory.stores import open_library
    from memory.vault import Vault

    async def work() -> int:
        vault = Vault(settings.sacred_data_key)
        async with open_library(settings, vault, 1, 1) as library:
            return await rebuild(library.plain)

    log.info("index.rebuilt", memories=asyncio.run(work()))
    return 0


async def _people(shelf: PlainShelf) -> list[UUID]:
    people: list[UUID] = []
    while True:
        async with shelf.pool.own(read_only=True) as conn:
            after = people[-1] if people else UUID(int=0)
            more = await shelf.subjects(conn, after, PEOPLE_AT_ONCE)
        people += more
        if len(more) < PEOPLE_AT_ONCE:
            return people
