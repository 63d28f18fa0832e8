"""What an outside role tries against the tiers, each attempt as each of the three roles. Numbers: the list of attacks."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from tests.hostile.tiers import ABSENT, CANARY, DENIED, OUTSIDE_ROLES, Attackers, attackers, refused

__all__ = ["attackers"]
as_each_role = pytest.mark.parametrize("role", OUTSIDE_ROLES)


@as_each_role
async def test_01_the_sacred_database_cannot_even_be_connected_to(
    attackers: Attackers, role: str
) -> None:
    with pytest.raises(DENIED):
        await attackers.connect(role, "lares_sacred")


@as_each_role
async def test_01_a_sacred_row_cannot_be_read_by_the_role_on_the_memory_service_s_own_connection(
    attackers: Attackers, role: str
) -> None:
    """If a bug took the sacred pool for an outside caller, the database would still say no."""
    connection = await attackers.pg.connect("svc_memory", "lares_sacred")
    try:
        await connection.execute(f"SET ROLE {role}")
        await refused(connection, "SELECT sealed FROM sacred.memory")
        await refused(connection, "SELECT * FROM sacred.outbox")
        await refused(connection, "DELETE FROM sacred.memory")
    finally:
        await connection.close()


@as_each_role
async def test_02_a_plan_over_a_sacred_table_is_refused(attackers: Attackers, role: str) -> None:
    async with attackers.become(role) as connection:
        await refused(connection, "EXPLAIN SELECT * FROM sacred.memory", *ABSENT)
    sacred = await attackers.pg.connect("svc_memory", "lares_sacred")
    try:
        await sacred.execute(f"SET ROLE {role}")
        await refused(sacred, "EXPLAIN SELECT sealed FROM sacred.memory")
    finally:
        await sacred.close()


@as_each_role
async def test_03_to_05_no_name_column_or_row_count_of_a_sacred_table_is_in_the_catalog(
    attackers: Attackers, role: str
) -> None:
    async with attackers.become(role) as connection:
        for query in (
            "SELECT relname, reltuples FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace"
            " WHERE nspname LIKE '%sacred%'",
            "SELECT attname FROM pg_attribute WHERE attname LIKE '%sealed%'",
            "SELECT relname, n_live_tup FROM pg_stat_all_tables WHERE schemaname LIKE '%sacred%'",
            "SELECT table_name FROM information_schema.tables WHERE table_schema LIKE '%sacred%'",
            "SELECT proname FROM pg_proc WHERE prosrc ILIKE '%sacred%'"
            " AND pronamespace <> 'pg_catalog'::regnamespace",
        ):
            assert await connection.fetch(query) == [], query


@as_each_role
async def test_06_no_size_of_anything_sacred_can_be_watched_growing(
    attackers: Attackers, role: str
) -> None:
    async with attackers.superuser("lares_sacred") as above:
        oid = await above.fetchval("SELECT 'sacred.memory'::regclass::oid")
    async with attackers.become(role) as connection:
        assert await connection.fetchval(f"SELECT pg_relation_size({oid}::oid)") is None
        await refused(connection, "SELECT pg_database_size('lares_sacred')")
        await refused(connection, "SELECT pg_tablespace_size('pg_default')")


@as_each_role
async def test_06_no_cluster_wide_statistic_tells_of_the_sacred_database(
    attackers: Attackers, role: str
) -> None:
    async with attackers.become(role) as connection:
        for view in (
            "pg_stat_database",
            "pg_stat_database_conflicts",
            "pg_stat_activity",
            "pg_locks",
            "pg_stat_progress_vacuum",
            "pg_stat_progress_copy",
        ):
            await refused(connection, f"SELECT * FROM {view}")
        oid = await connection.fetchval(
            "SELECT oid FROM pg_database WHERE datname = 'lares_sacred'"
        )
        for function in ("tuples_inserted", "tuples_returned", "xact_commit", "numbackends"):
            await refused(connection, f"SELECT pg_stat_get_db_{function}({oid}::oid)")
        await refused(connection, "SELECT * FROM pg_stat_get_activity(NULL)")
        await refused(connection, "SELECT * FROM pg_lock_status()")


@as_each_role
async def test_09_and_10_no_value_shows_in_the_planner_s_statistics(
    attackers: Attackers, role: str
) -> None:
    async with attackers.superuser() as above:
        await above.execute("ANALYZE convenience.memory, sensitive.memory")
    async with attackers.become(role) as connection:
        assert (
            await connection.fetch(
                "SELECT tablename FROM pg_stats WHERE schemaname LIKE '%sacred%'"
            )
            == []
        )
        # Nor the neighbours' rows of one's own tier: row-level security hides those statistics too.
        tiers = "('sensitive', 'convenience')"
        assert (
            await connection.fetch(f"SELECT tablename FROM pg_stats WHERE schemaname IN {tiers}")
            == []
        )
        for table in ("pg_statistic", "pg_statistic_ext_data", "pg_authid"):
            await refused(connection, f"SELECT count(*) FROM {table}")


@as_each_role
async def test_14_a_temporary_table_cannot_be_put_in_front_of_a_function_s(
    attackers: Attackers, role: str
) -> None:
    async with attackers.become(role) as connection:
        await refused(connection, "CREATE TEMP TABLE memory (id uuid)")
        await refused(connection, "CREATE TABLE pg_temp.memory (id uuid)")
        await refused(connection, "CREATE TEMP VIEW v AS SELECT 1")
        await refused(connection, "CREATE TEMP SEQUENCE s")


@as_each_role
async def test_16_a_new_function_is_nobody_s_to_call(attackers: Attackers, role: str) -> None:
    owner = await attackers.pg.connect("svc_migrate")
    try:
        await owner.execute("SET ROLE lares_owner")
        transaction = owner.transaction()
        await transaction.start()
        await owner.execute(
            "CREATE FUNCTION convenience.f() RETURNS int LANGUAGE sql AS 'SELECT 1'"
        )
        asked = "SELECT has_function_privilege($1, 'convenience.f()', 'EXECUTE')"
        assert await owner.fetchval(asked, role) is False
        await transaction.rollback()
    finally:
        await owner.close()


@as_each_role
async def test_22_nobody_s_statements_can_be_read(attackers: Attackers, role: str) -> None:
    async with attackers.become(role) as connection:
        await refused(connection, "SELECT query FROM pg_stat_activity")
        await refused(connection, "SELECT * FROM pg_stat_statements", *ABSENT)
        await refused(connection, "SELECT pg_stat_get_backend_activity(1)")


@as_each_role
async def test_25_a_function_that_tells_what_it_sees_cannot_be_made(
    attackers: Attackers, role: str
) -> None:
    leak = "(text) RETURNS boolean LANGUAGE {} COST 0.0001 AS $x$ {} $x$"
    async with attackers.become(role) as connection:
        for schema in ("public", "convenience", "pg_temp"):
            await refused(
                connection, f"CREATE FUNCTION {schema}.leak" + leak.format("sql", "SELECT true")
            )
        await refused(connection, "DO $x$ BEGIN RAISE NOTICE 'x'; END $x$")
        await refused(
            connection, "CREATE OPERATOR convenience.=== (FUNCTION = texteq, LEFTARG = text)"
        )


async def test_26_a_plan_s_estimate_tells_nothing_of_a_higher_tier(attackers: Attackers) -> None:
    async with attackers.become("lares_mcp") as connection:
        await refused(connection, "EXPLAIN SELECT * FROM sensitive.memory WHERE text = 'x'")


@as_each_role
async def test_27_row_security_cannot_be_switched_off(attackers: Attackers, role: str) -> None:
    async with attackers.become(role) as connection:
        await connection.execute("SET row_security = off")
        await refused(connection, "SELECT * FROM convenience.memory")


@as_each_role
async def test_27_another_person_s_rows_are_not_there(attackers: Attackers, role: str) -> None:
    async with attackers.become(role) as connection:
        for tier in ("convenience",) if role == "lares_mcp" else ("convenience", "sensitive"):
            found = await connection.fetch(f"SELECT subject_id FROM {tier}.memory")
            assert {row["subject_id"] for row in found} == {attackers.attacker}
            count = await connection.fetchval(
                f"SELECT count(*) FROM {tier}.memory WHERE subject_id = $1", attackers.victim
            )
            assert count == 0


@as_each_role
async def test_27_a_row_cannot_be_written_or_moved_into_another_person_s_name(
    attackers: Attackers, role: str
) -> None:
    if role == "lares_readonly":
        async with attackers.become(role) as connection:
            for tier in ("convenience", "sensitive"):
                await refused(connection, f"UPDATE {tier}.memory SET text = 'x'")
                await refused(connection, f"DELETE FROM {tier}.memory")
                await refused(connection, f"INSERT INTO {tier}.memory DEFAULT VALUES")
        return
    async with attackers.become(role) as connection:
        await refused(
            connection, f"UPDATE convenience.memory SET subject_id = '{attackers.victim}'"
        )
        await refused(
            connection,
            "INSERT INTO convenience.memory (id, subject_id, text, source_kind, created_at, updated_at)"
            f" VALUES (gen_random_uuid(), '{attackers.victim}', 'x', 'test', now(), now())",
        )
        touched = await connection.execute(
            "UPDATE convenience.memory SET text = 'x' WHERE subject_id = $1", attackers.victim
        )
        assert touched == "UPDATE 0"


@as_each_role
async def test_27_without_a_subject_there_is_an_error_and_not_everybody_s_rows(
    attackers: Attackers, role: str
) -> None:
    connection = await attackers.connect(role)
    try:
        await connection.execute(f"SET ROLE {role}")
        missing = (asyncpg.UndefinedObjectError, asyncpg.InvalidTextRepresentationError)
        await refused(connection, "SELECT * FROM convenience.memory", *missing)
        await connection.execute("SELECT set_config('lares.subject', '', false)")
        await refused(connection, "SELECT * FROM convenience.memory", *missing)
    finally:
        await connection.close()


async def test_the_tier_below_is_all_that_an_mcp_client_s_role_can_name(
    attackers: Attackers,
) -> None:
    async with attackers.become("lares_mcp") as connection:
        assert len(await connection.fetch("SELECT * FROM convenience.memory")) == 1
        for table in ("sensitive.memory", "sensitive.conversation", "sensitive.turn"):
            await refused(connection, f"SELECT * FROM {table}")
            await refused(connection, f"DELETE FROM {table}")


@as_each_role
async def test_no_bookkeeping_of_the_house_can_be_read(attackers: Attackers, role: str) -> None:
    async with attackers.superuser() as above:
        tables = await above.fetch(
            "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE n.nspname IN ('edge', 'memory', 'agents', 'data') AND c.relkind IN ('r', 'v', 'm')"
        )
    async with attackers.become(role) as connection:
        for (table,) in tables:
            await refused(connection, f"SELECT * FROM {table}")
            await refused(connection, f"DELETE FROM {table}")


@as_each_role
async def test_39_no_search_by_words_or_meaning_finds_anything_sacred(
    attackers: Attackers, role: str
) -> None:
    async with attackers.become(role) as connection:
        found = await connection.fetch(
            "SELECT id FROM convenience.memory WHERE to_tsvector('english', text) @@ plainto_tsquery('english', $1)"
            " OR text ILIKE '%' || $1 || '%'",
            CANARY,
        )
        assert found == []


@as_each_role
async def test_40_a_dump_by_the_role_s_login_holds_nothing_sacred(
    attackers: Attackers, role: str
) -> None:
    container = attackers.pg.container
    login, password = attackers.login(role), attackers.passwords[role]

    def dump(database: str) -> str:
        address = f"postgresql://{login}:{password}@127.0.0.1/{database}"
        command = f"pg_dump --role={role} '{address}' 2>&1 || true"
        return container.exec("sh", "-c", command)

    for database in ("lares_sacred", "lares"):
        said = await asyncio.to_thread(dump, database)
        assert "permission denied" in said, said[:500]
        assert CANARY not in said
