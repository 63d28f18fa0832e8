"""Two shelves, one per database: memories as their caller, and the books beside them as the service itself.

Everything on a shelf's memories runs inside `pool.as_caller` or `pool.as_role`, so the database decides what is
seen. `step_out` then leaves that role for the rest of the transaction, to write the books that no caller may touch.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from contracts.tiers import CHANGED_TOPIC, Tier
from kit import outbox, sql
from kit.pool import GROUP_ROLES, Connection, Pool, RoleRefused

from memory.domain import Cursor, Entry
from memory.scoring import Hit, clamp, shares

NEAR_EXACT_ROWS_MAX = 5000
CANDIDATES = 100
FIRST_PAGE = Cursor(datetime(9999, 1, 1, tzinfo=UTC), UUID(int=2**128 - 1))
_STATEMENTS = sql.load(Path(__file__).with_name("queries.sql"))


@dataclass(frozen=True)
class Deleted:
    """What went with one row."""

    embedded: bool


@dataclass(frozen=True)
class Pending:
    """A memory whose embedding is due."""

    memory_id: UUID
    subject_id: UUID
    tier: Tier


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
        # asyncpg takes exactly `str`; the books of the sacred database stand in its own schema.
        self._text = {
            name: re.sub(r"\bmemory\.", f"{books}.", str(query))
            for name, query in _STATEMENTS.items()
        }

    @abstractmethod
    async def insert(self, conn: Connection, entry: Entry) -> None:
        """Add a memory with whatever embedding it brings."""

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
        self, conn: Connection, tier: Tier, after: Cursor | None, limit: int
    ) -> list[Entry]:
        """Return the next memories, newest first."""

    @abstractmethod
    async def revise(
        self, conn: Connection, entry: Entry, text: str, occurred_at: datetime | None, now: datetime
    ) -> Entry:
        """Change a memory that was taken; a new text drops its embedding."""

    @abstractmethod
    async def delete(self, conn: Connection, tier: Tier, memory_id: UUID) -> Deleted | None:
        """Remove the memory; None when it was not there."""

    @abstractmethod
    async def set_embedding(self, conn: Connection, entry: Entry, vector: Sequence[float]) -> bool:
        """Give the memory its embedding; False when its text has changed since `entry` was read."""

    async def step_out(self, conn: Connection) -> None:
        """Leave the caller's role for the rest of this transaction."""
        await conn.execute("SET LOCAL ROLE NONE")

    async def step_in(self, conn: Connection, role: str) -> None:
        """Take a group role again after `step_out`. Raises RoleRefused."""
        if role not in GROUP_ROLES:
            raise RoleRefused()
        await conn.execute(f"SET LOCAL ROLE {role}")

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

    async def drop_pending_in(self, conn: Connection, memory_id: UUID, tier: Tier) -> None:
        """Forget that the memory wants an embedding in this tier, and leave what it wants in another."""
        await conn.execute(self._text["drop_pending_in"], memory_id, tier.value)

    async def finish_pending(self, conn: Connection, entry: Entry) -> None:
        """Tick off the embedding of exactly this text."""
        await conn.execute(self._text["finish_pending"], entry.id, entry.revision)

    async def defer_pending(self, conn: Connection, memory_id: UUID) -> None:
        """Try again soon without counting the try: what it needs is away."""
        await conn.execute(self._text["defer_pending"], memory_id)

    async def claim_pending(self, conn: Connection, limit: int) -> list[Pending]:
        """Lease what is due, so that a lost task falls due again."""
        rows = await conn.fetch(self._text["claim_pending"], limit)
        return [Pending(row["memory_id"], row["subject_id"], Tier(row["tier"])) for row in rows]

    async def count_pending(self, conn: Connection) -> int:
        """Return how many embeddings are due or under way."""
        return int(await conn.fetchval(self._text["count_pending"]))

    async def bury(self, conn: Connection, memory_id: UUID, subject: UUID, tier: Tier) -> None:
        """Leave a tombstone: the id, and nothing of what it said."""
        await conn.execute(self._text["put_tombstone"], memory_id, subject, tier.value)

    async def tombstone(self, conn: Connection, memory_id: UUID, subject: UUID) -> Tier | None:
        """Return the tier from which this person's memory was forgotten."""
        tier = await conn.fetchval(self._text["get_tombstone"], memory_id, subject)
        return Tier(tier) if tier else None

    async def erase_traces(self, conn: Connection, memory_id: UUID) -> dict[str, int]:
        """Erase what the books hold of a memory beside its events; return how many of each."""
        return {
            "pending": await self.drop_pending(conn, memory_id),
            "request_hashes": count(await conn.execute(self._text["blank_keys"], memory_id)),
        }

    async def drop_events(self, conn: Connection, memory_id: UUID) -> int:
        """Take back what was not yet published of a memory; return how many events went."""
        return count(await conn.execute(self._text["drop_events"], str(memory_id)))

    async def announce(
        self, conn: Connection, memory_id: UUID, subject: UUID, tier: Tier, change: str
    ) -> None:
        """Write the event of this transaction's change."""
        event_id = uuid4()
        payload = {
            "event_id": event_id,
            "memory_id": memory_id,
            "subject_id": subject,
            "tier": tier.value,
            "change": change,
        }
        await outbox.add(conn, self.outbox, CHANGED_TOPIC, payload, event_id=event_id)


class PlainShelf(Shelf):
    """Convenience and sensitive: the database `lares`."""

    def __init__(self, pool: Pool) -> None:
        super().__init__(pool, "memory")
        self._by_tier = {
            tier: {
                name: text.replace("convenience.memory", f"{tier.value}.memory")
                for name, text in self._text.items()
            }
            for tier in (Tier.CONVENIENCE, Tier.SENSITIVE)
        }

    def text(self, name: str, tier: Tier) -> str:
        """Return a statement as it reads for one tier's table."""
        return self._by_tier[tier][name]

    async def insert(self, conn: Connection, entry: Entry) -> None:
        await conn.execute(
            self.text("insert_memory", entry.tier),
            entry.id,
            entry.subject_id,
            entry.text,
            entry.source_kind,
            entry.source_ref,
            entry.occurred_at,
            entry.created_at,
            entry.updated_at,
            entry.revision,
            vector_text(entry.embedding) if entry.embedding is not None else None,
        )

    async def get(self, conn: Connection, tier: Tier, memory_id: UUID) -> Entry | None:
        row = await conn.fetchrow(self.text("get_memory", tier), memory_id)
        return _entry(row, tier) if row else None

    async def has(self, conn: Connection, tier: Tier, memory_id: UUID) -> bool:
        return bool(await conn.fetchval(self.text("has_memory", tier), memory_id))

    async def many(self, conn: Connection, tier: Tier, memory_ids: Sequence[UUID]) -> list[Entry]:
        """Return those of the memories that are in this tier."""
        rows = await conn.fetch(self.text("get_memories", tier), list(memory_ids))
        return [_entry(row, tier) for row in rows]

    async def take(self, conn: Connection, tier: Tier, memory_id: UUID) -> Entry | None:
        row = await conn.fetchrow(self.text("take_memory", tier), memory_id)
        if not row:
            return None
        embedding = (
            [float(part) for part in row["embedding"][1:-1].split(",")]
            if row["embedding"]
            else None
        )
        return _entry(row, tier, embedding)

    async def page(
        self, conn: Connection, tier: Tier, after: Cursor | None, limit: int
    ) -> list[Entry]:
        start = after or FIRST_PAGE
        rows = await conn.fetch(self.text("page_memories", tier), start.created_at, start.id, limit)
        return [_entry(row, tier) for row in rows]

    async def revise(
        self, conn: Connection, entry: Entry, text: str, occurred_at: datetime | None, now: datetime
    ) -> Entry:
        row = await conn.fetchrow(
            self.text("update_memory", entry.tier), entry.id, text, occurred_at, now
        )
        return _entry(row, entry.tier)

    async def delete(self, conn: Connection, tier: Tier, memory_id: UUID) -> Deleted | None:
        row = await conn.fetchrow(self.text("delete_memory", tier), memory_id)
        return Deleted(row["embedded"]) if row else None

    async def set_embedding(self, conn: Connection, entry: Entry, vector: Sequence[float]) -> bool:
        tag = await conn.execute(
            self.text("set_embedding", entry.tier), entry.id, entry.revision, vector_text(vector)
        )
        return count(tag) == 1

    async def near(
        self, conn: Connection, tier: Tier, vector: Sequence[float], limit: int
    ) -> list[Hit]:
        """Return the memories nearest in meaning: k of k, whatever else the table holds."""
        query = vector_text(vector)
        rows_seen = int(
            await conn.fetchval(self.text("count_memories", tier), NEAR_EXACT_ROWS_MAX + 1)
        )
        rows: list[Any] = []
        if rows_seen > NEAR_EXACT_ROWS_MAX:
            # Strict order and a wide list: measured, the default returned 1.2 of 10 under a filter.
            await conn.execute(
                "SET LOCAL hnsw.iterative_scan = strict_order; SET LOCAL hnsw.ef_search = 200"
            )
            rows = await conn.fetch(self.text("search_near_indexed", tier), query, limit)
        if len(rows) < limit:
            # Few rows, or an index scan that gave up among other people's rows: compare them all.
            rows = await conn.fetch(self.text("search_near_exact", tier), query, limit)
        return [Hit(row["id"], clamp(row["score"]), "close in meaning") for row in rows]

    async def words(self, conn: Connection, tier: Tier, query: str, limit: int) -> list[Hit]:
        """Return the memories that share words with the query, best first."""
        rows = await conn.fetch(self.text("search_words", tier), query, limit)
        return [Hit(row["id"], clamp(row["score"]), shares(row["terms"])) for row in rows]

    async def hold(self, conn: Connection, memory_id: UUID) -> None:
        """Wait until nobody else changes this memory, and keep it so until the transaction ends."""
        await conn.execute(self._text["hold_memory"], str(memory_id))

    async def try_hold(self, conn: Connection, memory_id: UUID) -> bool:
        """Like `hold`, but say False at once when somebody else is at it."""
        return bool(await conn.fetchval(self._text["try_hold_memory"], str(memory_id)))

    async def begin_move(self, conn: Connection, entry: Entry, to_tier: Tier) -> None:
        """Note that the memory is about to be in two databases."""
        await conn.execute(
            self._text["begin_move"], entry.id, entry.subject_id, entry.tier.value, to_tier.value
        )

    async def end_move(self, conn: Connection, memory_id: UUID) -> None:
        """Note that it is in one again."""
        await conn.execute(self._text["end_move"], memory_id)

    async def move(self, conn: Connection, memory_id: UUID) -> tuple[UUID, UUID, Tier, Tier] | None:
        """Return memory, subject, from and to of a move that has not ended."""
        row = await conn.fetchrow(self._text["get_move"], memory_id)
        return _move(row) if row else None

    async def hold_move(self, conn: Connection, memory_id: UUID) -> UUID | None:
        """Hold the note of a move until the transaction ends; None when there is no such note."""
        return await conn.fetchval(self._text["hold_move"], memory_id)

    async def moves(self, conn: Connection) -> list[tuple[UUID, UUID, Tier, Tier]]:
        """Return the oldest moves that have not ended, a hundred at most."""
        return [_move(row) for row in await conn.fetch(self._text["list_moves"])]


def vector_text(vector: Sequence[float]) -> str:
    """Return a vector as pgvector reads it."""
    return "[" + ",".join(f"{number:.7g}" for number in vector) + "]"


def _entry(row: Any, tier: Tier, embedding: Sequence[float] | None = None) -> Entry:
    return Entry(
        id=row["id"],
        subject_id=row["subject_id"],
        tier=tier,
        text=row["text"],
        source_kind=row["source_kind"],
        source_ref=row["source_ref"],
        occurred_at=row["occurred_at"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        revision=row["revision"],
        embedded=row["embedded"],
        embedding=embedding,
    )


def _move(row: Any) -> tuple[UUID, UUID, Tier, Tier]:
    return row["memory_id"], row["subject_id"], Tier(row["from_tier"]), Tier(row["to_tier"])


def count(tag: str) -> int:
    """Return how many rows a statement touched, from its command tag."""
    return int(tag.rsplit(" ", 1)[1])
