"""Recall: the question is read, both arms are searched as the caller, what they found is weighed, and time decides."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import UUID

from contracts.tiers import Tier

from memory.domain import Entry, check_recall_limit, clean_query
from memory.errors import EmbedderUnavailable, EmbeddingRefused
from memory.facts import arm
from memory.facts.sqltext import plain_tiers
from memory.index.beside import after_sending, beside
from memory.index.search import PLAIN, Search, lexemes
from memory.library import Library, now
from memory.recall import closed, speakers
from memory.recall.ahead import Ahead, Asked, Guess
from memory.recall.answer import SETTLED_MAX, Asking, missing, result, settled
from memory.recall.asked import passes, read_filters
from memory.recall.question import names_in, read, told_by
from memory.recall.rank import Ranked, merged, rank, replacing
from memory.supersede.evidence import sought
from memory.supersede.settle import NEAREST_MAX
from memory.supersede.store import noticed

if TYPE_CHECKING:
    from contracts.identity import Caller
    from contracts.memory import RecallRequest, RecallResult
    from kit.pool import Connection

    from memory.finding import Candidate
    from memory.index.working import Working
    from memory.writing.embedder import Embedder, QueryVector

# Of each arm: beyond, hardly any answer is found (ADR 0014), and every one costs time.
CANDIDATES = 100
# A memory that names whom the question names is looked at though neither arm found it.
NAMING_MAX = 32
# What replaced what replaced it: a chain is followed so far.
REPLACED_MAX = 4
# So many more than are answered are asked for while it is settled which are.
BEYOND = 6


class Recall:
    """`POST /v1/recall`."""

    def __init__(
        self,
        library: Library,
        embedder: Embedder,
        embed_timeout_s: float,
        working: Working | None = None,
    ) -> None:
        self._library = library
        self._working = working
        self._embedder = embedder
        self._embed_timeout_s = embed_timeout_s
        self._guess = Guess()

    async def __call__(self, caller: Caller, request: RecallRequest) -> RecallResult:
        """Return at most `limit` of the caller's memories, best first, each with its reasons.

        Answers `lexical_only` when the query cannot be embedded in time. Raises TextEmpty, TextTooLong,
        TextUnprintable, TierUnknown, TierDenied, LevelUnknown, NamespaceInvalid, TimeInvalid, LimitInvalid,
        SacredUnreadable.
        """
        asking = Asking(
            query=clean_query(request.query),
            filters=read_filters(caller.db_role, request),
            limit=check_recall_limit(request.limit),
            moment=now(),
            # Asked before a connection is held: who holds one and waits for another can wait for ever.
            model=(await self._embedder.active()).id,
        )
        if Tier.SACRED in asking.filters.tiers:
            await self._open(caller, asking)
        if any(tier in PLAIN for tier in asking.filters.tiers):
            return await self._among_all(caller, asking)
        _read(asking, [])
        vector = _numbers(asking, await self._vector(_sought(asking)))
        ranked = self._among_sealed(asking, vector)
        asking.told = _told(asking, [])
        return result(asking, ranked, settled(asking, ranked), asking.sealed)

    async def _among_all(self, caller: Caller, asking: Asking) -> RecallResult:
        asked = Asked(self._vector)
        _read(asking, [])
        if self._guess.nobody(caller.subject, asking.query):
            asked.begin(_sought(asking))
        try:
            async with self._library.plain.pool.as_caller(caller) as conn:
                answered = await self._among_plain(conn, caller, asking, asked)
                # The transaction ends meanwhile.
                shown = asyncio.create_task(after_sending(answered))
            return await shown
        finally:
            asked.cancel()

    async def _among_plain(
        self, conn: Connection, caller: Caller, asking: Asking, asked: Asked
    ) -> Callable[[], RecallResult]:
        filters = asking.filters
        tiers = [tier for tier in PLAIN if tier in filters.tiers]
        if filters.entities is not None:
            # What is shown as one has a root in every tier, and had others before it was merged.
            known = await arm.expand(conn, plain_tiers(caller.db_role), filters.entities)
            filters = replace(filters, entities=tuple(known))
        look = Search(filters, CANDIDATES, asking.model, self._working)
        # Few questions name anybody who speaks: its terms are asked for as if this one did not.
        bare = asking.question.bare
        terms, names = await look.begin(conn, bare, speakers.over(tuple(tiers)))
        self._guess.learn(caller.subject, names)
        _read(asking, names)
        # What needs no vector is looked up while the model works.
        asked.begin(_sought(asking))
        if asking.question.bare != bare:
            terms = await lexemes(conn, asking.question.bare)
        await look.say(conn, terms)
        named = await _naming(conn, tiers, asking)
        ahead = Ahead(asking, named)
        vector = _numbers(asking, await asked.vector())
        if vector is not None:
            await look.mean(conn, vector, list(named), caller.subject, ahead.read)
        found, corpus = look.outcome()
        # While a memory moves, the more private copy is the memory.
        found = [each for each in found if each.id not in asking.sealed]
        told = told_by((each.speaker, each.text) for each in found)
        if told:
            _read(asking, [*names, *told])
        asking.told = _told(asking, found) if asking.sealed else told
        most = max(SETTLED_MAX, asking.limit)
        seen, ranked = await beside(
            _noticed(conn, tiers, found),
            lambda: merged(
                rank(
                    *(asking.question, found, corpus, asking.asked_at, named),
                    most=most,
                    manners=ahead.manners,
                ),
                self._among_sealed(asking, vector),
            ),
        )
        ranked = _marked(ranked, found, seen)
        ranked += await self._replacing(conn, tiers, asking, ranked)
        return await self._answered(conn, tiers, asking, ranked, ahead)

    async def _answered(
        self,
        conn: Connection,
        tiers: Sequence[Tier],
        asking: Asking,
        ranked: Sequence[Ranked],
        ahead: Ahead,
    ) -> Callable[[], RecallResult]:
        """Return what makes the answer; the memories are asked for before it is settled which they are: those that can be."""
        hoped = _hoped(ranked, asking.limit)
        # Who says what was read ahead may have become known since.
        readings = {} if asking.told or asking.sealed else ahead.readings
        read, best = await beside(
            self._entries(conn, _tiers_of(hoped, tiers), [each.id for each in hoped]),
            lambda: settled(asking, ranked, readings),
        )
        known = {entry.id: entry for entry in read} | asking.sealed
        late = [each.id for each in best if each.id not in known]
        if late:
            known |= {entry.id: entry for entry in await self._entries(conn, tiers, late)}
        return lambda: result(asking, ranked, best, known)

    async def _vector(self, text: str) -> QueryVector | None:
        try:
            return await self._embedder.query(text, self._embed_timeout_s)
        except (EmbedderUnavailable, EmbeddingRefused):
            return None

    async def _open(self, caller: Caller, asking: Asking) -> None:
        shelf = self._library.sacred
        async with shelf.pool.as_caller(caller) as conn:
            rows = await shelf.everything(conn)
        # Thousands of rows take tens of milliseconds to open.
        entries = await asyncio.to_thread(shelf.opened, rows, asking.model)
        asking.sealed = {
            entry.id: entry for entry in entries if passes(entry, asking.filters, asking.moment)
        }

    def _among_sealed(self, asking: Asking, vector: Sequence[float] | None) -> list[Ranked]:
        entries = list(asking.sealed.values())
        found, corpus = closed.candidates(entries, asking.question, vector)
        return rank(asking.question, found, corpus, asking.asked_at)

    async def _replacing(
        self, conn: Connection, tiers: Sequence[Tier], asking: Asking, ranked: Sequence[Ranked]
    ) -> list[Ranked]:
        """Return what replaced any of `ranked` and was not found itself, as far as the filters let it through."""
        added: list[Ranked] = []
        for _ in range(REPLACED_MAX):
            wanted = missing([*ranked, *added])
            if not wanted:
                break
            entries = await self._entries(conn, tiers, wanted)
            fresh = [entry for entry in entries if passes(entry, asking.filters, asking.moment)]
            if not fresh:
                break
            added += [replacing(closed.candidate(entry), asking.asked_at) for entry in fresh]
        return added

    async def _entries(
        self, conn: Connection, tiers: Sequence[Tier], ids: Sequence[UUID]
    ) -> list[Entry]:
        shelf = self._library.plain
        return [entry for tier in tiers for entry in await shelf.many(conn, tier, ids)]


def _sought(asking: Asking) -> str:
    """Return what is embedded of the question."""
    wanted = asking.question.spoken
    if asking.question.named:
        # A turn of talk has its own time beside it, and there the words of the date do no harm.
        return wanted
    # What was true at a time is seldom said with its date.
    return sought(wanted, asking.asked_at)


def _numbers(asking: Asking, vector: QueryVector | None) -> Sequence[float] | None:
    # A vector of another model than the one asked for before: the model was changed in between.
    asking.degraded = vector is None or vector.model != asking.model
    return vector.numbers if vector is not None and not asking.degraded else None


def _read(asking: Asking, plain: Sequence[str]) -> None:
    sealed = {entry.speaker for entry in asking.sealed.values() if entry.speaker is not None}
    asking.question = read(asking.query, sorted({*plain, *sealed}), asking.asked_at)


async def _noticed(
    conn: Connection, tiers: Sequence[Tier], found: Sequence[Candidate]
) -> Sequence[Candidate]:
    return await noticed(conn, found) if Tier.SENSITIVE in tiers else found


def _marked(
    ranked: list[Ranked], found: Sequence[Candidate], seen: Sequence[Candidate]
) -> list[Ranked]:
    """Return the ranked with the marks of those that were seen: a mark moves nothing in the ranking."""
    marked = {new.id: new for old, new in zip(found, seen, strict=True) if new is not old}
    if not marked:
        return ranked
    return [
        replace(each, candidate=marked.get(each.candidate.id, each.candidate)) for each in ranked
    ]


def _hoped(ranked: Sequence[Ranked], limit: int) -> list[Candidate]:
    """Return what can be among the answers: the best, and the nearest of what is settled."""
    best = [each.candidate for each in ranked[: max(SETTLED_MAX, limit)]]
    nearest = sorted(best, key=lambda each: -(each.cosine or 0.0))[:NEAREST_MAX]
    return list({each.id: each for each in [*best[: limit + BEYOND], *nearest]}.values())


def _told(asking: Asking, found: Sequence[Candidate]) -> set[str]:
    sealed = ((each.speaker, each.text) for each in asking.sealed.values())
    return told_by([*((each.speaker, each.text) for each in found), *sealed])


def _tiers_of(candidates: Sequence[Candidate], tiers: Sequence[Tier]) -> list[Tier]:
    """Return those of the tiers in which any candidate is."""
    held = {each.tier for each in candidates}
    return [tier for tier in tiers if tier in held]


async def _naming(conn: Connection, tiers: Sequence[Tier], asking: Asking) -> dict[UUID, float]:
    """Return memories that name whom the question names, each with how telling that is."""
    names = names_in(asking.question.bare)
    if not names:
        return {}
    found = await arm.entity_ids_for(conn, tiers, names, asking.filters.namespaces)
    if not found:
        return {}
    asking.names = sorted(found)
    ids = [ident for each in found.values() for ident in each]
    roots = await arm.expand(conn, tiers, ids)
    return dict(await arm.memories_of(conn, tiers, roots, NAMING_MAX))
