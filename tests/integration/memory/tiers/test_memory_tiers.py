"""A memory's tier decides where it lives and who sees it: asked of the databases themselves."""

from __future__ import annotations

import secrets
from base64 import b64encode
from typing import Any
from uuid import uuid4

import pytest
from contracts.memory import RememberRequest, Tier
from memory.domain import TIERS_OF_ROLE
from memory.errors import SacredUnreadable
from memory.sacred import SacredShelf
from memory.store import statements
from memory.vault import Vault

pytestmark = pytest.mark.integration
PLACES = {
    Tier.CONVENIENCE: ("lares", "convenience.memory"),
    Tier.SENSITIVE: ("lares", "sensitive.memory"),
    Tier.SACRED: ("lares_sacred", "sacred.memory"),
}


# Books that one database keeps for both.
ONLY_PLAIN = ("hold", "move", "namespace", "model")


@pytest.mark.parametrize("name", sorted(statements()))
async def test_every_statement_is_valid_under_its_own_role(bench: Any, name: str) -> None:
    query = statements()[name]
    assert query.role
    assert query.database
    for shelf in (bench.library.plain, bench.library.sacred):
        books = query.role == "svc_memory"
        if not books and (shelf is bench.library.sacred) != (query.database == "lares_sacred"):
            continue
        if shelf is bench.library.sacred and books and any(word in name for word in ONLY_PLAIN):
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


async def test_the_database_grants_each_role_exactly_the_tiers_the_code_names(bench: Any) -> None:
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
    bench: Any,
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


async def test_without_a_subject_the_database_answers_nothing(bench: Any) -> None:
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
    bench: Any, caller_factory: Any
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


async def test_a_sacred_row_says_nothing_without_the_key(bench: Any, caller_factory: Any) -> None:
    ada = caller_factory().caller
    request = RememberRequest(
        text="SACREDCANARY in therapy", tier="sacred", source={"kind": "turn", "ref": "SACREDREF"}
    )
    memory = await bench.remember()(ada, request, "SACREDKEY")
    async with bench.library.sacred.pool.as_caller(ada) as conn:
        entry = await bench.library.sacred.get(conn, Tier.SACRED, memory.id)
        assert entry is not None
        await bench.library.sacred.set_embedding(conn, entry, [0.5] * 384, 1)
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
    bench: Any, caller_factory: Any
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
