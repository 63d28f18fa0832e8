"""What forward-auth reads of the database: two views, and one time stamp that it writes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from kit import sql
from kit.pool import Pool

QUERIES = sql.load(Path(__file__).with_name("queries.sql"))


@dataclass(frozen=True, slots=True)
class SessionRow:
    """A live session of an active person."""

    key: str
    subject: UUID
    username: str
    role: str
    aal: int
    auth_time: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class TokenRow:
    """A token of an active person that nobody has revoked."""

    id: str
    secret_hash: str
    subject: UUID
    username: str
    role: str
    scopes: tuple[str, ...]
    tiers: tuple[str, ...]
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None


@dataclass(frozen=True, slots=True)
class Refusal:
    """One refusal for the audit."""

    event: str
    subject: UUID | None
    session_id: str
    client_ip: str | None
    user_agent: str
    detail: dict[str, Any]
    correlation_id: str


class Store:
    """Every statement of the service, typed. Raises DataUnavailable when Postgres is away."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def session(self, key: str) -> SessionRow | None:
        """Return the session with this hash, if it lives and its person may enter."""
        async with self._pool.own(read_only=True) as connection:
            row = await connection.fetchrow(QUERIES.find_session, key)
        if row is None:
            return None
        return SessionRow(
            key,
            row["subject"],
            row["username"],
            row["role"],
            row["aal"],
            row["auth_time"],
            row["expire_date"],
        )

    async def token(self, token_id: str) -> TokenRow | None:
        """Return the token with this id, if it is not revoked and its person may enter."""
        async with self._pool.own(read_only=True) as connection:
            row = await connection.fetchrow(QUERIES.find_token, token_id)
        if row is None:
            return None
        return TokenRow(
            token_id,
            row["secret_hash"],
            row["subject"],
            row["username"],
            row["role"],
            tuple(row["scopes"]),
            tuple(row["tiers"]),
            row["created_at"],
            row["expires_at"],
            row["last_used_at"],
        )

    async def touch_token(self, token_id: str) -> None:
        """Note that a token was used now."""
        async with self._pool.own() as connection:
            await connection.execute(QUERIES.touch_token, token_id)

    async def record(self, refusals: list[Refusal]) -> None:
        """Add rows to the audit."""
        rows = [
            (
                r.event,
                r.subject,
                r.session_id,
                r.client_ip,
                r.user_agent,
                r.detail,
                r.correlation_id,
            )
            for r in refusals
        ]
        async with self._pool.own() as connection:
            await connection.executemany(QUERIES.record_refusal, rows)


def told(payload: str) -> tuple[str, str] | None:
    """Read a notification: what kind of thing changed, and its id. None for anything else."""
    try:
        message = json.loads(payload)
        ((kind, value),) = message.items()
    except (ValueError, AttributeError, TypeError):
        return None
    return (kind, str(value)) if kind in ("session", "person", "token") else None
