"""Recall: two arms, near in meaning and sharing words, over the tiers the caller may read, fused and explained."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from contracts.identity import Caller
from contracts.memory import Reason, Recalled, RecallRequest, RecallResult, Tier

from memory.domain import Entry, check_recall_limit, chosen_tiers, clean_query
from memory.errors import EmbedderUnavailable, EmbeddingRefused
from memory.library import Library, now
from memory.plain import CANDIDATES
from memory.presenting import to_memory
from memory.scoring import Fused, Hit, fuse
from memory.writing.embedder import Embedder


class Recall:
    """`POST /v1/recall`."""

    def __init__(self, library: Library, embedder: Embedder, embed_timeout_s: float) -> None:
        self._library = library
        self._embedder = embedder
        self._embed_timeout_s = embed_timeout_s

    async def __call__(self, caller: Caller, request: RecallRequest) -> RecallResult:
        """Return at most `limit` of the caller's memories, best first, each with its reasons.

        Answers `lexical_only` when the query cannot be embedded in time. Raises TextEmpty, TextTooLong,
        TextUnprintable, TierUnknown, TierDenied, LimitInvalid, SacredUnreadable.
        """
        query = clean_query(request.query)
        limit = check_recall_limit(request.limit)
        tiers = chosen_tiers(caller.db_role, request.tiers)
        vector = await self._embed(query)
        near: list[Hit] = []
        said: list[Hit] = []
        known: dict[UUID, Entry] = {}
        plain = [tier for tier in tiers if tier is not Tier.SACRED]
        if Tier.SACRED in tiers:
            near, said, known = await self._in_sacred(caller, query, vector)
        best = await self._in_plain(caller, plain, query, vector, near, said, known, limit)
        moment = now()
        results = [_recalled(fused, known[fused.id], moment) for fused in best]
        return RecallResult(
            results=results, degraded=None if vector is not None else "lexical_only"
        )

    async def _embed(self, query: str) -> list[float] | None:
        try:
            # A question can be as private as its answer: it never leaves the house.
            return await self._embedder.embed(query, Tier.SACRED, self._embed_timeout_s)
        except (EmbedderUnavailable, EmbeddingRefused):
            return None

    async def _in_sacred(
        self, caller: Caller, query: str, vector: Sequence[float] | None
    ) -> tuple[list[Hit], list[Hit], dict[UUID, Entry]]:
        shelf = self._library.sacred
        async with shelf.pool.as_caller(caller) as conn:
            rows = await shelf.everything(conn)
        return await asyncio.to_thread(shelf.search, rows, query, vector, CANDIDATES)

    async def _in_plain(
        self,
        caller: Caller,
        tiers: Sequence[Tier],
        query: str,
        vector: Sequence[float] | None,
        near: list[Hit],
        said: list[Hit],
        known: dict[UUID, Entry],
        limit: int,
    ) -> list[Fused]:
        """Add the findings of the plain tiers to those given, and return the best of all, each of them known."""
        if not tiers:
            return fuse(near, said, limit)
        shelf = self._library.plain
        async with shelf.pool.as_caller(caller) as conn:
            for tier in tiers:
                # A sacred copy of a memory that is just moving wins over the one it leaves behind.
                if vector is not None:
                    near += [
                        hit
                        for hit in await shelf.near(conn, tier, vector, CANDIDATES)
                        if hit.id not in known
                    ]
                said += [
                    hit
                    for hit in await shelf.words(conn, tier, query, CANDIDATES)
                    if hit.id not in known
                ]
            best = fuse(near, said, limit)
            missing = [fused.id for fused in best if fused.id not in known]
            for tier in tiers:
                known.update({entry.id: entry for entry in await shelf.many(conn, tier, missing)})
        return [fused for fused in best if fused.id in known]


def _recalled(fused: Fused, entry: Entry, moment: datetime) -> Recalled:
    reasons: list[Reason] = []
    if fused.vector is not None:
        reasons.append(
            Reason(arm="vector", score=round(fused.vector.score, 4), detail=fused.vector.detail)
        )
    if fused.lexical is not None:
        reasons.append(
            Reason(arm="lexical", score=round(fused.lexical.score, 4), detail=fused.lexical.detail)
        )
    reasons.sort(key=lambda reason: -reason.score)
    return Recalled(
        memory=to_memory(entry),
        score=fused.score,
        reasons=reasons,
        age_seconds=max(0, int((moment - (entry.occurred_at or entry.created_at)).total_seconds())),
    )
