"""The chores of the house's memory, in the order in which they are run. Each owner adds a line."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from contracts.tiers import Tier

from memory.exchange.chores import clear_files, sync_files, vacuum
from memory.index.upkeep import merge_postings
from memory.levels.chores import Chore, Desk
from memory.levels.compress import compress
from memory.rows import count

PRUNE_AT_ONCE, PRUNES_MAX = 5000, 20
# By night (UTC), when nobody waits: the day's learnings are written down, then the space of what was forgotten is freed.
SYNC_HOUR, VACUUM_HOUR = 3, 4


def duties() -> Sequence[Chore]:
    """Return every chore."""
    return (
        Chore("journal", timedelta(hours=6), prune_journal, when_off=True),
        Chore("postings", timedelta(minutes=10), merge_postings, when_off=True),
        Chore("compression", timedelta(days=7), compress),
        Chore("nightly_files", timedelta(days=1), sync_files, hour=SYNC_HOUR, when_off=True),
        Chore("clear_files", timedelta(minutes=1), clear_files, when_off=True),
        Chore("vacuum", timedelta(days=1), vacuum, hour=VACUUM_HOUR, when_off=True),
    )


async def prune_journal(desk: Desk) -> None:
    """Drop the journal's entries that are older than the house keeps them."""
    before = desk.clock.now() - timedelta(days=max(desk.settings.journal_days, 1))
    for tier in (Tier.CONVENIENCE, Tier.SACRED):
        for _ in range(PRUNES_MAX):
            async with desk.store.pool(tier).own() as conn:
                dropped = count(await desk.store.prune(conn, tier, before, PRUNE_AT_ONCE))
            if dropped < PRUNE_AT_ONCE:
                break
