"""The guard that makes a redelivered event harmless: its id is written in the transaction that does the work."""

from __future__ import annotations

import re
from uuid import UUID

from kit.pool import Connection

_TABLE = re.compile(r"^[a-z_]+\.processed_event$")
_KEEP_DAYS = 14


async def once(connection: Connection, table: str, consumer: str, event_id: UUID) -> bool:
    """Say whether `consumer` sees this event for the first time, and remember it with this transaction.

    Call it first inside the transaction that does the work: both are committed or neither is.
    """
    _check(table)
    tag = await connection.execute(
        f"INSERT INTO {table} (consumer, event_id) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        consumer,
        event_id,
    )
    return tag.endswith(" 1")


async def forget_old(connection: Connection, table: str) -> int:
    """Delete what is older than any redelivery can be (14 days), 10,000 rows at most; return how many."""
    _check(table)
    tag = await connection.execute(
        f"DELETE FROM {table} WHERE (consumer, event_id) IN (SELECT consumer, event_id FROM {table}"
        f" WHERE processed_at < now() - make_interval(days => $1) LIMIT 10000)",
        _KEEP_DAYS,
    )
    return int(tag.rsplit(" ", 1)[1])


def _check(table: str) -> None:
    if not _TABLE.match(table):
        raise ValueError(f"{table!r} is not a domain's processed_event table")
