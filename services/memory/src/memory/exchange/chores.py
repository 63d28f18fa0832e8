"""What the consolidator does for this part: the nightly files, what must leave them, and the nightly VACUUM."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from contracts.tiers import Tier
from kit import logs

from memory.errors import SacredUnreadable
from memory.exchange.store import statement
from memory.exchange.sync import Sync
from memory.library import Library
from memory.sacred import SacredShelf
from memory.vault import Vault

if TYPE_CHECKING:
    from uuid import UUID

    from memory.levels.chores import Desk

log = logs.get(__name__)
# Longer than from one night to the next, so that a late night leaves nothing out.
FORGOTTEN_WITHIN = timedelta(hours=49)
_TIERS = [Tier.CONVENIENCE.value, Tier.SENSITIVE.value]


class NoKey(Vault):
    """The consolidator has no key to what is sacred: it opens nothing and seals nothing."""

    def __init__(self) -> None:
        self.key_id = "none"

    def seal(self, subject: UUID, row: UUID, column: str, value: bytes) -> bytes:
        raise SacredUnreadable()

    def open(self, subject: UUID, row: UUID, column: str, key_id: str, sealed: bytes) -> bytes:
        raise SacredUnreadable()


async def sync_files(desk: Desk) -> None:
    """Write everybody's files, if the house wants them."""
    if desk.settings.sync == "on":
        done = await _sync(desk).everybody()
        log.info("sync.done", people=done)


async def clear_files(desk: Desk) -> None:
    """Take out of the files what may not stand in them any more, also when they are written no longer."""
    if desk.settings.sync_folder.is_dir():
        while await _sync(desk).take_out_stale():
            continue


async def vacuum(desk: Desk) -> None:
    """Take what was forgotten out of the tables' files: a deleted row stays there until somebody does."""
    since = desk.clock.now() - FORGOTTEN_WITHIN
    for database, schemas, books in (
        ("lares", _TIERS, Tier.CONVENIENCE),
        ("lares_sacred", ["sacred"], Tier.SACRED),
    ):
        text = statement("forgotten_since")
        if books is Tier.SACRED:
            text = text.replace("memory.", "sacred.")
        async with desk.store.pool(books).own(read_only=True) as conn:
            if not await conn.fetchval(text, since):
                continue
        await _vacuum(desk, database, schemas)


async def _vacuum(desk: Desk, database: str, schemas: list[str]) -> None:
    import asyncpg

    settings = desk.settings
    # Outside any transaction, which the pool never is.
    connection = await asyncpg.connect(
        host=settings.postgres_host,
        port=settings.postgres_port,
        user="svc_memory",
        password=settings.db_password,
        database=database,
        timeout=10,
    )
    try:
        await connection.execute("SET statement_timeout = 0; SET ROLE lares_app")
        for row in await connection.fetch(statement("list_tables"), schemas):
            await connection.execute(f"VACUUM (SKIP_LOCKED, PROCESS_TOAST) {row['name']}")
    finally:
        await connection.close()


def _sync(desk: Desk) -> Sync:
    library = Library(desk.plain, SacredShelf(desk.store.pool(Tier.SACRED), NoKey()))
    return Sync(library, desk.settings.sync_folder, Tier(desk.settings.sync_tiers))
