"""Embed one memory: read it as its owner, ask the model, write the vector if the text is still the same."""

from __future__ import annotations

from uuid import UUID

from contracts.tiers import Tier
from kit import logs

from memory.errors import EmbedderUnavailable
from memory.library import Library
from memory.writing.embedder import Embedder

log = logs.get(__name__)
# The worker acts for a person who is not there: as the application itself, for this one subject.
ROLE = "lares_app"


class Embed:
    """The job `memory.embed`. It bears being run twice, late, or for a memory that is gone."""

    def __init__(self, library: Library, embedder: Embedder, timeout_s: float) -> None:
        self._library = library
        self._embedder = embedder
        self._timeout_s = timeout_s

    async def __call__(self, memory_id: UUID, subject: UUID, tier: Tier) -> str:
        """Return what came of it: embedded, gone, changed or waiting. Raises EmbeddingRefused, DataUnavailable."""
        shelf = self._library.shelf(tier)
        async with shelf.pool.as_role(ROLE, subject) as conn:
            entry = await shelf.get(conn, tier, memory_id)
            await shelf.step_out(conn)
            if entry is None:
                # Forgotten or moved since; a move brings a note of its own, in its own tier.
                await shelf.drop_pending_in(conn, memory_id, tier)
                return "gone"
            if entry.embedded:
                await shelf.finish_pending(conn, entry)
                return "embedded"
        try:
            vector = await self._embedder.embed(entry.text, tier, self._timeout_s)
        except EmbedderUnavailable:
            async with shelf.pool.own() as conn:
                await shelf.defer_pending(conn, memory_id)
            return "waiting"
        async with self._library.plain.pool.own(read_only=True) as conn:
            model = await self._library.plain.active_model(conn)
        async with shelf.pool.as_role(ROLE, subject) as conn:
            if not await shelf.set_embedding(conn, entry, vector, model.id):
                return "changed"
            await shelf.step_out(conn)
            await shelf.finish_pending(conn, entry)
            await shelf.announce(conn, memory_id, subject, tier, "embedded")
        return "embedded"
