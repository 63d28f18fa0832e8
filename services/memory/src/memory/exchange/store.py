"""What leaving and coming back ask of the two databases, beside what every use case asks."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from contracts.tiers import Level, Tier
from kit import sql
from kit.pool import Connection

from memory.domain import Entry
from memory.exchange.record import ORIGINS_MAX, TIES_MAX, Origin, Record, Seal, Tie
from memory.exchange.topics import Topic
from memory.plain import PlainShelf
from memory.rows import count

if TYPE_CHECKING:
    from memory.library import Library
    from memory.store import Shelf

# So many memories of one person are exported at once: their ids are held, sixteen bytes each, and nothing else is.
EXPORT_MAX = 2_000_000
# Somebody whom so many memories name has a file of their own.
TOPIC_LEAST = 4
BATCH = 200
_PREFETCH = 2000
_STATEMENTS = sql.load(Path(__file__).with_name("queries.sql"))


def statements() -> Mapping[str, sql.Query]:
    """Return every statement by name, with the role and database it is prepared under."""
    return _STATEMENTS


def statement(name: str) -> str:
    """Return a statement as it is written."""
    return str(_STATEMENTS[name])


def text_for(name: str, tier: Tier) -> str:
    """Return a statement as it reads for one tier, or for the books beside it."""
    text = statement(name)
    if tier is Tier.SACRED:
        return re.sub(r"\bmemory\.", "sacred.", text) if "sacred." not in text else text
    return text if "sensitive." in text else text.replace("convenience.", f"{tier.value}.")


class Plan:
    """The order in which memories leave: ids, and for files the topic that each stretch of them belongs to."""

    def __init__(self) -> None:
        self._ids = bytearray()
        self.topics: list[tuple[Topic, int]] = []

    def add(self, ident: UUID, topic: Topic | None = None) -> None:
        """Add the next memory."""
        self._ids += ident.bytes
        if topic is None:
            return
        if self.topics and self.topics[-1][0] == topic:
            self.topics[-1] = (topic, self.topics[-1][1] + 1)
        else:
            self.topics.append((topic, 1))

    def __len__(self) -> int:
        return len(self._ids) // 16

    def ids(self, start: int, stop: int) -> list[UUID]:
        """Return the ids from `start` up to `stop`."""
        held = memoryview(self._ids)[start * 16 : stop * 16]
        return [UUID(bytes=bytes(held[at : at + 16])) for at in range(0, len(held), 16)]


class ExchangeStore:
    """Reads and writes what the shelves do not."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._key = b""

    async def seal(self, subject: UUID) -> Seal:
        """Return the seal that this house gives to this person's ids: nobody without its key can make one."""
        if not self._key:
            async with self._library.plain.pool.own(read_only=True) as conn:
                self._key = await conn.fetchval(statement("get_seal_key"))
        key = self._key

        def seal(ident: UUID) -> str:
            return hmac.new(key, subject.bytes + ident.bytes, hashlib.sha256).hexdigest()[:16]

        return seal

    async def plan_topics(
        self, conn: Connection, tier: Tier, namespaces: Sequence[str] | None
    ) -> Plan:
        """Return the memories of a tier in the order of their files."""
        plan = Plan()
        spaces = list(namespaces) if namespaces is not None else None
        rows = (
            conn.cursor(
                text_for("plan_sacred_topics", tier), spaces, EXPORT_MAX, prefetch=_PREFETCH
            )
            if tier is Tier.SACRED
            else conn.cursor(
                text_for("plan_topics", tier), spaces, TOPIC_LEAST, EXPORT_MAX, prefetch=_PREFETCH
            )
        )
        async for row in rows:
            topic = Topic(tier, row["namespace"], Level(row["level"]), row["topic"])
            plan.add(row["id"], topic)
        return plan

    async def plan_oldest_first(
        self, conn: Connection, tier: Tier, namespaces: Sequence[str] | None
    ) -> Plan:
        """Return the memories of a tier, oldest first."""
        name = "plan_sacred_oldest_first" if tier is Tier.SACRED else "plan_oldest_first"
        spaces = list(namespaces) if namespaces is not None else None
        plan = Plan()
        async for row in conn.cursor(text_for(name, tier), spaces, EXPORT_MAX, prefetch=_PREFETCH):
            plan.add(row["id"])
        return plan

    async def entries(self, conn: Connection, tier: Tier, ids: Sequence[UUID]) -> list[Entry]:
        """Return those of at most BATCH memories that stand in the tier."""
        shelf = self._library.shelf(tier)
        if isinstance(shelf, PlainShelf):
            return await shelf.many(conn, tier, ids)
        rows = await conn.fetch(statement("find_standing_sacred"), list(ids))
        found = [await shelf.get(conn, tier, row["id"]) for row in rows]
        return [entry for entry in found if entry is not None]

    async def records(self, conn: Connection, tier: Tier, ids: Sequence[UUID]) -> list[Record]:
        """Return those of at most BATCH memories that stand in the tier, with what hangs on them, in that order."""
        entries = {entry.id: entry for entry in await self.entries(conn, tier, ids)}
        origins: dict[UUID, list[Origin]] = {}
        ties: dict[UUID, list[Tie]] = {}
        if tier is not Tier.SACRED and entries:
            held = list(entries)
            for row in await conn.fetch(text_for("list_origins", tier), held, ORIGINS_MAX):
                origins.setdefault(row["memory_id"], []).append(_origin(row))
            for row in await conn.fetch(text_for("list_ties", tier), held, TIES_MAX):
                ties.setdefault(row["from_id"], []).append(Tie(row["kind"], row["to_id"]))
        return [
            Record(entries[ident], tuple(origins.get(ident, ())), tuple(ties.get(ident, ())))
            for ident in ids
            if ident in entries
        ]

    async def put_origins(self, conn: Connection, entry: Entry, origins: Sequence[Origin]) -> None:
        """Add where else the memory came from."""
        await conn.executemany(
            text_for("put_origin", entry.tier),
            [
                (
                    *(origin.id, entry.id, entry.subject_id, entry.namespace, origin.kind),
                    *(origin.ref, origin.thread, origin.position, origin.speaker, origin.text),
                    *(origin.occurred_at, origin.learned_at, origin.merged_id),
                )
                for origin in origins
            ],
        )

    async def put_tie(self, conn: Connection, tier: Tier, source: UUID, tie: Tie) -> bool:
        """Add that one memory was made of another; False unless both stand in the tier, or when it is known."""
        tag = await conn.execute(text_for("put_tie", tier), source, tie.to, tie.kind)
        return count(tag) == 1

    async def same_texts(
        self, conn: Connection, tier: Tier, texts: Sequence[str]
    ) -> set[tuple[str, str]]:
        """Return those of the texts that are remembered already, each with its namespace."""
        rows = await conn.fetch(text_for("find_same_text", tier), list(texts))
        return {(row["namespace"], row["text"]) for row in rows}

    async def merged(self, conn: Connection, tier: Tier, ids: Sequence[UUID]) -> set[UUID]:
        """Return those of the ids whose memories were merged into others of the tier."""
        if tier is Tier.SACRED:
            return set()
        return {
            row["merged_id"] for row in await conn.fetch(text_for("find_merged", tier), list(ids))
        }

    async def standing_anywhere(self, subject: UUID, ids: Sequence[UUID]) -> set[UUID]:
        """Return those of a person's ids that stand in any tier and namespace, whoever asks."""
        found: set[UUID] = set()
        plain, sacred = self._library.plain, self._library.sacred
        for shelf, name in ((plain, "find_standing"), (sacred, "find_standing_sacred")):
            async with shelf.pool.as_role("lares_app", subject, read_only=True) as conn:
                rows = await conn.fetch(statement(name), list(ids))
            found |= {row["id"] for row in rows}
        return found

    async def tombstones(self, subject: UUID, ids: Sequence[UUID]) -> set[UUID]:
        """Return those of a person's ids whose memories were forgotten, from whichever tier."""
        found: set[UUID] = set()
        for shelf, tier in self._books():
            async with shelf.pool.own(read_only=True) as conn:
                rows = await conn.fetch(text_for("find_tombstones", tier), subject, list(ids))
            found |= {row["memory_id"] for row in rows}
        return found

    async def lift_tombstone(self, subject: UUID, ident: UUID) -> None:
        """Take back that a memory was forgotten: its person wants it again."""
        for shelf, tier in self._books():
            async with shelf.pool.own() as conn:
                await conn.execute(text_for("lift_tombstone", tier), subject, ident)

    def _books(self) -> tuple[tuple[Shelf, Tier], ...]:
        return (self._library.plain, Tier.CONVENIENCE), (self._library.sacred, Tier.SACRED)


async def batches(plan: Plan) -> AsyncIterator[list[UUID]]:
    """Yield a plan's ids, BATCH at a time."""
    for start in range(0, len(plan), BATCH):
        yield plan.ids(start, min(start + BATCH, len(plan)))


def _origin(row: Any) -> Origin:
    return Origin(
        row["id"],
        row["source_kind"],
        row["source_ref"],
        row["thread"],
        row["position"],
        row["speaker"],
        row["text"],
        row["occurred_at"],
        row["learned_at"],
        row["merged_id"],
    )
