"""Convenience and sensitive memories, the journal of moves between the databases, and a person's namespaces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from contracts.tiers import Tier
from kit.pool import Connection, Pool

from memory.domain import Cursor, Entry, Order, Shown, Space
from memory.rows import count, kept_columns, row_of, state_of, vector_text
from memory.store import FIRST_PAGE, Deleted, Model, Shelf


class PlainShelf(Shelf):
    """Convenience and sensitive: the database `lares`."""

    def __init__(self, pool: Pool) -> None:
        super().__init__(pool, "memory")
        self._by_tier = {
            tier: {
                name: text.replace("convenience.", f"{tier.value}.")
                for name, text in self._text.items()
            }
            for tier in (Tier.CONVENIENCE, Tier.SENSITIVE)
        }

    def text(self, name: str, tier: Tier) -> str:
        """Return a statement as it reads for one tier's table."""
        return self._by_tier[tier][name]

    async def insert(self, conn: Connection, entry: Entry) -> None:
        await conn.execute(self.text("insert_memory", entry.tier), *row_of(entry))
        if entry.embedding is not None and entry.embedding_model is not None:
            await self.set_embedding(conn, entry, entry.embedding, entry.embedding_model)

    async def insert_many(self, conn: Connection, entries: Sequence[Entry]) -> None:
        if entries:
            # One round trip for all of them, and a plan that is made once.
            await conn.executemany(
                self.text("insert_memory", entries[0].tier), [row_of(entry) for entry in entries]
            )

    async def get(self, conn: Connection, tier: Tier, memory_id: UUID) -> Entry | None:
        row = await conn.fetchrow(self.text("get_memory", tier), memory_id)
        return _entry(row, tier) if row else None

    async def survivor(self, conn: Connection, tier: Tier, merged_id: UUID) -> Entry | None:
        """Return the memory into which the one of that id was merged."""
        memory_id = await conn.fetchval(self.text("merged_into", tier), merged_id)
        return await self.get(conn, tier, memory_id) if memory_id is not None else None

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
        return replace(
            _entry(row, tier), embedding=embedding, embedding_model=row["embedding_model"]
        )

    async def page(
        self, conn: Connection, tier: Tier, after: Cursor | None, limit: int, shown: Shown
    ) -> list[Entry]:
        start = after or FIRST_PAGE
        rows = await conn.fetch(
            self.text("page_memories" if shown.order is Order.CREATED else "page_happened", tier),
            start.moment,
            start.id,
            limit,
            shown.namespace,
            shown.level,
            shown.source,
            shown.thread,
            shown.since,
            shown.until,
            shown.state.value,
            list(shown.entities) if shown.entities is not None else None,
        )
        return [_entry(row, tier) for row in rows]

    async def revise(self, conn: Connection, entry: Entry, revised: Entry) -> Entry:
        row = await conn.fetchrow(
            self.text("update_memory", entry.tier),
            entry.id,
            revised.text,
            revised.occurred_at,
            revised.updated_at,
            *state_of(revised),
        )
        return replace(revised, revision=row["revision"], embedded=row["embedded"])

    async def delete(self, conn: Connection, tier: Tier, memory_id: UUID) -> Deleted | None:
        row = await conn.fetchrow(self.text("delete_memory", tier), memory_id)
        return Deleted(row["embeddings"]) if row else None

    async def set_embedding(
        self, conn: Connection, entry: Entry, vector: Sequence[float], model: int
    ) -> bool:
        tag = await conn.execute(
            self.text("set_embedding", entry.tier),
            entry.id,
            entry.revision,
            vector_text(vector),
            model,
        )
        return count(tag) == 1

    async def has_namespace(self, conn: Connection, tier: Tier, name: str) -> bool:
        return bool(await conn.fetchval(self.text("has_namespace", tier), name))

    async def namespace_counts(self, conn: Connection, tier: Tier) -> dict[str, int]:
        """Return how many memories each namespace has in this tier."""
        rows = await conn.fetch(self.text("count_namespaces", tier))
        return {row["namespace"]: row["count"] for row in rows}

    async def identity(self, conn: Connection, tier: Tier, limit: int) -> list[Entry]:
        """Return the memories of the level identity, oldest first."""
        rows = await conn.fetch(self.text("list_identity", tier), limit)
        return [_entry(row, tier) for row in rows]

    async def happened(
        self,
        conn: Connection,
        tier: Tier,
        bucket: str,
        since: datetime | None,
        until: datetime | None,
        limit: int,
    ) -> list[tuple[datetime, str, int]]:
        """Return start, level and count of the newest buckets."""
        rows = await conn.fetch(self.text("count_happened", tier), bucket, since, until, limit)
        return [(row["start"], row["level"], row["count"]) for row in rows]

    async def namespaces(self, conn: Connection, subject: UUID) -> list[Space]:
        """Return a person's namespaces by name, without `home`."""
        return [_space(row) for row in await conn.fetch(self._text["list_namespaces"], subject)]

    async def namespace(self, conn: Connection, subject: UUID, name: str) -> Space | None:
        """Return one namespace."""
        row = await conn.fetchrow(self._text["get_namespace"], subject, name)
        return _space(row) if row else None

    async def put_namespace(
        self, conn: Connection, subject: UUID, name: str, shared: bool, clients: list[str]
    ) -> Space | None:
        """Create or change a namespace; None when there are a hundred others."""
        row = await conn.fetchrow(self._text["put_namespace"], subject, name, shared, clients)
        return _space(row) if row else None

    async def delete_namespace(self, conn: Connection, subject: UUID, name: str) -> bool:
        """Delete a namespace; False when there was none."""
        return count(await conn.execute(self._text["delete_namespace"], subject, name)) == 1

    async def active_model(self, conn: Connection) -> Model:
        """Return the embedding model whose vectors answer now."""
        row = await conn.fetchrow(self._text["get_active_model"])
        return Model(row["id"], row["name"], row["dimensions"])

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


def _entry(row: Any, tier: Tier) -> Entry:
    return Entry(
        tier=tier,
        text=row["text"],
        source_kind=row["source_kind"],
        source_ref=row["source_ref"],
        thread=row["thread"],
        position=row["position"],
        speaker=row["speaker"],
        **kept_columns(row),
    )


def _move(row: Any) -> tuple[UUID, UUID, Tier, Tier]:
    return row["memory_id"], row["subject_id"], Tier(row["from_tier"]), Tier(row["to_tier"])


def _space(row: Any) -> Space:
    return Space(row["name"], row["shared"], tuple(row["clients"]), row["created_at"])
