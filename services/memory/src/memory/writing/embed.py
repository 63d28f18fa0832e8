"""Embed a batch: read the texts as their owner, ask the model once, write what still holds in one statement."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from uuid import UUID

from contracts.tiers import Tier
from kit import logs

from memory.errors import EmbedderUnavailable
from memory.library import Library
from memory.writing.embedder import Embedder
from memory.writing.models import Models, State
from memory.writing.store import PLAIN, Vectors, Waiting, Written, pipeline, text_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from kit.pool import Connection

    from memory.store import Model

log = logs.get(__name__)
# The worker acts for a person who is not there: as the application itself, for this one subject.
ROLE = "lares_app"
BATCH_MAX = 32
# What the model needs to come back. Nothing is lost meanwhile, and words find it already.
AWAY_SECONDS = 30.0


class ModelGone(Exception):
    """The model of these vectors is not in that state any more: they must not be written."""


class Embed:
    """The job `memory.embed`. It bears being run twice, late, or for memories that are gone."""

    def __init__(
        self, library: Library, embedder: Embedder, models: Models, timeout_s: float
    ) -> None:
        self._library = library
        self._embedder = embedder
        self._models = models
        self._timeout_s = timeout_s

    async def __call__(self, subject: UUID, tier: Tier, ids: Sequence[UUID]) -> int:
        """Give the memories their vectors by the model that answers now; return how many got one.

        Texts that the model does not take are set aside; while it is away all wait. Raises DataUnavailable.
        """
        model = await self._models.active()
        texts = await self._due(subject, tier, ids, model)
        if not texts:
            return 0
        shelf, books = self._library.shelf(tier), pipeline(tier)
        try:
            answer = await self._embedder.many(
                [text.text for text in texts], tier, self._timeout_s, model
            )
        except EmbedderUnavailable as error:
            log.warning("embed.waiting", code=error.code, texts=len(texts))
            async with shelf.pool.own() as conn:
                await books.defer(conn, texts, AWAY_SECONDS)
            return 0
        written = [(texts[place], vector) for place, vector in answer.vectors.items()]
        try:
            await self._write(subject, tier, written, model)
        except ModelGone:
            # Another model answers since: the same texts, to that one.
            self._models.forget()
            async with shelf.pool.own() as conn:
                await books.defer(conn, [text for text, _ in written], 0.0)
            return 0
        tried = {*answer.vectors, *answer.refused}
        left = [text for place, text in enumerate(texts) if place not in tried]
        refused = [texts[place] for place in answer.refused]
        if left or refused:
            log.warning("embed.refused", refused=len(refused), left=len(left))
            async with shelf.pool.own() as conn:
                await books.set_aside(conn, refused)
                await books.defer(conn, left, 0.0)
        async with self._library.plain.pool.own() as conn:
            await PLAIN.tally(
                conn,
                embedding_batches=1,
                embedded_texts=len(written),
                refused_texts=len(refused),
            )
        return len(written)

    async def _due(
        self, subject: UUID, tier: Tier, ids: Sequence[UUID], model: Model
    ) -> list[Waiting]:
        """Return the texts that still want a vector, and tick off the others."""
        shelf, books = self._library.shelf(tier), pipeline(tier)
        async with shelf.pool.as_role(ROLE, subject) as conn:
            found = await Vectors(tier, self._library.sacred).texts(conn, ids, model.id)
            await shelf.step_out(conn)
            # Forgotten or moved since; a move brings a note of its own, in its own tier.
            gone = set(ids) - {text.id for text in found}
            if gone:
                await books.gone(conn, sorted(gone), tier)
            done = [text for text in found if text.embedded]
            if done:
                await books.embedded(conn, done)
        return [text for text in found if not text.embedded]

    async def _write(self, subject: UUID, tier: Tier, written: Written, model: Model) -> None:
        if not written:
            return
        async with writing_vectors(self._library, tier, subject, model, State.ACTIVE) as conn:
            shelf, books = self._library.shelf(tier), pipeline(tier)
            held = await Vectors(tier, self._library.sacred).write(conn, written, model.id)
            await shelf.step_out(conn)
            # What was edited meanwhile has a note about its new text, which falls due by itself.
            await books.embedded(conn, [text for text, _ in written if text.id in held])
            await books.announce(conn, sorted(held), subject, tier, "embedded")


@asynccontextmanager
async def writing_vectors(
    library: Library, tier: Tier, subject: UUID, model: Model, state: State
) -> AsyncGenerator[Connection]:
    """One transaction as the person in which this model's state holds still: no switch comes between. Raises ModelGone."""
    shelf, plain = library.shelf(tier), library.plain
    if shelf is plain:
        async with plain.pool.as_role(ROLE, subject) as conn:
            await plain.step_out(conn)
            await _hold_model(conn, model, state)
            await plain.step_in(conn, ROLE)
            yield conn
        return
    async with plain.pool.own() as hold, shelf.pool.as_role(ROLE, subject) as conn:
        await _hold_model(hold, model, state)
        yield conn


async def _hold_model(conn: Connection, model: Model, state: State) -> None:
    held = await conn.fetchval(text_of("hold_model"), model.id, model.name, state.value)
    if held is None:
        raise ModelGone()
