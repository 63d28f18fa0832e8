"""Two shelves, one per database: memories as their caller, and the books beside them as the service itself.

Everything on a shelf's memories runs inside `pool.as_caller` or `pool.as_role`, so the database decides what is
seen. `step_out` then leaves that role for the rest of the transaction, to write the books that no caller may touch.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

from contracts.tiers import CHANGED_TOPIC, Tier
from kit import outbox, sql
from kit.pool import GROUP_ROLES, Connection, Pool, RoleRefused

from memory.domain import Cursor, Entry, Shown
from memory.rows import count

FIRST_PAGE = Cursor(datetime(9999, 1, 1, tzinfo=UTC), UUID(int=2**128 - 1))
_STATEMENTS = sql.load(Path(__file__).with_name("queries.sql"))


@dataclass(frozen=True)
class Deleted:
    """What went with one row."""

    embeddings: int


@dataclass(frozen=True)
class Model:
    """The embedding model whose vectors answer now."""

    id: int
    name: str
    dimensions: int


@dataclass(frozen=True)
class Key:
    """What an Idempotency-Key was used for; the hash is gone when the memory is."""

    memory_id: UUID
    request_hash: bytes | None


def statements() -> Mapping[str, sql.Query]:
    """Return every statement by name, with the role and database it is prepared under."""
    return _STATEMENTS


class Shelf(ABC):
    """What both databases have: memories of some tiers, and the same books."""

    def __init__(self, pool: Pool, books: str) -> None:
        self.pool = pool
        self.outbox = f"{books}.outbox"
        # Told of each change before it is committed, so that copies of what is about to be old are thrown out.
        self.on_announce: Callable[[UUID, UUID], None] = lambda subject, event_id: None
        # asyncpg takes exactly `str`; the books of the sacred database stand in its own schema.
        self._text = {
            name: re.sub(r"\bmemory\.", f"{books}.", str(query))
            for name, query in _STATEMENTS.items()
        }

    @abstractmethod
    async def insert(self, conn: Connection, entry: Entry) -> None:
        """Add a memory with whatever embedding it brings."""

    async def insert_many(self, conn: Connection, entries: Sequence[Entry]) -> None:
        """Add memories of one tier that have no embedding yet."""
        for entry in entries:
            await self.insert(conn, entry)

    @abstractmethod
    async def get(self, conn: Connection, tier: Tier, memory_id: UUID) -> Entry | None:
        """Return the memory without its embedding."""

    @abstractmethod
    async def has(self, conn: Connection, tier: Tier, memory_id: UUID) -> bool:
        """Say whether the memory stands here, without opening it."""

    @abstractmethod
    async def take(self, conn: Connection, tier: Tier, memory_id: UUID) -> Entry | None:
        """Return the memory with its embedding, held until the transaction ends."""

    @abstractmethod
    async def page(
        self, conn: Connection, tier: Tier, after: Cursor | None, limit: int, shown: Shown
    ) -> list[Entry]:
        """Return the next memories of the list, newest first."""

    @abstractmethod
    async def revise(self, conn: Connection, entry: Entry, revised: Entry) -> Entry:
        """Change a memory that was taken into `revised`; a new text drops its embeddings.

        Takes from it text, times, namespace, level and state; the rest stays as it is.
        """

    @abstractmethod
    async def has_namespace(self, conn: Connection, tier: Tier, name: str) -> bool:
        """Say whether any memory of the tier is in the namespace."""

    @abstractmethod
    async def delete(self, conn: Connection, tier: Tier, memory_id: UUID) -> Deleted | None:
        """Remove the memory; None when it was not there."""

    @abstractmethod
    async def set_embedding(
        self, conn: Connection, entry: Entry, vector: Sequence[float], model: int
    ) -> bool:
        """Give the memory its embedding by a model; False when its text has changed since `entry` was read."""

    async def step_out(self, conn: Connection) -> None:
        """Leave the caller's role for the rest of this transaction."""
        await conn.execute("SET LOCAL ROLE NONE")

    async def step_in(self, conn: Connection, role: str) -> None:
        """Take a group role again after `step_out`. Raises RoleRefused."""
        if role not in GROUP_ROLES:
            raise RoleRefused()
        await conn.execute(f"SET LOCAL ROLE {role}")

    async def note_subject(self, conn: Connection, subject: UUID) -> None:
        """Note that this person has memories, for work that goes from person to person."""
        await conn.execute(self._text["note_subject"], subject)

    async def subjects(self, conn: Connection, after: UUID, limit: int) -> list[UUID]:
        """Return the next people who have or had memories here, in the order of their ids."""
        rows = await conn.fetch(self._text["list_subjects"], after, limit)
        return [row["subject_id"] for row in rows]

    async def claim_key(
        self, conn: Connection, subject: UUID, key_hash: bytes, memory_id: UUID, request_hash: bytes
    ) -> bool:
        """Bind an Idempotency-Key to this memory; False when it is already bound."""
        row = await conn.fetchrow(
            self._text["claim_key"], subject, key_hash, memory_id, request_hash
        )
        return row is not None

    async def key(self, conn: Connection, subject: UUID, key_hash: bytes) -> Key | None:
        """Return what an Idempotency-Key is bound to."""
        row = await conn.fetchrow(self._text["get_key"], subject, key_hash)
        return Key(row["memory_id"], row["request_hash"]) if row else None

    async def prune_keys(self, conn: Connection) -> int:
        """Drop keys older than a month, a thousand at most; return how many."""
        return count(await conn.execute(self._text["prune_keys"]))

    async def put_pending(self, conn: Connection, entry: Entry) -> None:
        """Note that this text wants an embedding."""
        await conn.execute(
            self._text["put_pending"], entry.id, entry.subject_id, entry.tier.value, entry.revision
        )

    async def drop_pending(self, conn: Connection, memory_id: UUID) -> int:
        """Forget that the memory wants an embedding; return how many notes went."""
        return count(await conn.execute(self._text["drop_pending"], memory_id))

    async def count_pending(self, conn: Connection) -> int:
        """Return how many embeddings are due or under way."""
        return int(await conn.fetchval(self._text["count_pending"]))

    async def tombstone(self, conn: Connection, memory_id: UUID, subject: UUID) -> Tier | None:
        """Return the tier from which this person's memory was forgotten."""
        tier = await conn.fetchval(self._text["get_tombstone"], memory_id, subject)
        return Tier(tier) if tier else None

    async def announce(
        self, conn: Connection, memory_id: UUID, subject: UUID, tier: Tier, change: str
    ) -> None:
        """Write the event of this transaction's change."""
        event_id = uuid4()
        self.on_announce(subject, event_id)
        payload = {
            "event_id": event_id,
            "memory_id": memory_id,
            "subject_id": subject,
            "tier": tier.value,
            "change": change,
        }
        await outbox.add(conn, self.outbox, CHANGED_TOPIC, payload, event_id=event_id)
