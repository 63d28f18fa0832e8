"""The index of words follows every change of a memory, in its own transaction, and gives nothing away."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any
from uuid import uuid4

import pytest
from contracts.tiers import Tier
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from memory.domain import Filters
from memory.index import postings
from memory.index.search import Search, lexemes, search
from memory.index.statements import NAMED
from memory.index.upkeep import sizes

from tests.integration.memory.index.rows import Row, ranked

pytestmark = pytest.mark.integration
BOTH = Filters(tiers=(Tier.CONVENIENCE, Tier.SENSITIVE))
HOME = Filters(tiers=(Tier.CONVENIENCE,))
WORDS = ["boiler", "garden", "violin", "harbour", "lantern", "pepper", "winter", "copper"]


async def found(
    shelves: Any, query: str, filters: Filters = BOTH, role: str = "lares_app", **who: Any
) -> dict[Any, Any]:
    """Return the terms of every memory that the words of `query` find."""
    async with shelves.open(role, **who) as conn:
        look = Search(filters, 200)
        await look.say(conn, await lexemes(conn, query))
        candidates, _ = look.outcome()
    return {each.id: dict(each.terms) for each in candidates}


async def stored(shelves: Any, tier: str = "convenience") -> tuple[set[str], int, int]:
    """Return the terms in the index, and how many rows and words it counts."""
    async with shelves.open() as conn:
        terms = await conn.fetch(
            f"SELECT term FROM {tier}.posting UNION SELECT lexeme FROM {tier}.posting_fresh, unnest(lexemes)"
        )
        total = await conn.fetchrow(
            f"SELECT coalesce(sum(rows), 0)::int AS rows, coalesce(sum(words), 0)::int AS words FROM"
            f" (SELECT rows, words FROM {tier}.posting_total UNION ALL SELECT 1, words FROM {tier}.posting_fresh) AS one"
        )
    return {row["term"] for row in terms}, total["rows"], total["words"]


@pytest.mark.parametrize("name", sorted(name for name in NAMED if NAMED[name].role == "lares_app"))
@pytest.mark.parametrize("role", ["lares_app", "lares_remote_rw", "lares_readonly"])
async def test_every_statement_is_valid_under_every_role_that_searches(
    shelves: Any, name: str, role: str
) -> None:
    for tier in (Tier.CONVENIENCE, Tier.SENSITIVE):
        async with shelves.open(role) as conn:
            await conn.prepare(str(NAMED[name]).replace("convenience.", f"{tier.value}."))


@pytest.mark.parametrize("folded", [False, True])
async def test_a_memory_is_found_by_its_words_at_once_and_no_longer_when_it_is_gone(
    shelves: Any, folded: bool
) -> None:
    kept, gone = (
        Row("The violin lies in the attic"),
        Row("A violin teacher, violin lessons on Friday"),
    )
    await shelves.put([kept, gone])
    if folded:
        assert await shelves.fold() == 2
    assert await found(shelves, "violins") == {kept.id: {"violin": 1.0}, gone.id: {"violin": 2.0}}

    async with shelves.open() as conn:
        await conn.execute("DELETE FROM convenience.memory WHERE id = $1", gone.id)

    assert await found(shelves, "violin teacher") == {kept.id: {"violin": 1.0}}
    assert await stored(shelves) == ({"violin", "lie", "attic"}, 1, 6)


@pytest.mark.parametrize("folded", [False, True])
async def test_an_edited_text_is_found_by_its_new_words_and_leaves_none_of_the_old(
    shelves: Any, folded: bool
) -> None:
    row = Row("Boiler pressure is low")
    await shelves.put([row])
    if folded:
        await shelves.fold()
    async with shelves.open() as conn:
        await conn.execute(
            "UPDATE convenience.memory SET text = 'Harbour lights' WHERE id = $1", row.id
        )
    assert await found(shelves, "boiler") == {}
    assert await found(shelves, "harbour") == {row.id: {"harbour": 1.0}}
    assert await stored(shelves) == ({"harbour", "light"}, 1, 2)
    await shelves.fold()
    assert await found(shelves, "harbour") == {row.id: {"harbour": 1.0}}
    assert await stored(shelves) == ({"harbour", "light"}, 1, 2)


async def test_what_does_not_touch_the_text_does_not_touch_the_index(shelves: Any) -> None:
    row = Row("Copper pipes")
    await shelves.put([row])
    await shelves.fold()
    async with shelves.open() as conn:
        await conn.execute(
            "UPDATE convenience.memory SET strength = 2, accesses = 5 WHERE id = $1", row.id
        )
        assert await conn.fetchval("SELECT count(*) FROM convenience.posting_fresh") == 0
    assert await found(shelves, "copper") == {row.id: {"copper": 1.0}}


async def test_forgetting_everything_leaves_no_word_and_no_block(shelves: Any) -> None:
    rows = [Row(" ".join(WORDS[number % 5 :])) for number in range(300)]
    await shelves.put(rows)
    await shelves.fold(most=64)
    async with shelves.open() as conn:
        await conn.execute("DELETE FROM convenience.memory")
    assert await stored(shelves) == (set(), 0, 0)
    async with shelves.open() as conn:
        assert await conn.fetchval("SELECT count(*) FROM convenience.posting") == 0


async def test_a_failed_write_leaves_no_word_behind(shelves: Any) -> None:
    with pytest.raises(ZeroDivisionError):
        async with shelves.open() as conn:
            await conn.execute(
                "INSERT INTO convenience.memory (id, subject_id, text, source_kind, created_at, updated_at, accessed_at)"
                " VALUES (gen_random_uuid(), $1, 'pepper', 'note', now(), now(), now())",
                shelves.subject,
            )
            raise ZeroDivisionError
    assert await stored(shelves) == (set(), 0, 0)


async def test_whoever_writes_much_folds_it_and_nothing_waits_for_a_worker(shelves: Any) -> None:
    for start in range(0, 2304, 256):
        await shelves.put([Row(f"{WORDS[n % 8]} number {n}") for n in range(start, start + 256)])
    async with shelves.open() as conn:
        fresh = await conn.fetchval("SELECT count(*) FROM convenience.posting_fresh")
        folded = await conn.fetchval("SELECT sum(rows)::int FROM convenience.posting_total")
    assert fresh < 2048
    assert fresh + folded == 2304
    assert len(await found(shelves, "boiler")) == 200


async def test_a_person_finds_their_own_words_and_counts_no_one_else_s(
    shelves: Any, pg: Any
) -> None:
    other = uuid4()
    mine = Row("garden gate")
    await shelves.put([mine])
    await shelves.put([Row("garden party") for _ in range(20)], other)
    await shelves.fold()
    assert set(await found(shelves, "garden")) == {mine.id}
    async with shelves.open() as conn:
        _, corpus = await search(conn, BOTH, None, ["garden"], 10)
    assert (corpus.rows, dict(corpus.document_frequency)) == (1, {"garden": 1})


async def test_a_private_namespace_is_neither_found_nor_counted_by_another_client(
    shelves: Any, pg: Any, caller_factory: Any
) -> None:
    connection = await pg.connect()
    await connection.execute(
        "INSERT INTO memory.namespace (subject_id, name, shared, clients) VALUES ($1, 'diary', false, '{pen}')",
        shelves.subject,
    )
    await connection.close()
    secret, plain = Row("winter thoughts", namespace="diary"), Row("winter coat")
    await shelves.put([secret, plain])
    for fold in (False, True):
        if fold:
            await shelves.fold()
        for client, expected in (("pen", {secret.id, plain.id}), ("cup", {plain.id})):
            caller = caller_factory(subject=shelves.subject, kind="token", session_id=client).caller
            async with shelves.pool.as_caller(caller) as conn:
                candidates, corpus = await search(conn, BOTH, None, ["winter"], 10)
            assert {each.id for each in candidates} == expected
            assert corpus.document_frequency == {"winter": len(expected)}


async def test_a_role_without_the_sensitive_tier_reads_none_of_its_words(shelves: Any) -> None:
    import asyncpg

    await shelves.put([Row("copper", Tier.SENSITIVE)])
    async with shelves.open("lares_mcp") as conn:
        for table in ("posting", "posting_fresh", "posting_total"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                async with conn.transaction():
                    await conn.fetch(f"SELECT * FROM sensitive.{table}")
    assert await found(shelves, "copper", HOME, "lares_mcp") == {}


async def test_who_forgets_while_another_folds_leaves_nothing(shelves: Any) -> None:
    rows = [Row(" ".join(WORDS)) for _ in range(40)]
    await shelves.put(rows)

    async def forget(row: Row) -> None:
        async with shelves.open() as conn:
            await conn.execute("DELETE FROM convenience.memory WHERE id = $1", row.id)

    await asyncio.gather(
        shelves.fold(most=3), *(forget(row) for row in rows[:30]), shelves.fold(most=5)
    )
    assert (await stored(shelves))[1] == 10
    assert set(await found(shelves, "violin")) == {row.id for row in rows[30:]}
    await shelves.fold()
    assert set(await found(shelves, "violin")) == {row.id for row in rows[30:]}


async def test_a_rebuilt_index_finds_the_same(shelves: Any) -> None:
    rows = [Row(" ".join(WORDS[number % 4 : 6]), list(Tier)[number % 2]) for number in range(50)]
    await shelves.put(rows)
    before = await found(shelves, "lantern violin")
    async with shelves.open() as conn:
        for tier in ("convenience", "sensitive"):
            await conn.execute(f"UPDATE {tier}.posting_fresh SET lexemes = ''")
    assert await found(shelves, "lantern violin") == {}
    async with shelves.open() as conn:
        for tier in ("convenience", "sensitive"):
            assert await conn.fetchval(f"SELECT {tier}.rebuild_postings($1)", shelves.subject) == 25
    assert await found(shelves, "lantern violin") == before


async def test_merged_blocks_hold_the_same_whatever_order_they_came_in(shelves: Any) -> None:
    rows = [Row(" ".join(WORDS[number % 4 : 6])) for number in range(60)]
    await shelves.put(rows[:20])
    await shelves.fold()
    async with shelves.open() as conn:
        # An old memory that is edited lands in a later block, beside younger ones.
        await conn.execute(
            "UPDATE convenience.memory SET text = 'winter violin' WHERE id = $1", rows[0].id
        )
    await shelves.put(rows[20:])
    await shelves.fold(most=7)
    before = await found(shelves, "violin")
    count = "SELECT count(*) FROM convenience.posting WHERE term = 'violin'"
    merge = "SELECT convenience.merge_postings($1, 3)"
    async with shelves.open() as conn:
        assert await conn.fetchval(count) > 2
        assert await conn.fetchval(merge, shelves.subject) > 2
        assert await conn.fetchval(merge, shelves.subject) == 0
        assert await conn.fetchval(count) == 1
        assert (await search(conn, HOME, None, ["violin"], 100))[1].rows == 60
    assert await found(shelves, "violin") == before
    async with shelves.open() as conn:
        await conn.execute("DELETE FROM convenience.memory WHERE id = $1", rows[0].id)
    assert set(await found(shelves, "violin")) == set(before) - {rows[0].id}


async def test_the_service_knows_what_the_index_takes_and_reads_nobody_s_rows(shelves: Any) -> None:
    await shelves.put([Row("lantern")])
    async with shelves.pool.own(read_only=True) as conn:
        found = dict(await sizes(conn))
    assert set(found) == {"texts", "vectors", "words"}
    assert all(size > 0 for size in found.values())


actions = st.lists(
    st.tuples(
        st.sampled_from(["put", "edit", "forget", "fold", "merge"]),
        st.lists(st.sampled_from(WORDS), min_size=1, max_size=12),
        st.integers(0, 30),
        st.sampled_from([Tier.CONVENIENCE, Tier.SENSITIVE]),
    ),
    min_size=1,
    max_size=25,
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(actions, st.lists(st.sampled_from(WORDS), min_size=1, max_size=4, unique=True))
async def test_whatever_is_done_the_scores_are_those_of_the_textbook(
    shelves: Any, done: Any, terms: list[str]
) -> None:
    shelves.subject = uuid4()
    rows: dict[Any, Row] = {}
    for action, words, pick, tier in done:
        text = " ".join(words)
        chosen = list(rows.values())[pick % len(rows)] if rows else None
        if action == "put":
            row = Row(text, tier)
            rows[row.id] = row
            await shelves.put([row])
        elif action == "fold":
            await shelves.fold(tier)
        elif action == "merge":
            async with shelves.open() as conn:
                await conn.execute(f"SELECT {tier.value}.merge_postings($1, 1)", shelves.subject)
        elif chosen is not None:
            async with shelves.open() as conn:
                if action == "edit":
                    chosen.text = text
                    await conn.execute(
                        f"UPDATE {chosen.tier.value}.memory SET text = $2 WHERE id = $1",
                        chosen.id,
                        text,
                    )
                else:
                    del rows[chosen.id]
                    await conn.execute(
                        f"DELETE FROM {chosen.tier.value}.memory WHERE id = $1", chosen.id
                    )
    async with shelves.open() as conn:
        # These words are their own stems but for two; the dictionary says which.
        stems = {word: (await lexemes(conn, word))[0] for word in WORDS}
        asked = [stems[term] for term in terms]
        look = Search(BOTH, 500)
        await look.say(conn, asked)
        candidates, corpus = look.outcome()
    counts = {row.id: Counter(stems[word] for word in row.text.split()) for row in rows.values()}
    sizes = {row.id: len(row.text.split()) for row in rows.values()}
    expected = ranked(counts, sizes, asked) if rows else {}
    seqs = {row["seq"]: ident for ident, row in look._found.items()}
    scores = {seqs[seq]: score for _, seq, score in postings.best(look._said, 500)}
    assert scores == pytest.approx(expected, rel=1e-5)
    assert {each.id for each in candidates} == set(expected)
    assert corpus.rows == len(rows)
    for each in candidates:
        assert dict(each.terms) == {t: counts[each.id][t] for t in asked if counts[each.id][t]}
        assert each.words == sizes[each.id]
