"""A memory's tier decides where it lives, who sees it, and how it moves: nowhere twice, nowhere lost."""

from __future__ import annotations

import asyncio
import secrets
import signal
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from contracts.memory import EditRequest, RememberRequest, Tier
from kit.pool import Pool
from memory.domain import TIERS_OF_ROLE, surviving_tier
from memory.edit import Edit
from memory.errors import SacredUnreadable
from memory.forget import Forget
from memory.library import Library
from memory.move import Move
from memory.remember import Remember
from memory.sacred import SacredShelf
from memory.store import PlainShelf, statements
from memory.vault import Vault

pytestmark = pytest.mark.integration
PLACES = {
    Tier.CONVENIENCE: ("lares", "convenience.memory"),
    Tier.SENSITIVE: ("lares", "sensitive.memory"),
    Tier.SACRED: ("lares_sacred", "sacred.memory"),
}


class Killed(BaseException):
    """The process ends here: nothing after it runs, open transactions roll back."""


@dataclass
class Bench:
    """Memory's use cases over real stores, without HTTP."""

    library: Library
    vault: Vault
    pg: Any

    def remember(self) -> Remember:
        return Remember(self.library, self.vault, lambda _: None)

    def edit(self) -> Edit:
        return Edit(self.library, Move(self.library), lambda _: None)

    async def places(self, memory_id: UUID) -> set[Tier]:
        """Return the tiers in which there is a row of this memory, seen past every wall."""
        found: set[Tier] = set()
        for tier, (database, table) in PLACES.items():
            connection = await self.pg.connect(name=database)
            if await connection.fetchval(f"SELECT count(*) FROM {table} WHERE id = $1", memory_id):
                found.add(tier)
            await connection.close()
        return found

    async def fetch(self, statement: str, *arguments: Any, database: str = "lares") -> Any:
        connection = await self.pg.connect(name=database)
        try:
            return await connection.fetch(statement, *arguments)
        finally:
            await connection.close()


@pytest.fixture
async def bench(pg: Any) -> AsyncIterator[Bench]:
    vault = Vault(b64encode(secrets.token_bytes(32)).decode())
    async with (
        await Pool.open(pg.database("svc_memory"), max_size=8) as plain,
        await Pool.open(pg.database("svc_memory", "lares_sacred"), max_size=4) as sacred,
    ):
        yield Bench(Library(PlainShelf(plain), SacredShelf(sacred, vault)), vault, pg)


@pytest.mark.parametrize("name", sorted(statements()))
async def test_every_statement_is_valid_under_its_own_role(bench: Bench, name: str) -> None:
    query = statements()[name]
    assert query.role
    assert query.database
    for shelf in (bench.library.plain, bench.library.sacred):
        books = query.role == "svc_memory"
        if not books and (shelf is bench.library.sacred) != (query.database == "lares_sacred"):
            continue
        if shelf is bench.library.sacred and any(word in name for word in ("hold", "move")):
            continue
        async with shelf.pool.own() as conn:
            if not books:
                await conn.execute(f"SET LOCAL ROLE {query.role}")
                await conn.execute(f"SET LOCAL lares.subject = '{uuid4()}'")
            texts = [shelf._text[name]]
            if shelf is bench.library.plain and not books:
                texts = [
                    bench.library.plain.text(name, tier)
                    for tier in (Tier.CONVENIENCE, Tier.SENSITIVE)
                ]
            for text in texts:
                await conn.prepare(text)  # type: ignore[attr-defined]


async def test_the_database_grants_each_role_exactly_the_tiers_the_code_names(bench: Bench) -> None:
    for role, tiers in TIERS_OF_ROLE.items():
        for tier, (database, table) in PLACES.items():
            row = await bench.fetch(
                f"SELECT has_table_privilege('{role}', '{table}', 'SELECT') AND"
                f" has_schema_privilege('{role}', '{tier.value}', 'USAGE') AS reads,"
                f" has_table_privilege('{role}', '{table}', 'INSERT, UPDATE, DELETE') AS writes",
                database=database,
            )
            assert row[0]["reads"] == (tier in tiers), (role, tier)
            assert row[0]["writes"] == (tier in tiers and role != "lares_readonly"), (role, tier)


async def test_the_service_itself_reads_no_memory_and_no_caller_reads_the_books(
    bench: Bench,
) -> None:
    for tier, (database, table) in PLACES.items():
        row = await bench.fetch(
            f"SELECT has_table_privilege('svc_memory', '{table}', 'SELECT, INSERT, UPDATE, DELETE') AS may",
            database=database,
        )
        assert row[0]["may"] is False, tier
    for database, schema in (("lares", "memory"), ("lares_sacred", "sacred")):
        for table in ("pending_embedding", "tombstone", "remember_key"):
            for role in TIERS_OF_ROLE:
                row = await bench.fetch(
                    f"SELECT has_table_privilege('{role}', '{schema}.{table}', 'SELECT, INSERT, UPDATE, DELETE') AS may",
                    database=database,
                )
                assert row[0]["may"] is False, (role, table)


async def test_without_a_subject_the_database_answers_nothing(bench: Bench) -> None:
    import asyncpg

    connection = await bench.pg.connect("svc_memory")
    try:
        async with connection.transaction():
            await connection.execute("SET LOCAL ROLE lares_app")
            with pytest.raises(asyncpg.PostgresError):
                await connection.fetch("SELECT * FROM convenience.memory")
    finally:
        await connection.close()


async def test_nobody_can_write_a_memory_into_another_persons_name(
    bench: Bench, caller_factory: Any
) -> None:
    import asyncpg

    ada, bob = caller_factory().caller, caller_factory().caller
    memory = await bench.remember()(ada, RememberRequest(text="mine"))
    async with bench.library.plain.pool.as_caller(ada) as conn:
        entry = await bench.library.plain.get(conn, Tier.CONVENIENCE, memory.id)
    assert entry is not None
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with bench.library.plain.pool.as_caller(bob) as conn:
            await conn.execute(
                "INSERT INTO convenience.memory (id, subject_id, text, source_kind, created_at, updated_at)"
                " VALUES ($1, $2, 'planted', 'api', now(), now())",
                uuid4(),
                ada.subject,
            )


async def test_a_sacred_row_says_nothing_without_the_key(bench: Bench, caller_factory: Any) -> None:
    ada = caller_factory().caller
    request = RememberRequest(
        text="SACREDCANARY in therapy", tier="sacred", source={"kind": "turn", "ref": "SACREDREF"}
    )
    memory = await bench.remember()(ada, request, "SACREDKEY")
    async with bench.library.sacred.pool.as_caller(ada) as conn:
        entry = await bench.library.sacred.get(conn, Tier.SACRED, memory.id)
        assert entry is not None
        await bench.library.sacred.set_embedding(conn, entry, [0.5] * 384)
    for database in ("lares", "lares_sacred"):
        tables = await bench.fetch(
            "SELECT schemaname, tablename FROM pg_tables WHERE schemaname !~ '^(pg_|information_schema)'",
            database=database,
        )
        for table in tables:
            rows = await bench.fetch(
                f"SELECT t::text AS said FROM {table['schemaname']}.{table['tablename']} AS t",
                database=database,
            )
            for row in rows:
                for secret in (
                    "SACREDCANARY",
                    "SACREDREF",
                    "SACREDKEY",
                    b"SACREDCANARY".hex(),
                    "0000003f" * 4,
                ):
                    assert secret not in row["said"], table
    other = SacredShelf(
        bench.library.sacred.pool, Vault(b64encode(secrets.token_bytes(32)).decode())
    )
    async with bench.library.sacred.pool.as_caller(ada) as conn:
        with pytest.raises(SacredUnreadable):
            await other.get(conn, Tier.SACRED, memory.id)


async def test_a_sealed_value_opens_only_in_its_own_row_and_column(
    bench: Bench, caller_factory: Any
) -> None:
    ada = caller_factory().caller
    first = await bench.remember()(ada, RememberRequest(text="first", tier="sacred"))
    second = await bench.remember()(ada, RememberRequest(text="second", tier="sacred"))
    await bench.fetch(
        "UPDATE sacred.memory SET sealed = (SELECT sealed FROM sacred.memory WHERE id = $1) WHERE id = $2",
        first.id,
        second.id,
        database="lares_sacred",
    )
    async with bench.library.sacred.pool.as_caller(ada) as conn:
        assert (await bench.library.sacred.get(conn, Tier.SACRED, first.id)).text == "first"  # type: ignore[union-attr]
        with pytest.raises(SacredUnreadable):
            await bench.library.sacred.get(conn, Tier.SACRED, second.id)


@pytest.mark.parametrize("from_tier", list(Tier))
@pytest.mark.parametrize("to_tier", list(Tier))
async def test_a_move_carries_everything_and_leaves_nothing(
    bench: Bench, caller_factory: Any, from_tier: Tier, to_tier: Tier
) -> None:
    ada = caller_factory().caller
    memory = await bench.remember()(
        ada, RememberRequest(text="Wandering", tier=from_tier.value, source={"kind": "turn"})
    )
    shelf = bench.library.shelf(from_tier)
    async with shelf.pool.as_caller(ada) as conn:
        entry = await shelf.get(conn, from_tier, memory.id)
        assert entry is not None
        assert await shelf.set_embedding(conn, entry, [0.25] * 384)

    moved = await bench.edit()(ada, memory.id, EditRequest(tier=to_tier.value))

    assert await bench.places(memory.id) == {to_tier}
    assert moved.model_copy(update={"tier": from_tier, "embedded": False}) == memory
    assert moved.embedded is True
    target = bench.library.shelf(to_tier)
    async with target.pool.as_caller(ada) as conn:
        kept = await target.take(conn, to_tier, memory.id)
    assert kept is not None
    assert kept.embedding is not None
    assert list(kept.embedding) == [0.25] * 384
    assert await bench.fetch("SELECT * FROM memory.tier_move") == []


@pytest.mark.parametrize("killed_at", [1, 2, 3, 4, 5, "notes"])
@pytest.mark.parametrize(
    ("from_tier", "to_tier"), [(Tier.CONVENIENCE, Tier.SACRED), (Tier.SACRED, Tier.SENSITIVE)]
)
async def test_a_move_killed_at_any_step_leaves_one_copy_in_the_more_private_place(
    bench: Bench,
    caller_factory: Any,
    monkeypatch: pytest.MonkeyPatch,
    from_tier: Tier,
    to_tier: Tier,
    killed_at: int | str,
) -> None:
    ada = caller_factory().caller
    memory = await bench.remember()(
        ada, RememberRequest(text="Do not lose me", tier=from_tier.value)
    )
    entry = await bench.library.find(ada, memory.id)
    with monkeypatch.context() as patch:
        kill(patch, bench, killed_at)
        with pytest.raises(Killed):
            await Move(bench.library)(ada, entry, to_tier)
    present = await bench.places(memory.id)
    assert present, "the memory was nowhere"

    await Move(bench.library).settle_all()

    expected = surviving_tier(from_tier, to_tier, present, forgotten=False)
    assert await bench.places(memory.id) == {expected}
    assert (await bench.library.find(ada, memory.id)).text == "Do not lose me"
    assert await bench.fetch("SELECT * FROM memory.tier_move") == []
    due = [
        *(await bench.fetch("SELECT tier FROM memory.pending_embedding")),
        *(await bench.fetch("SELECT tier FROM sacred.pending_embedding", database="lares_sacred")),
    ]
    assert [row["tier"] for row in due] == [expected.value if expected else None]


def kill(patch: pytest.MonkeyPatch, bench: Bench, at: int | str) -> None:
    """End the process at the `at`-th transaction, or after the source is gone and before the note is struck."""
    begun = 0
    begin = Pool._begin

    async def counted(self: Pool, *arguments: Any) -> Any:
        nonlocal begun
        begun += 1
        if begun == at:
            raise Killed
        return await begin(self, *arguments)

    patch.setattr(Pool, "_begin", counted)
    if at != "notes":
        return
    own = bench.library.plain.pool.own

    @asynccontextmanager
    async def cut(**options: Any) -> AsyncIterator[Any]:
        async with own(**options) as conn:
            yield conn
            if begun >= 5:
                raise Killed

    patch.setattr(bench.library.plain.pool, "own", cut)


async def test_forgetting_wins_over_an_interrupted_move(
    bench: Bench, caller_factory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = caller_factory().caller
    memory = await bench.remember()(ada, RememberRequest(text="Gone for good"))
    entry = await bench.library.find(ada, memory.id)
    with monkeypatch.context() as patch:
        kill(patch, bench, 4)
        with pytest.raises(Killed):
            await Move(bench.library)(ada, entry, Tier.SACRED)
    assert len(await bench.places(memory.id)) == 2
    # A token that cannot even see the sacred copy forgets: the sacred copy must go, too.
    token = caller_factory(
        subject=ada.subject,
        kind="token",
        db_role="lares_mcp",
        scopes=("memory:read", "memory:write"),
    ).caller

    await Forget(bench.library, lambda _: None)(token, memory.id)
    await Move(bench.library).settle_all()

    assert await bench.places(memory.id) == set()
    assert await bench.fetch("SELECT * FROM memory.tier_move") == []


async def test_a_raised_memory_is_never_written_below_its_new_tier(
    bench: Bench, caller_factory: Any
) -> None:
    ada = caller_factory().caller
    memory = await bench.remember()(ada, RememberRequest(text="harmless"))
    seen: list[str] = []
    plain_revise = bench.library.plain.revise

    async def watched(conn: Any, entry: Any, text: str, *rest: Any) -> Any:
        seen.append(text)
        return await plain_revise(conn, entry, text, *rest)

    bench.library.plain.revise = watched  # type: ignore[method-assign]
    edited = await bench.edit()(ada, memory.id, EditRequest(text="my diagnosis", tier="sacred"))
    assert (edited.text, edited.tier, seen) == ("my diagnosis", Tier.SACRED, [])
    lowered = await bench.edit()(
        ada, memory.id, EditRequest(text="harmless again", tier="convenience")
    )
    assert (lowered.text, lowered.tier, seen) == ("harmless again", Tier.CONVENIENCE, [])


async def test_a_service_killed_amid_moves_loses_and_doubles_nothing(
    memory_house: Any, memory_service: Any, bench: Bench, caller_factory: Any, until: Any
) -> None:
    ada = caller_factory()
    victim = memory_house.service()
    ids: list[UUID] = []
    async with httpx.AsyncClient(
        base_url=memory_service.url, headers=ada.headers, trust_env=False
    ) as client:
        for number in range(6):
            answer = await client.post("/v1/memories", json={"text": f"Number {number}"})
            ids.append(UUID(answer.json()["id"]))

    async def flip(memory_id: UUID) -> None:
        async with httpx.AsyncClient(
            base_url=victim.url, headers=ada.headers, trust_env=False, timeout=5
        ) as client:
            for turn in range(1000):
                try:
                    tier = ("sacred", "convenience")[turn % 2]
                    await client.patch(f"/v1/memories/{memory_id}", json={"tier": tier})
                except httpx.HTTPError:
                    return

    for pause in (0.15, 0.25, 0.4, 0.55):
        victim.start()
        flips = [asyncio.create_task(flip(memory_id)) for memory_id in ids]
        await asyncio.sleep(pause)
        victim.stop(signal.SIGKILL)
        await asyncio.gather(*flips)
    await asyncio.sleep(0.2)
    await Move(Library(bench.library.plain, bench.library.sacred)).settle_all()
    for memory_id in ids:
        assert len(await bench.places(memory_id)) == 1
    assert await bench.fetch("SELECT * FROM memory.tier_move") == []


async def test_a_search_returns_k_of_k_among_other_peoples_memories(
    bench: Bench, caller_factory: Any
) -> None:
    ada, crowd = caller_factory().caller, caller_factory().caller
    fill = """
        INSERT INTO convenience.memory (id, subject_id, text, source_kind, created_at, updated_at, embedding)
        SELECT gen_random_uuid(), $1, 'row ' || n, 'api', now(), now(),
               (SELECT array_agg(random() - $3::float8) FROM generate_series(1, 384) AS g WHERE g + n > 0)::halfvec(384)
        FROM generate_series(1, $2::int) AS n"""
    await bench.fetch(fill, crowd.subject, 1500, 0.9)
    # Ada's few lie far from the query, the crowd's close: a filter after the index would find none of hers.
    await bench.fetch(fill, ada.subject, 60, 0.1)
    shelf = bench.library.plain
    async with shelf.pool.as_caller(ada) as conn:
        found = await shelf.near(conn, Tier.CONVENIENCE, [-0.4] * 384, 50)
    assert len(found) == 50


async def test_a_long_list_is_searched_by_index_and_still_whole(
    bench: Bench, caller_factory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("memory.store.NEAR_EXACT_ROWS_MAX", 500)
    ada, crowd = caller_factory().caller, caller_factory().caller
    fill = """
        INSERT INTO convenience.memory (id, subject_id, text, source_kind, created_at, updated_at, embedding)
        SELECT gen_random_uuid(), $1, 'row ' || n, 'api', now(), now(),
               (SELECT array_agg(random() - 0.5) FROM generate_series(1, 384) AS g WHERE g + n > 0)::halfvec(384)
        FROM generate_series(1, $2::int) AS n"""
    await bench.fetch(fill, crowd.subject, 900)
    await bench.fetch(fill, ada.subject, 600)
    shelf = bench.library.plain
    query = [((number * 7919) % 100) / 100 - 0.5 for number in range(384)]
    async with shelf.pool.as_caller(ada) as conn:
        by_index = await shelf.near(conn, Tier.CONVENIENCE, query, 50)
        monkeypatch.setattr("memory.store.NEAR_EXACT_ROWS_MAX", 5000)
        exact = await shelf.near(conn, Tier.CONVENIENCE, query, 50)
    assert len(by_index) == 50
    assert len({hit.id for hit in by_index} & {hit.id for hit in exact}) >= 45
