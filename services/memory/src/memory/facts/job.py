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
from memory.facts.errors import ExtractionRefused
from memory.facts.llm import VERSION as MODEL_VERSION
from memory.facts.llm import together
from memory.facts.model import Kind, Reading, Tagged, Text
from memory.facts.predicates import SELF
from memory.facts.reading import Told, called, read
from memory.facts.resolve import keys_wanted
from memory.facts.sqltext import PLAIN_TIERS
from memory.facts.store import Books, Due, FactStore, Walk
from memory.facts.tagger import VERSION as TAGGER_VERSION
from memory.facts.tagger import tag
from memory.writing.store import PLAIN

if TYPE_CHECKING:
    from kit.clock import Clock
    from kit.pool import Connection, Pool

    from memory.facts.llm import Asker

log = logs.get(__name__)
ROLE = "lares_app"
RULES = f"{extract.EXTRACTOR}/{extract.VERSION}"
VERSION = f"{RULES}+tagger/{TAGGER_VERSION}"
OFF_VERSION = "off"
BATCH = 64
ROUNDS_MAX = 8
WALK_STEP = 500
ASKED_AT_ONCE = 4
TRIES_MAX = 2
AWAY_SECONDS = 60.0
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
        asker: Asker | None = None,
    ) -> None:
        self._pool = pool
        self._clock = clock
        self._enabled = enabled
        self._every_s = every_s
        self._asker = asker
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
        await self._ask_some()
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
        model = await self._model()
        async with self._pool.as_role(ROLE, subject) as conn:
            # The rows are held first: an edit waits for this transaction, and its note then outlives it.
            await self._store.hold(conn, subject, tier)
            await conn.execute("SET LOCAL ROLE NONE")
            noted = await self._books.noted(conn, RULES_STAGE, tier, memory_ids)
            if not noted:
                # Read already: what is long on its way falls due beside the queue.
                return
            await conn.execute(f"SET LOCAL ROLE {ROLE}")
            memory_ids = [each for each in memory_ids if each in noted]
            texts = await self._store.texts(conn, tier, memory_ids)
            facts = 0
            if self._enabled:
                for namespace in dict.fromkeys(text.namespace for text in texts):
                    own = [text for text in texts if text.namespace == namespace]
                    facts += await self._read(conn, tier, namespace, own)
            else:
                await self._store.clear(conn, tier, memory_ids)
            await conn.execute("SET LOCAL ROLE NONE")
            if model is not None:
                # Before the other stage is struck: a walk takes a memory's notes in this order.
                ids = [text.memory_id for text in texts]
                await self._books.queue(conn, MODEL_STAGE, subject, tier, ids)
            await self._books.finish(conn, RULES_STAGE, tier, memory_ids)
            # Last, since everybody counts here: whoever holds a number waits for nothing any more.
            await PLAIN.tally(conn, texts_read=len(texts), facts_read=facts)

    async def _read(
        self,
        conn: Connection,
        tier: Tier,
        namespace: str,
        texts: Sequence[Text],
        said: Sequence[tuple[Told, str]] = (),
    ) -> int:
        """Read and keep these memories of one namespace; return how many facts they state."""
        heard = await asyncio.to_thread(_hear, texts)
        keys, firsts = keys_wanted(
            [tags for tags, _ in heard],
            (
                name
                for text, (_, told) in zip(texts, heard, strict=True)
                for name in _names(text, [*told, *(fact for fact, _ in said)])
            ),
        )
        names = await self._store.names(conn, tier, namespace, keys, firsts)
        kin = await self._store.kin(conn, tier, namespace)
        pinned = await self._store.pinned(conn, tier, [text.memory_id for text in texts])
        readings: list[Reading] = []
        sharper: list[Mapping[UUID, Kind]] = []
        for text, (tags, told) in zip(texts, heard, strict=True):
            facts = together([(fact, RULES) for fact in told], said)
            own = pinned.get(text.memory_id, {})
            reading, kinds = read(text, tags, facts, names, kin.known(), own)
            # Each is read as if those before it were written: so a batch reads what one by one would.
            names.learn(reading, kinds)
            kin.learn(reading, names)
            readings.append(reading)
            sharper.append(kinds)
        # What a model said stays while the rules are run again over the same text.
        await self._store.write(conn, readings, sharper, "" if said else f"{extract.EXTRACTOR}/")
        return sum(len(reading.facts) for reading in readings)

    async def _model(self) -> str | None:
        """Return the model that is asked beside the rules, if one is."""
        return await self._asker.model() if self._asker is not None and self._enabled else None

    async def _ask_some(self) -> None:
        """Ask the model about a few memories, one after the other: it is slow, and others wait for it, too."""
        model = await self._model()
        if model is None or self._asker is None:
            return
        async with self._pool.own() as conn:
            claimed = await self._books.claim(conn, MODEL_STAGE, ASKED_AT_ONCE)
        for due in claimed:
            try:
                await self._ask_one(model, self._asker, due)
            except ExtractionRefused as error:
                # A second try may go better with a model that is not quite sure of itself; a third will not.
                if due.tries < TRIES_MAX:
                    continue
                log.warning("extraction.model_refused", code=error.code)
                async with self._pool.own() as conn:
                    await self._books.settle(conn, due)
                    await PLAIN.tally(conn, model_answers_refused=1)
            except KitError as error:
                async with self._pool.own() as conn:
                    await self._books.defer(conn, MODEL_STAGE, claimed, AWAY_SECONDS)
                log.info("extraction.model_away", code=error.code)
                return

    async def _ask_one(self, model: str, asker: Asker, due: Due) -> None:
        async with self._pool.as_role(ROLE, due.subject_id, read_only=True) as conn:
            texts = await self._store.look(conn, due.tier, due.memory_id)
        said = await asker.ask(model, texts[0]) if texts else []
        async with self._pool.as_role(ROLE, due.subject_id) as conn:
            await self._store.hold(conn, due.subject_id, due.tier)
            held = await self._store.texts(conn, due.tier, [due.memory_id])
            # Edited while the model thought: what it says is about words that are gone. The edit left a new note.
            if held and texts and held[0].revision == texts[0].revision:
                named = [(fact, f"model/{model}") for fact in said]
                await self._read(conn, due.tier, held[0].namespace, held, named)
                await conn.execute("SET LOCAL ROLE NONE")
                await self._books.settle(conn, due)
                await PLAIN.tally(conn, model_facts=len(named))

    async def _walk(self) -> None:
        """Queue some of what an extractor of this version has not read, when nothing else waits."""
        model = await self._model()
        version = f"{VERSION}+{model}/{MODEL_VERSION}" if model else VERSION
        version = version if self._enabled else OFF_VERSION
        async with self._pool.own() as conn:
            if await self._books.count(conn):
                return
            walks = await self._books.walks(conn, version)
        for walk in walks:
            await self._step(walk, version)

    async def _step(self, walk: Walk, version: str) -> None:
        model = await self._model()
        async with self._pool.as_role(ROLE, walk.subject_id) as conn:
            found = await self._store.walk(conn, walk, WALK_STEP) if self._enabled else []
            await conn.execute("SET LOCAL ROLE NONE")
            if found:
                ids = [memory_id for memory_id, _ in found]
                if model is None:
                    await self._books.queue(conn, RULES_STAGE, walk.subject_id, walk.tier, ids)
                else:
                    # Also what a model was asked about before: it was another one, or an older task.
                    await self._books.queue_again(conn, walk.subject_id, walk.tier, ids)
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
    names = [text.speaker or "", *(name for fact in told for name in (fact.subject, fact.object))]
    roles = [name.removeprefix(f"{SELF}.") for name in names if name.startswith(f"{SELF}.")]
    return [*names, *(called(role, whose) for role in roles for whose in (None, text.speaker))]
