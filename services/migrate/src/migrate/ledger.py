"""The record in each database of which files are applied, and the one transaction that changes both."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import asyncpg
from kit import logs
from kit.pool import is_connection_loss

from migrate.errors import Blocked, Failed, Unavailable
from migrate.files import Migration

log = logs.get("migrate")
# The same number in each database: whoever holds it may change the schema there.
LOCK = 0x6C61726573  # "lares"
_PAUSE_S_MAX = 5.0
_TABLE = """
CREATE SCHEMA IF NOT EXISTS data;
CREATE TABLE IF NOT EXISTS data.schema_migration (
    number integer PRIMARY KEY,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);
"""


@dataclass(frozen=True)
class Applied:
    """One file as it was when it was applied."""

    number: int
    name: str
    checksum: str


async def read(connection: Any) -> list[Applied]:
    """Return what is applied in this database, by number; nothing where no run has ever been."""
    if await connection.fetchval("SELECT to_regclass('data.schema_migration')") is None:
        return []
    rows = await connection.fetch(
        "SELECT number, name, checksum FROM data.schema_migration ORDER BY number"
    )
    return [Applied(row["number"], row["name"], row["checksum"]) for row in rows]


async def apply(connection: Any, migration: Migration, lock_timeout_ms: int, tries: int) -> bool:
    """Apply one file and record it, both or neither. False when another run has done so meanwhile.

    Raises Blocked when a lock was not to be had in `tries` tries, Failed when Postgres refused a statement.
    """

    async def work() -> bool:
        await connection.execute(_TABLE)
        recorded = await connection.fetchval(
            "INSERT INTO data.schema_migration (number, name, checksum) VALUES ($1, $2, $3)"
            " ON CONFLICT (number) DO NOTHING RETURNING number",
            migration.number,
            migration.name,
            migration.checksum,
        )
        if recorded is None:
            return False
        await connection.execute(migration.up)
        return True

    return await _in_transaction(connection, migration, work, lock_timeout_ms, tries)


async def revert(connection: Any, migration: Migration, lock_timeout_ms: int, tries: int) -> bool:
    """Undo one file and strike it out, both or neither. False when it was not applied. Raises as `apply`."""

    async def work() -> bool:
        struck = await connection.fetchval(
            "DELETE FROM data.schema_migration WHERE number = $1 RETURNING number", migration.number
        )
        if struck is None:
            return False
        await connection.execute(migration.down)
        return True

    return await _in_transaction(connection, migration, work, lock_timeout_ms, tries)


async def _in_transaction(
    connection: Any, migration: Migration, work: Any, lock_timeout_ms: int, tries: int
) -> bool:
    pause_s = 0.25
    for attempt in range(1, tries + 1):
        try:
            async with connection.transaction():
                await connection.execute(
                    f"SET LOCAL lock_timeout = {int(lock_timeout_ms)}; SELECT pg_advisory_xact_lock({LOCK})"
                )
                before = await connection.fetchval("SELECT pg_current_xact_id()::text")
                done = await work()
                if before != await connection.fetchval("SELECT pg_current_xact_id()::text"):
                    raise Failed(f"{migration.name}: it ended the runner's transaction")
                return done
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError) as error:
            if attempt == tries:
                raise Blocked(
                    f"{migration.name}: {type(error).__name__} in {tries} tries"
                ) from None
            log.warning("migrate.blocked", name=migration.name, attempt=attempt, attempts_max=tries)
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, _PAUSE_S_MAX)
        except asyncpg.PostgresError as error:
            if is_connection_loss(error):
                raise Unavailable(f"{migration.name}: the connection was lost; run again") from None
            # The statement is ours, but its error may quote a row: the SQLSTATE and the place are enough.
            line = _line(migration, getattr(error, "position", None))
            sqlstate = getattr(error, "sqlstate", "")
            raise Failed(f"{migration.name}: {type(error).__name__} ({sqlstate}){line}") from error
        except (OSError, asyncpg.InterfaceError):
            raise Unavailable(f"{migration.name}: the connection was lost; run again") from None
    raise Blocked(f"{migration.name}: not tried")


def _line(migration: Migration, position: str | None) -> str:
    if not position or not position.isdigit():
        return ""
    return f" at line {migration.up[: int(position)].count(chr(10)) + 1} of its part"
