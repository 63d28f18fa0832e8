"""Reads memories for facts, beside the queue and behind every write.

The books in Postgres say what is to be read; triggers keep them, so neither a lost event nor a writer that forgot can
lose a memory. A batch is one person's memories of one tier, in one transaction: read twice, it is the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING
from uuid import UUID

from contracts.tiers import Tier
from kit import logs
from kit.errors import KitError

from memory.facts import extract
from memory.facts.model import Kind, Reading, Tagged, Text
from memory.facts.reading import Told, read
from memory.facts.resolve import keys_wanted
from memory.facts.sqltext import PLAIN_TIERS
from memory.facts.store import Books, Due, FactStore, Walk
from memory.facts.tagger import VERSION as TAGGER_VERSION
from memory.facts.tagger import tag

if TYPE_CHECKING:
    from kit.clock import Clock
    from kit.pool import Connection, Pool

log = logs.get(__name__)
ROLE = "lares_app"
RULES = f"{extract.EXTRACTOR}/{extract.VERSION}"
VERSION = f"{RULES}+tagger/{TAGGER_VERSION}"
OFF_VERSION = "off"
BATCH = 64
ROUNDS_MAX = 8
WALK_STEP = 500
RULES_STAGE, MODEL_STAGE = "rules", "model"


class Extraction:
    """Reads what it is given and, until cancelled, what is due. Not `enabled`: it clears what was read before."""

    name = "extract"

    def __init__(
        self,
        pool: Pool,
        clock: Clock,
        *,
        enabled: bool,
        every_s: float,
        ask_model: bool = False,
    ) -> None:
        self._pool = pool
        self._clock = clock
        self._enabled = enabled
        self._every_s = every_s
        self._ask_model = ask_model
        self._books = Books()
        self._store = FactStore()

    async def run(self) -> None:
        """Read until cancelled."""
        while True:
            try:
                await self.once()
            except KitError as error:
                log.warning("extraction.waiting", code=error.code)
            except Exception as error:
                # One bad batch must not end it for all others; its lease makes it come again, later each time.
                log.exception("extraction.failed", error)
            await self._clock.sleep(self._every_s)

    async def once(self) -> int:
        """Read what is due, some rounds at most; return how many memories."""
        await self._walk()
        count = 0
        for _ in range(ROUNDS_MAX):
            async with self._pool.own() as conn:
                claimed = await self._books.claim(conn, RULES_STAGE, BATCH)
            for (subject, tier), batch in groupby(sorted(claimed, key=_whose), key=_whose):
                await self(subject, tier, [due.memory_id for due in batch])
            count += len(claimed)
            if len(claimed) < BATCH:
                break
        return count

    async def __call__(self, subject: UUID, tier: Tier, memory_ids: Sequence[UUID]) -> None:
        """Read one person's memories of one tier, and tick them off in the same transaction.

        Bears being called twice, late, and for memories that are gone; sacred ones are never read.
        """
        if tier not in PLAIN_TIERS:
            return
        for at in range(0, len(memory_ids), BATCH):
            await self._batch(subject, tier, memory_ids[at : at + BATCH])

    async def _batch(self, subject: UUID, tier: Tier, memory_ids: Sequence[UUID]) -> None:
        async with self._pool.as_role(ROLE, subject) as conn:
            # The rows are held first: an edit waits for this transaction, and its note then outlives it.
            await self._store.hold(conn, subject, tier)
            texts = await self._store.texts(conn, tier, memory_ids)
            if self._enabled:
                for namespace in dict.fromkeys(text.namespace for text in texts):
                    own = [text for text in texts if text.namespace == namespace]
                    await self._read(conn, tier, namespace, own)
            else:
                await self._store.clear(conn, tier, memory_ids)
            await conn.execute("SET LOCAL ROLE NONE")
            await self._books.finish(conn, RULES_STAGE, tier, memory_ids)
            if self._enabled and self._ask_model:
                ids = [text.memory_id for text in texts]
                await self._books.queue(conn, MODEL_STAGE, subject, tier, ids)

    async def _read(
        self, conn: Connection, tier: Tier, namespace: str, texts: Sequence[Text]
    ) -> None:
        heard = await asyncio.to_thread(_hear, texts)
        keys, firsts = keys_wanted(
            [tags for tags, _ in heard],
            (
                name
                for text, (_, told) in zip(texts, heard, strict=True)
                for name in _names(text, told)
            ),
        )
        names = await self._store.names(conn, tier, namespace, keys, firsts)
        kin = await self._store.kin(conn, tier, namespace)
        pinned = await self._store.pinned(conn, tier, [text.memory_id for text in texts])
        for text, (tags, told) in zip(texts, heard, strict=True):
            facts = [(fact, RULES) for fact in told]
            reading, sharper = read(text, tags, facts, names, kin, pinned.get(text.memory_id, {}))
            await self._keep(conn, tier, reading, sharper)

    async def _keep(
        self, conn: Connection, tier: Tier, reading: Reading, sharper: Mapping[UUID, Kind]
    ) -> None:
        await self._store.write(conn, reading, f"{extract.EXTRACTOR}/")
        await self._store.sharpen(conn, tier, sharper)

    async def _walk(self) -> None:
        """Queue some of what an extractor of this version has not read, when nothing else waits."""
        version = VERSION if self._enabled else OFF_VERSION
        async with self._pool.own() as conn:
            if await self._books.count(conn):
                return
            walks = await self._books.walks(conn, version)
        for walk in walks:
            await self._step(walk, version)

    async def _step(self, walk: Walk, version: str) -> None:
        async with self._pool.as_role(ROLE, walk.subject_id) as conn:
            found = await self._store.walk(conn, walk, WALK_STEP) if self._enabled else []
            await conn.execute("SET LOCAL ROLE NONE")
            if found:
                ids = [memory_id for memory_id, _ in found]
                await self._books.queue(conn, RULES_STAGE, walk.subject_id, walk.tier, ids)
            after = found[-1][1] if found else walk.after_seq
            await self._books.move_walk(conn, walk, version, after, len(found) < WALK_STEP)


def _whose(due: Due) -> tuple[UUID, Tier]:
    return due.subject_id, due.tier


def _hear(texts: Sequence[Text]) -> list[tuple[list[Tagged], list[extract.ExtractedFact]]]:
    return [
        (tag(text.text), extract.extract(text.text, text.speaker, text.said_at)) for text in texts
    ]


def _names(text: Text, told: Sequence[Told]) -> list[str]:
    """Return the names by which a memory's facts and speaker are to be looked up."""
    return [text.speaker or "", *(name for fact in told for name in (fact.subject, fact.object))]
