"""The sacred shelf: rows go in sealed and are opened in this process alone, for one call, and kept nowhere."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from contracts.tiers import Tier
from kit.pool import Connection, Pool

from memory.domain import SACRED_ROWS_MAX, Cursor, Entry, Order, Shown
from memory.errors import SacredFull
from memory.recall.words import unit
from memory.rows import count, kept_columns, state_of, strength_of
from memory.store import FIRST_PAGE, Deleted, Shelf
from memory.vault import Vault, pack_vector, unpack_vector

_TEXT, _EMBEDDING = "sealed", "embedding_sealed"
OPENED_AT_ONCE = 500


class SacredShelf(Shelf):
    """The database `lares_sacred`."""

    def __init__(self, pool: Pool, vault: Vault) -> None:
        super().__init__(pool, "sacred")
        self._vault = vault

    async def insert(self, conn: Connection, entry: Entry) -> None:
        """Seal and add a memory. Raises SacredFull when recall could no longer search them all."""
        if int(await conn.fetchval(self._text["count_sacred"], SACRED_ROWS_MAX)) >= SACRED_ROWS_MAX:
            raise SacredFull()
        sealed_vector = (
            self._seal_vector(entry, entry.embedding) if entry.embedding is not None else None
        )
        await conn.execute(
            self._text["insert_sacred"],
            entry.id,
            entry.subject_id,
            self._vault.key_id,
            self._seal(entry, entry.text),
            self._vault.key_id if sealed_vector else None,
            sealed_vector,
            entry.embedding_model if sealed_vector else None,
            entry.occurred_at,
            entry.created_at,
            entry.updated_at,
            entry.revision,
            entry.namespace,
            entry.level.value,
            *strength_of(entry),
        )

    async def get(self, conn: Connection, tier: Tier, memory_id: UUID) -> Entry | None:
        row = await conn.fetchrow(self._text["get_sacred"], memory_id)
        return self._open(row) if row else None

    async def has(self, conn: Connection, tier: Tier, memory_id: UUID) -> bool:
        return bool(await conn.fetchval(self._text["has_sacred"], memory_id))

    async def take(self, conn: Connection, tier: Tier, memory_id: UUID) -> Entry | None:
        row = await conn.fetchrow(self._text["take_sacred"], memory_id)
        return self._open(row, with_embedding=True) if row else None

    async def page(
        self, conn: Connection, tier: Tier, after: Cursor | None, limit: int, shown: Shown
    ) -> list[Entry]:
        # Source and thread are sealed with the text: to know them is to open the row, so the list is walked through.
        opens = shown.source is not None or shown.thread is not None
        start, step = after or FIRST_PAGE, max(limit, OPENED_AT_ONCE) if opens else limit
        found: list[Entry] = []
        while len(found) < limit:
            rows = await self._rows(conn, start, step, shown)
            entries = await asyncio.to_thread(lambda rows=rows: [self._open(row) for row in rows])
            found += [entry for entry in entries if _asked(entry, shown)]
            if len(rows) < step:
                break
            last = entries[-1]
            happened = shown.order is Order.OCCURRED
            start = Cursor(last.happened_at if happened else last.created_at, last.id)
        return found[:limit]

    async def _rows(self, conn: Connection, start: Cursor, limit: int, shown: Shown) -> list[Any]:
        return await conn.fetch(
            self._text["page_sacred" if shown.order is Order.CREATED else "page_sacred_happened"],
            start.moment,
            start.id,
            limit,
            shown.namespace,
            shown.level,
            shown.since,
            shown.until,
            shown.state.value,
        )

    async def revise(self, conn: Connection, entry: Entry, revised: Entry) -> Entry:
        row = await conn.fetchrow(
            self._text["update_sacred"],
            entry.id,
            self._vault.key_id,
            self._seal(revised, revised.text),
            revised.occurred_at,
            revised.updated_at,
            revised.text != entry.text,
            *state_of(revised),
        )
        return replace(revised, revision=row["revision"], embedded=row["embedded"])

    async def has_namespace(self, conn: Connection, tier: Tier, name: str) -> bool:
        return bool(await conn.fetchval(self._text["has_sacred_namespace"], name))

    async def delete(self, conn: Connection, tier: Tier, memory_id: UUID) -> Deleted | None:
        row = await conn.fetchrow(self._text["delete_sacred"], memory_id)
        return Deleted(int(row["embedded"])) if row else None

    async def set_embedding(
        self,
        conn: Connection,
        entry: Entry,
        vector: Sequence[float],
        model: int,
        *,
        building: bool = False,
    ) -> bool:
        """Give the memory its embedding by a model, beside the one it has while that model is being built."""
        tag = await conn.execute(
            self._text["set_sacred_next_embedding" if building else "set_sacred_embedding"],
            entry.id,
            entry.revision,
            self._vault.key_id,
            self._seal_vector(entry, vector),
            model,
        )
        return count(tag) == 1

    async def everything(self, conn: Connection) -> list[Any]:
        """Return the caller's rows as they are kept: sealed."""
        return await conn.fetch(self._text["all_sacred"], SACRED_ROWS_MAX)

    def opened(self, rows: Sequence[Any], model: int) -> list[Entry]:
        """Return the rows opened, each with its vector by that model if it has one. Raises SacredUnreadable."""
        return [self._open(row, with_embedding=True, model=model) for row in rows]

    def _seal(self, entry: Entry, text: str) -> bytes:
        content: dict[str, Any] = {
            "text": text,
            "kind": entry.source_kind,
            "ref": entry.source_ref,
        }
        # Where it stands in a conversation says as much as the words do.
        place = {"thread": entry.thread, "position": entry.position, "speaker": entry.speaker}
        content |= {name: value for name, value in place.items() if value is not None}
        plain = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
        return self._vault.seal(entry.subject_id, entry.id, _TEXT, plain)

    def _seal_vector(self, entry: Entry, vector: Sequence[float]) -> bytes:
        # Of length one, so that a search has one product a row to make and not three.
        return self._vault.seal(entry.subject_id, entry.id, _EMBEDDING, pack_vector(unit(vector)))

    def _open(self, row: Any, *, with_embedding: bool = False, model: int | None = None) -> Entry:
        """Open a row; of its embeddings, the one by that model, or the one it answers with when none is named."""
        subject, ident = row["subject_id"], row["id"]
        content = json.loads(self._vault.open(subject, ident, _TEXT, row["key_id"], row["sealed"]))
        embedding, made_by = None, None
        if with_embedding:
            which = "embedding"
            if model is not None and row["embedding_model"] != model:
                which = "next" if row["next_model"] == model else ""
            if which and row[f"{which}_sealed"] is not None:
                packed = self._vault.open(
                    subject, ident, _EMBEDDING, row[f"{which}_key_id"], row[f"{which}_sealed"]
                )
                embedding, made_by = unpack_vector(packed), row[f"{which}_model"]
        return Entry(
            tier=Tier.SACRED,
            text=content["text"],
            source_kind=content["kind"],
            source_ref=content["ref"],
            thread=content.get("thread"),
            position=content.get("position"),
            speaker=content.get("speaker"),
            embedding=embedding,
            embedding_model=made_by,
            **kept_columns(row),
        )


def _asked(entry: Entry, shown: Shown) -> bool:
    return shown.source in (None, entry.source_kind) and shown.thread in (None, entry.thread)
