"""Vectors in batches and what waits behind a write, over both databases.

`Vectors` reads and writes as a person's role; `Pipeline` keeps the books as the service itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from contracts.tiers import CHANGED_TOPIC, Tier
from kit import sql, trace

from memory.rows import count, vector_text

if TYPE_CHECKING:
    from kit.pool import Connection

    from memory.sacred import SacredShelf

_STATEMENTS = sql.load(Path(__file__).with_name("queries.sql"))
PLAIN_TIERS = (Tier.CONVENIENCE, Tier.SENSITIVE)


def statements() -> Mapping[str, sql.Query]:
    """Return every statement by name, with the role and database it is prepared under."""
    return _STATEMENTS


def text_of(name: str, tier: Tier = Tier.CONVENIENCE) -> str:
    """Return a statement as it reads for one tier's tables, or for the books of the tier's database."""
    text = str(_STATEMENTS[name])
    if tier is Tier.SENSITIVE:
        return text.replace("convenience.", "sensitive.")
    if tier is Tier.SACRED and _STATEMENTS[name].role == "svc_memory":
        return re.sub(r"\bmemory\.(?=[a-z])", "sacred.", text)
    return text


_TEXTS = {(name, tier): text_of(name, tier) for name in _STATEMENTS for tier in Tier}


@dataclass(frozen=True, slots=True)
class Waiting:
    """A text that wants a vector. `embedded` when it has one of the model in question."""

    id: UUID
    revision: int
    written_at: datetime
    embedded: bool
    text: str = field(repr=False)


Vector = Sequence[float]
Written = Sequence[tuple[Waiting, Vector]]


class Vectors:
    """The vectors of one tier, as a person's role."""

    def __init__(self, tier: Tier, sacred: SacredShelf) -> None:
        self.tier = tier
        self._sacred = sacred if tier is Tier.SACRED else None

    def _sql(self, name: str) -> str:
        return _TEXTS[f"{name}_sacred" if self._sacred else name, self.tier]

    async def texts(self, conn: Connection, ids: Sequence[UUID], model: int) -> list[Waiting]:
        """Return those of the memories that are in this tier, with their texts."""
        rows = await conn.fetch(self._sql("texts_to_embed"), list(ids), model)
        return await self._waiting(conn, rows)

    async def without(
        self, conn: Connection, model: int, after: UUID, limit: int, aged_s: float = 0.0
    ) -> list[Waiting]:
        """Return the next memories, in the order of their ids, that have no vector of the model.

        `aged_s` leaves out what was changed so short a time ago that it may just be getting one.
        """
        rows = await conn.fetch(self._sql("without_vector"), model, after, limit, aged_s)
        return await self._waiting(conn, rows)

    async def _waiting(self, conn: Connection, rows: Sequence[Any]) -> list[Waiting]:
        if self._sacred is None:
            texts = {row["id"]: row["text"] for row in rows}
        else:
            entries = [await self._sacred.get(conn, Tier.SACRED, row["id"]) for row in rows]
            texts = {entry.id: entry.text for entry in entries if entry is not None}
        return [
            Waiting(
                row["id"], row["revision"], row["created_at"], row["embedded"], texts[row["id"]]
            )
            for row in rows
            if row["id"] in texts
        ]

    async def write(
        self, conn: Connection, written: Written, model: int, *, building: bool = False
    ) -> set[UUID]:
        """Give memories their vectors; return those whose text is still the one that was read."""
        if self._sacred is None:
            rows = await conn.fetch(
                self._sql("write_vectors"),
                [text.id for text, _ in written],
                [text.revision for text, _ in written],
                [vector_text(vector) for _, vector in written],
                model,
            )
            return {row["memory_id"] for row in rows}
        done: set[UUID] = set()
        for text, vector in written:
            entry = await self._sacred.get(conn, Tier.SACRED, text.id)
            if entry is not None and await self._sacred.set_embedding(
                conn, replace(entry, revision=text.revision), vector, model, building=building
            ):
                done.add(text.id)
        return done

    async def progress(self, conn: Connection, model: int) -> tuple[int, int]:
        """Return how many of this person's memories have a vector of the model, and how many there are."""
        row = await conn.fetchrow(self._sql("count_vectors"), model)
        return row["done"], row["total"]

    async def drop(self, conn: Connection, model: int, limit: int) -> int:
        """Drop some of this person's vectors of the model; return how many."""
        return count(await conn.execute(self._sql("drop_vectors"), model, limit))


@dataclass(frozen=True, slots=True)
class Due:
    """Memories of one person and tier that are due, oldest first."""

    subject_id: UUID
    tier: Tier
    ids: tuple[UUID, ...]


class Pipeline:
    """What waits behind a write, in the books of one database, as the service itself."""

    def __init__(self, tier: Tier) -> None:
        self._tier = tier

    def _sql(self, name: str) -> str:
        return _TEXTS[name, self._tier]

    async def claim_embeddings(self, conn: Connection, leased_max: int, batch: int) -> list[Due]:
        """Lease what is due, in batches of one person and tier, as long as no more than so many are leased."""
        rows = await conn.fetch(self._sql("claim_embeddings"), leased_max)
        # What was refused before goes with its like, not with texts that have done nothing.
        groups: dict[tuple[UUID, Tier, bool], list[UUID]] = {}
        for row in rows:
            whose = (row["subject_id"], Tier(row["tier"]), row["doubtful"])
            groups.setdefault(whose, []).append(row["memory_id"])
        return [
            Due(subject, tier, tuple(ids[start : start + batch]))
            for (subject, tier, _), ids in groups.items()
            for start in range(0, len(ids), batch)
        ]

    async def claim_relations(self, conn: Connection, limit: int) -> Due | None:
        """Lease one person's oldest memories for whom nobody is at it."""
        await conn.execute(self._sql("claim_relations_turn"))
        rows = await conn.fetch(self._sql("claim_relations"), limit)
        if not rows:
            return None
        rows.sort(key=lambda row: (row["written_at"], row["memory_id"]))
        return Due(
            rows[0]["subject_id"],
            Tier(rows[0]["tier"]),
            tuple(row["memory_id"] for row in rows),
        )

    async def embedded(self, conn: Connection, texts: Sequence[Waiting]) -> None:
        """Tick off exactly these texts; in the plain tiers, note what follows."""
        ids, revisions = [text.id for text in texts], [text.revision for text in texts]
        if self._tier is Tier.SACRED:
            await conn.execute(self._sql("finish_embedded_sacred"), ids, revisions)
        else:
            times = [text.written_at for text in texts]
            await conn.execute(self._sql("finish_embedded"), ids, revisions, times)

    async def gone(self, conn: Connection, ids: Sequence[UUID], tier: Tier) -> None:
        """Drop the notes of memories that are not in this tier any more."""
        await conn.execute(self._sql("drop_gone"), list(ids), tier.value)

    async def defer(self, conn: Connection, texts: Sequence[Waiting], seconds: float) -> None:
        """Try again later without counting the try, and let what needs no vector go on."""
        ids = [text.id for text in texts]
        await conn.execute(self._sql("defer_embeddings"), ids, seconds)
        await self._relate(conn, texts)

    async def set_aside(self, conn: Connection, texts: Sequence[Waiting]) -> None:
        """Leave texts that the model does not take for ever later tries."""
        await conn.execute(self._sql("set_aside_embeddings"), [text.id for text in texts])
        await self._relate(conn, texts)

    async def _relate(self, conn: Connection, texts: Sequence[Waiting]) -> None:
        if self._tier is not Tier.SACRED:
            await conn.execute(
                self._sql("relate_unembedded"),
                [text.id for text in texts],
                [text.written_at for text in texts],
            )

    async def put(
        self, conn: Connection, subject: UUID, tier: Tier, texts: Sequence[tuple[UUID, int]]
    ) -> None:
        """Note that these ids, at these revisions, want a vector, unless it is noted already."""
        await conn.execute(
            self._sql("put_pendings"),
            [memory_id for memory_id, _ in texts],
            subject,
            tier.value,
            [revision for _, revision in texts],
        )

    async def among(self, conn: Connection, ids: Sequence[UUID]) -> set[UUID]:
        """Return those of the memories whose vector is due."""
        rows = await conn.fetch(self._sql("pending_among"), list(ids))
        return {row["memory_id"] for row in rows}

    async def related(self, conn: Connection, ids: Sequence[UUID]) -> None:
        """Tick off what followed; a note that was renewed meanwhile stays."""
        await conn.execute(self._sql("finish_relations"), list(ids))

    async def release(self, conn: Connection, ids: Sequence[UUID]) -> None:
        """Give back what could not be done: it is due again at the time the claim said."""
        await conn.execute(self._sql("release_relations"), list(ids))

    async def waits(self, conn: Connection, subject: UUID, beside: UUID) -> bool:
        """Say whether anything of this person but `beside` is still on its way."""
        return bool(await conn.fetchval(self._sql("waits_behind"), subject, beside))

    async def announce(
        self,
        conn: Connection,
        ids: Sequence[UUID],
        subject: UUID,
        tier: Tier,
        change: str,
        told: Callable[[UUID, UUID], None] = lambda subject, event_id: None,
    ) -> None:
        """Write one event for each of the memories, of which `told` hears before the commit."""
        if not ids:
            return
        events = [uuid4() for _ in ids]
        for event_id in events:
            told(subject, event_id)
        await conn.execute(
            self._sql("announce_all"),
            CHANGED_TOPIC,
            subject,
            tier.value,
            change,
            trace.outgoing(),
            list(ids),
            events,
        )

    async def tally(self, conn: Connection, **numbers: int) -> None:
        """Add to what the worker counts. In the plain database alone."""
        counted = {name: number for name, number in numbers.items() if number}
        if counted:
            await conn.execute(
                _TEXTS["add_tally", Tier.CONVENIENCE], list(counted), list(counted.values())
            )

    async def state(self, conn: Connection, queue: str = "queue_state") -> tuple[int, float]:
        """Return how many wait and for how many seconds the oldest of them has been due."""
        row = await conn.fetchrow(self._sql(queue))
        return row["waiting"], max(0.0, row["oldest_seconds"] or 0.0)


PLAIN, SACRED = Pipeline(Tier.CONVENIENCE), Pipeline(Tier.SACRED)


def pipeline(tier: Tier) -> Pipeline:
    """Return the books that a tier's memories are in."""
    return SACRED if tier is Tier.SACRED else PLAIN
