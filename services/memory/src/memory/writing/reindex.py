"""A change of the embedding model, behind a house that goes on: build beside, switch at once, drop what is retired.

Every step is one transaction and is decided from what the database says (`models.plan`), so a worker that is killed
anywhere leaves the next one where it was. One worker at a time holds the lease.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from contracts.tiers import Tier
from kit import logs
from kit.clock import Clock
from kit.errors import KitError

from memory.errors import EmbedderUnavailable, EmbeddingRefused
from memory.library import Library
from memory.store import Model
from memory.writing.embed import BATCH_MAX, ROLE, ModelGone, writing_vectors
from memory.writing.embedder import Embedder
from memory.writing.errors import DimensionsUnsupported, EmbeddingInvalid
from memory.writing.models import (
    RETIRED_SECONDS,
    Known,
    Models,
    State,
    Step,
    check_dimensions,
    known,
    next_id,
    plan,
)
from memory.writing.store import Vectors, Waiting, pipeline, text_of

if TYPE_CHECKING:
    from kit.pool import Connection

log = logs.get(__name__)
LEASE_SECONDS = 60.0
DROP_MAX = 500
SUBJECTS_MAX = 100
HEAL_SECONDS = 3600.0
# What was written since is on its way.
AGED_SECONDS = 300.0
# A breath between batches, so that what people write meanwhile is embedded first.
PAUSE_SECONDS = 0.02


class Reindex:
    """Brings the house to the wanted model, and gives a vector to what has none for whatever reason."""

    def __init__(
        self,
        library: Library,
        embedder: Embedder,
        models: Models,
        wanted: str,
        timeout_s: float,
        every_s: float,
        clock: Clock,
    ) -> None:
        self._library = library
        self._embedder = embedder
        self._models = models
        self._wanted = wanted
        self._timeout_s = timeout_s
        self._every_s = every_s
        self._clock = clock
        self._worker = uuid4()
        self._heal_at = 0.0

    async def run(self) -> None:
        """Change models until cancelled; then leave the lease to the next."""
        try:
            while True:
                pause_s = self._every_s
                try:
                    pause_s = await self.once()
                except KitError as error:
                    log.warning("reindex.waiting", code=error.code)
                except Exception as error:
                    log.exception("reindex.failed", error)
                await self._clock.sleep(pause_s)
        finally:
            with contextlib.suppress(KitError):
                async with self._library.plain.pool.own() as conn:
                    await conn.execute(text_of("lease_change"), self._worker, 0.0)

    async def once(self) -> float:
        """Take the next step, and return after how many seconds to look again. Raises DataUnavailable and the model's errors."""
        async with self._library.plain.pool.own() as conn:
            if await conn.fetchval(text_of("lease_change"), self._worker, LEASE_SECONDS) is None:
                return self._every_s
            models = [known(row) for row in await conn.fetch(text_of("list_models"))]
        step, model = plan(models, self._wanted)
        if step is Step.REGISTER:
            return await self._register(models)
        if model is not None:
            if step is Step.ABANDON:
                log.info("reindex.abandoned", model=model.name)
                await self._set_state(model.id, State.RETIRED)
                return 0.0
            if step is Step.DROP:
                return await self._drop(model)
            return await self._build(model)
        await self._note(None)
        return await self._heal()

    async def _register(self, models: list[Known]) -> float:
        try:
            vector = await self._embedder.probe(self._wanted, self._timeout_s)
            dimensions = check_dimensions(vector)
        except EmbedderUnavailable as error:
            await self._note(error.code)
            return self._every_s
        except (DimensionsUnsupported, EmbeddingInvalid, EmbeddingRefused) as error:
            log.error("reindex.model_unusable", model=self._wanted, code=error.code)
            await self._note(error.code)
            return self._every_s
        total = 0
        async for tier, subject in self._people():
            async with self._library.shelf(tier).pool.as_role(ROLE, subject) as conn:
                total += (await Vectors(tier, self._library.sacred).progress(conn, 0))[1]
        async with self._library.plain.pool.own() as conn:
            await conn.execute(
                text_of("add_model"), next_id(models), self._wanted, dimensions, total
            )
        await self._note(None)
        log.info("reindex.registered", model=self._wanted, dimensions=dimensions, total=total)
        return 0.0

    async def _build(self, model: Known) -> float:
        """Give every memory a vector of the new model, then switch."""
        target = Model(model.id, model.name, model.dimensions)
        done, total = await self._progress(model)
        async for tier, subject in self._people():
            after = UUID(int=0)
            while batch := await self._without(tier, subject, model.id, after):
                after = batch[-1].id
                try:
                    done += await self._embed(tier, subject, batch, target)
                except ModelGone:
                    return 0.0
                except EmbedderUnavailable as error:
                    await self._note(error.code)
                    return self._every_s
                async with self._library.plain.pool.own() as conn:
                    await conn.execute(
                        text_of("set_model_progress"), model.id, done, max(total, done)
                    )
                    held = await conn.fetchval(text_of("lease_change"), self._worker, LEASE_SECONDS)
                if held is None:
                    return self._every_s
                await self._clock.sleep(PAUSE_SECONDS)
        await self._note(None)
        return 0.0 if await self._switch(model) else PAUSE_SECONDS

    async def _progress(self, model: Known) -> tuple[int, int]:
        done = total = 0
        async for tier, subject in self._people():
            async with self._library.shelf(tier).pool.as_role(ROLE, subject) as conn:
                own = await Vectors(tier, self._library.sacred).progress(conn, model.id)
            done, total = done + own[0], total + own[1]
        async with self._library.plain.pool.own() as conn:
            await conn.execute(text_of("set_model_progress"), model.id, done, total)
        return done, total

    async def _embed(self, tier: Tier, subject: UUID, batch: list[Waiting], model: Model) -> int:
        """Write the batch's vectors of the new model; texts that it does not take are left to the pipeline."""
        answer = await self._embedder.many(
            [text.text for text in batch], tier, self._timeout_s, model
        )
        written = [(batch[place], vector) for place, vector in answer.vectors.items()]
        count = 0
        if written:
            async with writing_vectors(self._library, tier, subject, model, State.BUILDING) as conn:
                held = await Vectors(tier, self._library.sacred).write(
                    conn, written, model.id, building=True
                )
                count = len(held)
        refused = [batch[place] for place in answer.refused]
        if refused:
            await self._put(tier, subject, refused)
        return count

    async def _switch(self, model: Known) -> bool:
        """Let the new model answer, if nothing is without a vector of it but what has none at all. One transaction."""
        async with self._library.plain.pool.own() as conn:
            models = [known(row) for row in await conn.fetch(text_of("hold_models"))]
            if plan(models, self._wanted) != (
                Step.BUILD,
                next((m for m in models if m.id == model.id), None),
            ):
                return False
            # Nobody writes a vector while these rows are held, so what is complete now is complete at the switch.
            async for tier, subject in self._people():
                if not await self._complete(conn, tier, subject, model.id):
                    return False
            for each in models:
                if each.state is State.ACTIVE:
                    await conn.execute(text_of("set_model_state"), each.id, State.RETIRED.value)
            await conn.execute(text_of("set_model_state"), model.id, State.ACTIVE.value)
        self._models.forget()
        log.info("reindex.switched", model=model.name, dimensions=model.dimensions)
        return True

    async def _complete(self, books: Connection, tier: Tier, subject: UUID, model: int) -> bool:
        after = UUID(int=0)
        while batch := await self._without(tier, subject, model, after):
            after = batch[-1].id
            ids = [text.id for text in batch]
            if tier is Tier.SACRED:
                async with self._library.sacred.pool.own(read_only=True) as conn:
                    pending = await pipeline(tier).among(conn, ids)
            else:
                pending = await pipeline(tier).among(books, ids)
            if pending != set(ids):
                return False
        return True

    async def _drop(self, model: Known) -> float:
        """Drop a retired model's vectors, a bounded number at a time, once nobody can still be asking for them."""
        async with self._library.plain.pool.own() as conn:
            if not await conn.fetchval(text_of("retired_long_enough"), model.id, RETIRED_SECONDS):
                return min(self._every_s, 5.0)
        # What has no vector of the model that answers is put down to get one before its old one goes.
        await self._put_missing()
        dropped = 0
        async for tier, subject in self._people():
            while True:
                async with self._library.shelf(tier).pool.as_role(ROLE, subject) as conn:
                    count = await Vectors(tier, self._library.sacred).drop(conn, model.id, DROP_MAX)
                dropped += count
                if count < DROP_MAX:
                    break
                await asyncio.sleep(0)
        async with self._library.plain.pool.own() as conn:
            await conn.execute(text_of("delete_model"), model.id)
        log.info("reindex.dropped", model=model.name, vectors=dropped)
        return 0.0

    async def _heal(self) -> float:
        """Now and then, put down for embedding what has no vector and no note that it wants one."""
        if self._clock.monotonic() >= self._heal_at:
            self._heal_at = self._clock.monotonic() + HEAL_SECONDS
            await self._put_missing()
        return self._every_s

    async def _put_missing(self) -> None:
        self._models.forget()
        active = await self._models.active()
        found = 0
        async for tier, subject in self._people():
            after = UUID(int=0)
            while batch := await self._without(tier, subject, active.id, after, AGED_SECONDS):
                after = batch[-1].id
                await self._put(tier, subject, batch)
                found += len(batch)
        if found:
            log.info("reindex.put_down", memories=found)

    async def _put(self, tier: Tier, subject: UUID, texts: list[Waiting]) -> None:
        async with self._library.shelf(tier).pool.own() as conn:
            await pipeline(tier).put(
                conn, subject, tier, [(text.id, text.revision) for text in texts]
            )

    async def _without(
        self, tier: Tier, subject: UUID, model: int, after: UUID, aged_s: float = 0.0
    ) -> list[Waiting]:
        async with self._library.shelf(tier).pool.as_role(ROLE, subject) as conn:
            return await Vectors(tier, self._library.sacred).without(
                conn, model, after, BATCH_MAX, aged_s
            )

    async def _people(self) -> AsyncIterator[tuple[Tier, UUID]]:
        """Go through everybody who has memories, tier by tier."""
        for shelf, tiers in (
            (self._library.plain, (Tier.CONVENIENCE, Tier.SENSITIVE)),
            (self._library.sacred, (Tier.SACRED,)),
        ):
            after = UUID(int=0)
            while True:
                async with shelf.pool.own(read_only=True) as conn:
                    subjects = await shelf.subjects(conn, after, SUBJECTS_MAX)
                for subject in subjects:
                    for tier in tiers:
                        yield tier, subject
                if len(subjects) < SUBJECTS_MAX:
                    break
                after = subjects[-1]

    async def _set_state(self, model: int, state: State) -> None:
        async with self._library.plain.pool.own() as conn:
            await conn.execute(text_of("set_model_state"), model, state.value)

    async def _note(self, problem: str | None) -> None:
        async with self._library.plain.pool.own() as conn:
            await conn.execute(text_of("note_problem"), self._wanted if problem else None, problem)
