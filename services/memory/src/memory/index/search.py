"""One search: the lexical arm, the vector arm, and what stands beside their findings in a conversation.

The lexical arm needs no vector, so it runs while the query is being embedded; the vector arm is then one statement.
Every statement runs as the caller, so the database decides what is found. Filters never leave a search short: what is
few is compared as a whole, and what is many is walked through until there are enough.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from contracts.tiers import Tier
from kit.pool import Connection

from memory.domain import Filters
from memory.finding import Candidate, Corpus
from memory.index import postings, statements
from memory.index.beside import beside
from memory.index.postings import Said
from memory.index.vectors import cosines
from memory.index.working import ITEMS_MAX, LEVELS, Working

PLAIN = (Tier.CONVENIENCE, Tier.SENSITIVE)
# Up to here all that pass are compared: measured, the index is cheaper only above. Under a filter it has to be walked
# past what does not pass, so that is much further up.
EXACT_ROWS_MAX = 10_000
FILTERED_ROWS_MAX = 25_000
TERMS_MAX = 64
# Eight bytes each, read by one query in one tier; terms beyond are too frequent to tell memories apart.
POSTINGS_MAX = 80_000
# So many of each arm's best have their neighbours looked at.
AROUND = 64
# As many as may have an entity named in them and be filtered by it.
NAMED_MAX = 50_000
EF_SEARCH = 200
# How far the index is walked past what does not pass, before everything is compared instead.
SCAN_MAX = 40_000
# A statement that answers no text.
NOTHING = "SELECT ''::text WHERE false"
# The columns of what a statement answers, after the name of the tier.
_OF, _SIDE, _VECTOR, _SEQ, _ID, _TEXT = range(1, 7)
_TIERS = {tier.value: tier for tier in PLAIN}
# One plan for all: planning anew costs as much as most of these statements. Not where filters leave little: a plan for
# any filter could use the index of none.
_PLANS = {False: "force_generic_plan", True: "force_custom_plan"}
_SETTINGS = {
    "hnsw.ef_search": str(EF_SEARCH),
    "hnsw.iterative_scan": "strict_order",
    "hnsw.max_scan_tuples": str(SCAN_MAX),
    # No memory is asked for twice in a statement: nothing is gained by keeping what was read.
    "enable_memoize": "off",
}


async def lexemes(conn: Connection, text: str) -> list[str]:
    """Return the terms of `text` as the index knows them, each once."""
    return list(await conn.fetchval(statements.NAMED.lexemes, text))[:TERMS_MAX]


async def search(
    conn: Connection,
    filters: Filters,
    vector: Sequence[float] | None,
    terms: Sequence[str],
    limit: int,
    *,
    model: int = 1,
) -> tuple[list[Candidate], Corpus]:
    """Return what both arms find, each at least `limit` when so many exist, with their neighbours, and the corpus."""
    look = Search(filters, limit, model)
    await look.say(conn, terms)
    if vector is not None:
        await look.mean(conn, vector)
    return look.outcome()


class Search:
    """One search over the plain tiers a caller asked for, in one transaction: `say`, then `mean`, then `outcome`."""

    def __init__(
        self, filters: Filters, limit: int, model: int = 1, working: Working | None = None
    ) -> None:
        self._filters = filters
        # Where only what is on one's mind just now is asked for, its vectors are in this process.
        at_hand = filters.levels is not None and LEVELS.issuperset(filters.levels)
        self._working = working if at_hand else None
        self._tiers = tuple(tier for tier in PLAIN if tier in filters.tiers)
        self._limit = limit
        self._model = model
        self._ids: list[UUID] | None = None
        self._said: dict[Tier, Said] = {}
        # By id; a memory found twice is kept as it was found first.
        self._found: dict[UUID, Any] = {}
        self._terms: dict[UUID, Mapping[str, float]] = {}
        self._cosines: dict[UUID, float] = {}
        self._made: dict[UUID, Candidate] = {}
        self._before: dict[UUID, UUID] = {}
        self._after: dict[UUID, UUID] = {}
        # Which memories pass, where that is a small part of all; None when they are many or all.
        self._passing: dict[Tier, list[int]] | None = None
        self._exact = False
        self._ready = False

    async def begin(
        self, conn: Connection, text: str, beside: str = NOTHING
    ) -> tuple[list[str], list[str]]:
        """Return the terms of `text` as `say` takes them, and the texts that another statement answers.

        All in one round trip, with what is to be set for the search's own statements.
        """
        settings = {"plan_cache_mode": _PLANS[_narrow(self._filters)], **_SETTINGS}
        asked = (text, list(settings), list(settings.values()))
        row = await conn.fetchrow(statements.opened(beside), *asked)
        self._ready = True
        return list(row["terms"])[:TERMS_MAX], list(row["beside"])

    async def say(self, conn: Connection, terms: Sequence[str]) -> None:
        """Find by words. It also decides how the vector arm will go, so it runs first, and without terms too."""
        if not self._tiers:
            return
        if not self._ready:
            await self.begin(conn, "")
        if self._filters.entities is not None:
            self._ids = await self._naming(conn, self._filters.entities)
        asked = list(dict.fromkeys(terms))[:TERMS_MAX]
        rows = await conn.fetch(
            self._statement("said"), asked, _texts(self._filters.namespaces), POSTINGS_MAX
        )
        self._said = {
            tier: postings.read([row for row in rows if row["tier"] == tier.value])
            for tier in self._tiers
        }
        await self._weigh(conn)
        best = postings.best(self._said, self._limit, self._passing)
        passed = await self._read(conn, best)
        if passed < self._limit <= len(best):
            await self._read_on(conn, passed)
        # Here and not at the end: the query is still being embedded.
        self._count()

    async def mean(
        self,
        conn: Connection,
        vector: Sequence[float],
        extra: Sequence[UUID] = (),
        subject: UUID | None = None,
        meanwhile: Callable[[list[Candidate], Corpus], None] | None = None,
    ) -> None:
        """Find by meaning, say of everything found by words how near it is, and add the memories in `extra`.

        With the caller's `subject`, the working level is searched in this process where it can be. `meanwhile` is
        given what was found by words, while Postgres is busy.
        """
        if not self._tiers:
            return
        if self._working is not None and subject is not None and not extra:
            for most in (2 * self._limit, ITEMS_MAX):
                ranked = await self._working.search(subject, vector, self._model, most)
                if ranked is None:
                    break
                if await self._at_hand(conn, vector, ranked) or len(ranked) < most:
                    return
        name = "meant_exact" if self._exact else "meant_indexed"
        vectors = {ident: row[_VECTOR] for ident, row in self._found.items()}

        def compare() -> None:
            self._cosines = cosines(vectors, vector)
            if meanwhile is not None:
                meanwhile(*self.outcome())

        rows, _ = await beside(self._near(conn, name, vector, extra), compare)
        if not self._exact and sum(row["side"] == 0 for row in rows) < self._limit:
            # The index gave up among rows that do not pass.
            rows += await self._near(conn, "meant_exact", vector, ())
        self._keep(rows)
        for row in rows:
            if row[_VECTOR] is not None:
                self._cosines.setdefault(row[_ID], row[_VECTOR])

    def outcome(self) -> tuple[list[Candidate], Corpus]:
        """Return everything found, in no order, and what BM25 needs to know of the corpus."""
        self._count()
        found: list[Candidate] = []
        for ident, row in self._found.items():
            candidate = self._made.get(ident)
            if candidate is None:
                candidate = self._made[ident] = Candidate(
                    *(ident, _TIERS[row[0]], row[_TEXT], None, self._terms[ident]),
                    *row[_TEXT + 1 :],
                )
            # These may have become known since.
            candidate.cosine = self._cosines.get(ident)
            candidate.before, candidate.after = self._before.get(ident), self._after.get(ident)
            found.append(candidate)
        said = self._said.values()
        rows, words = sum(each.rows for each in said), sum(each.words for each in said)
        return found, Corpus(rows, words / rows if rows else 1.0, postings.frequencies(said))

    async def _naming(self, conn: Connection, entities: Sequence[UUID]) -> list[UUID]:
        rows = await conn.fetch(self._statement("naming"), list(entities), NAMED_MAX)
        return [row["memory_id"] for row in rows]

    async def _weigh(self, conn: Connection) -> None:
        """Decide whether what passes is few enough to be compared as a whole."""
        if not _narrow(self._filters):
            self._exact = sum(each.rows for each in self._said.values()) <= EXACT_ROWS_MAX
            return
        rows = await conn.fetch(
            self._statement("passing"), *self._arguments(), FILTERED_ROWS_MAX + 1
        )
        if sum(len(row["seqs"]) for row in rows) <= FILTERED_ROWS_MAX:
            self._exact = True
            self._passing = {_TIERS[row["tier"]]: row["seqs"] for row in rows}

    async def _read(self, conn: Connection, best: Sequence[tuple[Tier, int, float]]) -> int:
        """Read what the filters let through of `best`, and its neighbours; return how many of `best` that were."""
        if not best:
            return 0
        seqs: list[list[int]] = []
        for tier in self._tiers:
            seqs.append([seq for each, seq, _ in best if each is tier])
            seqs.append([seq for each, seq, _ in best[:AROUND] if each is tier])
        rows = await conn.fetch(self._statement("found"), *self._arguments(), self._model, *seqs)
        self._keep(rows)
        return sum(row["side"] == 0 for row in rows)

    async def _read_on(self, conn: Connection, passed: int) -> None:
        """Walk on through what shares words, until enough of it passes or there is no more."""
        start, most, ranked = self._limit, self._limit * 8, self._limit
        while ranked >= start and passed < self._limit:
            best = postings.best(self._said, most)
            ranked = len(best)
            passed += await self._read(conn, best[start:])
            start, most = most, most * 4

    async def _at_hand(
        self, conn: Connection, vector: Sequence[float], ranked: Sequence[tuple[Tier, int, float]]
    ) -> bool:
        """Read the nearest as the caller, until enough of them may be seen; say whether there were enough."""
        ranked = [one for one in ranked if one[0] in self._tiers]
        start, step, passed = 0, self._limit, 0
        while start < len(ranked) and passed < self._limit:
            passed += await self._read(conn, ranked[start : start + step])
            start, step = start + step, step * 4
        vectors = {ident: row[_VECTOR] for ident, row in self._found.items()}
        self._cosines = cosines(vectors, vector)
        return passed >= self._limit

    async def _near(
        self, conn: Connection, name: str, vector: Sequence[float], extra: Sequence[UUID]
    ) -> list[Any]:
        text = statements.shaped(self._statement(name), len(vector), self._model)
        asked = (list(vector), self._model, self._limit, AROUND, list(extra))
        return await conn.fetch(text, *self._arguments(), *asked)

    def _keep(self, rows: Sequence[Any]) -> None:
        """Note what was found and what it stands beside."""
        for row in rows:
            ident, neighbour = row[_ID], row[_OF]
            self._found.setdefault(ident, row)
            if neighbour is not None:
                earlier, later = (ident, neighbour) if row[_SIDE] < 0 else (neighbour, ident)
                self._before[later], self._after[earlier] = earlier, later

    def _count(self) -> None:
        """Look up the terms of everything found that has not been counted yet."""
        for tier, said in self._said.items():
            name = tier.value
            waiting = {
                row[_SEQ]: ident
                for ident, row in self._found.items()
                if row[0] == name and ident not in self._terms
            }
            terms = said.terms_of(waiting)
            for seq, ident in waiting.items():
                self._terms[ident] = terms.get(seq, {})

    def _arguments(self) -> tuple[Any, ...]:
        filters = self._filters
        return (
            _texts(filters.namespaces),
            _texts(filters.levels),
            _texts(filters.sources),
            _texts(filters.threads),
            filters.since,
            filters.until,
            filters.archived,
            filters.superseded,
            self._ids,
        )

    def _statement(self, name: str) -> str:
        return statements.joined(name, self._tiers)


def _narrow(filters: Filters) -> bool:
    """Say whether anything beside the namespaces is asked of a memory; those are counted in the index itself."""
    return not filters.superseded or any(
        asked is not None
        for asked in (
            filters.levels,
            filters.sources,
            filters.threads,
            filters.entities,
            filters.since,
            filters.until,
        )
    )


def _texts(words: Iterable[str] | None) -> list[str] | None:
    # The driver takes exactly `str`, and a level is a subclass of it.
    return None if words is None else [str(word) for word in words]
