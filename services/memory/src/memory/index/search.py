"""One search: the lexical arm, the vector arm, and what stands beside their findings in a conversation.

The lexical arm needs no vector, so it runs while the query is being embedded; the vector arm is then one statement.
Every statement runs as the caller, so the database decides what is found. Filters never leave a search short: what is
few is compared as a whole, and what is many is walked through until there are enough.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

from contracts.tiers import Tier
from kit import sql
from kit.pool import Connection

from memory.domain import Filters
from memory.finding import Candidate, Corpus
from memory.index import postings
from memory.index.postings import Said

# Up to here all that pass are compared: measured, dearer than the index only above it.
EXACT_ROWS_MAX = 10_000
TERMS_MAX = 64
# Eight bytes each, read by one query in one tier; terms beyond are too frequent to tell memories apart.
POSTINGS_MAX = 150_000
# So many of each arm's best have their neighbours looked at.
AROUND = 64
EF_SEARCH = 200
DIMENSIONS = (256, 384, 512, 768, 1024)
_SCAN_MAX = 40_000
_STATEMENTS = sql.load(Path(__file__).with_name("queries.sql"))
_PLAIN = (Tier.CONVENIENCE, Tier.SENSITIVE)
_NOTHING = Said(0, 0, {}, {})


def statements() -> Mapping[str, sql.Query]:
    """Return every statement by name, with the role and database it is prepared under."""
    return _STATEMENTS


async def lexemes(conn: Connection, text: str) -> list[str]:
    """Return the terms of `text` as the index knows them, each once."""
    return list(await conn.fetchval(_STATEMENTS.lexemes, text))[:TERMS_MAX]


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
    look = Search(filters, limit)
    await look.say(conn, terms)
    if vector is not None:
        await look.mean(conn, vector, model)
    return look.outcome()


class Search:
    """One search over the plain tiers a caller asked for; `say`, then `mean`, then `outcome`."""

    def __init__(self, filters: Filters, limit: int, window: int = 1) -> None:
        self._filters = filters
        self._tiers = tuple(tier for tier in _PLAIN if tier in filters.tiers)
        self._limit = limit
        self._window = window
        self._said: dict[Tier, Said] = {}
        self._found: dict[tuple[Tier, UUID], Any] = {}
        self._cosines: dict[tuple[Tier, UUID], float] = {}
        # Which memories pass, where that is a small part of all; None when they are many or all.
        self._passing: dict[Tier, list[int]] | None = None
        self._exact = False

    async def say(self, conn: Connection, terms: Sequence[str]) -> None:
        """Find by words. It also decides how the vector arm will go, so it runs first and without terms too."""
        if not self._tiers:
            return
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

    async def mean(
        self, conn: Connection, vector: Sequence[float], model: int, extra: Sequence[UUID] = ()
    ) -> None:
        """Find by meaning, and say of everything found by words, and of `extra`, how near it is."""
        if not self._tiers:
            return
        if not self._exact:
            await conn.execute(
                f"SET LOCAL hnsw.ef_search = {EF_SEARCH}; SET LOCAL hnsw.iterative_scan = strict_order;"
                f" SET LOCAL hnsw.max_scan_tuples = {_SCAN_MAX}"
            )
        name = "meant_exact" if self._exact else "meant_indexed"
        near = await self._near(conn, name, vector, model, extra)
        if near < self._limit and not self._exact:
            # The index gave up among rows that do not pass.
            await self._near(conn, "meant_exact", vector, model, ())

    def outcome(self) -> tuple[list[Candidate], Corpus]:
        """Return everything found, in no order, and what BM25 needs to know of the corpus."""
        by_tier: dict[Tier, list[int]] = {}
        for (tier, _), row in self._found.items():
            by_tier.setdefault(tier, []).append(row["seq"])
        terms = {tier: self._said[tier].terms_of(seqs) for tier, seqs in by_tier.items()}
        found = [
            _candidate(tier, row, self._cosines.get((tier, ident)), terms[tier].get(row["seq"], {}))
            for (tier, ident), row in self._found.items()
        ]
        said = self._said.values()
        rows, words = sum(each.rows for each in said), sum(each.words for each in said)
        return found, Corpus(rows, words / rows if rows else 1.0, postings.frequencies(said))

    async def _weigh(self, conn: Connection) -> None:
        """Decide whether what passes is few enough to be compared as a whole."""
        if not _narrow(self._filters):
            self._exact = sum(each.rows for each in self._said.values()) <= EXACT_ROWS_MAX
            return
        rows = await conn.fetch(self._statement("passing"), *self._arguments(), EXACT_ROWS_MAX + 1)
        if len(rows) <= EXACT_ROWS_MAX:
            self._exact = True
            self._passing = {tier: [] for tier in self._tiers}
            for row in rows:
                self._passing[Tier(row["tier"])].append(row["seq"])

    async def _read(self, conn: Connection, best: Sequence[tuple[Tier, int, float]]) -> int:
        """Read what the filters let through of `best`, and its neighbours; return how many of `best` that were."""
        if not best:
            return 0
        places = {(tier, seq) for tier, seq, _ in best}
        seqs: list[list[int]] = []
        for tier in self._tiers:
            seqs.append([seq for each, seq, _ in best if each is tier])
            seqs.append([seq for each, seq, _ in best[:AROUND] if each is tier])
        rows = await conn.fetch(self._statement("found"), *self._arguments(), self._window, *seqs)
        self._keep(rows)
        return sum((Tier(row["tier"]), row["seq"]) in places for row in rows)

    async def _read_on(self, conn: Connection, passed: int) -> None:
        """Walk on through what shares words, until enough of it passes or there is no more."""
        ranked = postings.best(self._said, POSTINGS_MAX)
        start, step = self._limit, self._limit * 8
        while start < len(ranked) and passed < self._limit:
            passed += await self._read(conn, ranked[start : start + step])
            start, step = start + step, step * 4

    async def _near(
        self,
        conn: Connection,
        name: str,
        vector: Sequence[float],
        model: int,
        extra: Sequence[UUID],
    ) -> int:
        rows = await conn.fetch(
            _shaped(self._statement(name), len(vector), model),
            *self._arguments(),
            list(vector),
            model,
            self._limit,
            [ident for _, ident in self._found],
            AROUND,
            self._window,
            list(extra),
        )
        self._keep(row for row in rows if row["id"] is not None)
        for row in rows:
            if row["cosine"] is not None:
                self._cosines[Tier(row["tier"]), row["key"]] = row["cosine"]
        return sum(row["hit"] for row in rows)

    def _keep(self, rows: Iterable[Any]) -> None:
        for row in rows:
            self._found.setdefault((Tier(row["tier"]), row["id"]), row)

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
            None,
        )

    def _statement(self, name: str) -> str:
        return _joined(name, self._tiers)


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


@cache
def _joined(name: str, tiers: tuple[Tier, ...]) -> str:
    """Return a statement over several tiers at once: a round trip costs more than most of them."""
    parts: list[str] = []
    for number, tier in enumerate(tiers):
        text = str(_STATEMENTS[name]).replace("convenience.", f"{tier.value}.")
        if name == "found" and number:
            # Numbers of memories are a tier's own.
            text = text.replace("$11::", "$13::").replace("$12::", "$14::")
        parts.append(f"SELECT '{tier.value}' AS tier, each.* FROM ({text}) AS each")  # noqa: S608
    return " UNION ALL ".join(parts)


@cache
def _shaped(text: str, dimensions: int, model: int) -> str:
    """Return a statement on vectors for one length and slot, as the index of that length and slot is defined."""
    if dimensions not in DIMENSIONS:
        raise ValueError("there is no index for vectors of this length")
    return text.replace("(384)", f"({dimensions})").replace(
        "= 384 AND model % 2 = 1", f"= {dimensions} AND model % 2 = {model % 2}"
    )


def _candidate(tier: Tier, row: Any, cosine: float | None, terms: Mapping[str, float]) -> Candidate:
    return Candidate(
        id=row["id"],
        tier=tier,
        text=row["text"],
        cosine=cosine,
        terms=terms,
        words=row["word_count"],
        thread=row["thread"],
        position=row["position"],
        speaker=row["speaker"],
        occurred_at=row["occurred_at"],
        created_at=row["created_at"],
        level=row["level"],
        strength=row["strength"],
        accesses=row["accesses"],
        accessed_at=row["accessed_at"],
        valid_from=row["valid_from"],
        valid_to=row["valid_to"],
        superseded_by=row["superseded_by"],
        superseded_at=row["superseded_at"],
        namespace=row["namespace"],
    )
