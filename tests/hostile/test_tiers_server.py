"""What an outside role tries against the server round the tiers: files, extensions, roles, replication, listening."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from tests.hostile.tiers import ABSENT, DENIED, OUTSIDE_ROLES, Attackers, attackers, refused

__all__ = ["attackers"]
as_each_role = pytest.mark.parametrize("role", OUTSIDE_ROLES)


@as_each_role
async def test_28_a_file_or_a_program_cannot_be_reached_by_copy(
    attackers: Attackers, role: str
) -> None:
    async with attackers.become(role) as connection:
        for copy in (
            "COPY (SELECT 1) TO PROGRAM 'id'",
            "COPY (SELECT 1) TO '/tmp/x'",
            "COPY convenience.memory FROM '/etc/passwd'",
            "COPY convenience.memory FROM PROGRAM 'id'",
        ):
            await refused(connection, copy, DENIED, asyncpg.FeatureNotSupportedError)


@as_each_role
async def test_29_a_file_cannot_be_read_by_a_function(attackers: Attackers, role: str) -> None:
    async with attackers.become(role) as connection:
        for call in (
            "pg_read_file('/etc/passwd')",
            "pg_read_binary_file('/etc/passwd')",
            "pg_ls_dir('/')",
            "pg_ls_logdir()",
            "pg_ls_waldir()",
            "pg_stat_file('/etc/passwd')",
            "lo_import('/etc/passwd')",
            "pg_current_logfile()",
        ):
            await refused(connection, f"SELECT * FROM {call}")


@as_each_role
async def test_30_there_are_no_large_objects_and_none_can_be_made(
    attackers: Attackers, role: str
) -> None:
    async with attackers.become(role) as connection:
        for call in (
            "lo_get(1)",
            "lo_create(0)",
            "lo_creat(-1)",
            "lo_from_bytea(0, 'x')",
            "lo_open(1, 1)",
        ):
            await refused(connection, f"SELECT {call}")
    async with attackers.superuser() as above:
        assert await above.fetchval("SELECT count(*) FROM pg_largeobject_metadata") == 0


@as_each_role
async def test_31_no_extension_can_be_installed(attackers: Attackers, role: str) -> None:
    async with attackers.become(role) as connection:
        for name in ("dblink", "postgres_fdw", "file_fdw", "pg_trgm", "adminpack", "pageinspect"):
            await refused(
                connection, f"CREATE EXTENSION {name}", DENIED, asyncpg.FeatureNotSupportedError
            )
        await refused(
            connection, "CREATE SERVER s FOREIGN DATA WRAPPER postgres_fdw", *ABSENT, DENIED
        )


@as_each_role
async def test_32_no_other_role_can_be_assumed(attackers: Attackers, role: str) -> None:
    others = [
        "lares_app",
        "lares_owner",
        "postgres",
        "svc_memory",
        "svc_migrate",
        "pg_read_all_data",
    ]
    others += [other for other in OUTSIDE_ROLES if other != role]
    async with attackers.become(role) as connection:
        for other in others:
            await refused(connection, f"SET ROLE {other}")
            await refused(connection, f"SET SESSION AUTHORIZATION {other}")
        await refused(connection, f"GRANT lares_app TO {attackers.login(role)}")
        await refused(connection, "CREATE ROLE mine SUPERUSER LOGIN")
        await refused(connection, f"ALTER ROLE {attackers.login(role)} SUPERUSER")


@as_each_role
async def test_33_nothing_can_be_created_anywhere(attackers: Attackers, role: str) -> None:
    async with attackers.become(role) as connection:
        for schema in ("public", "convenience", "sensitive", "memory", "edge", "agents", "data"):
            await refused(connection, f"CREATE TABLE {schema}.mine (x int)")
            await refused(connection, f"CREATE VIEW {schema}.mine AS SELECT 1")
        await refused(connection, "CREATE SCHEMA mine")
        await refused(connection, "CREATE DATABASE mine")
        await refused(connection, "CREATE TYPE convenience.mine AS ENUM ('a')")


@as_each_role
async def test_35_no_replication_slot_publication_or_subscription(
    attackers: Attackers, role: str
) -> None:
    async with attackers.become(role) as connection:
        await refused(connection, "SELECT pg_create_logical_replication_slot('s', 'pgoutput')")
        await refused(connection, "SELECT pg_create_physical_replication_slot('s')")
        await refused(connection, "CREATE PUBLICATION p FOR ALL TABLES")
        await refused(connection, "CREATE SUBSCRIPTION s CONNECTION '' PUBLICATION p")
        await refused(connection, "SELECT pg_switch_wal()")


@as_each_role
async def test_36_whoever_listens_hears_ids_and_short_words_alone(
    attackers: Attackers, role: str
) -> None:
    """LISTEN is anybody's right, so what is said there must be worth nothing."""
    heard: list[str] = []
    async with attackers.become(role) as connection, attackers.superuser() as above:
        for channel in await _channels(above):
            await connection.add_listener(channel, lambda *said: heard.append(str(said[3])))
        await above.execute(
            "INSERT INTO edge.person (password, id, username, role, is_active, created_at)"
            " VALUES ('argon2$HASH', gen_random_uuid(), 'canary', 'owner', true, now())"
        )
        await above.execute("UPDATE edge.person SET is_active = false, password = 'argon2$OTHER'")
        await asyncio.sleep(0.3)
        assert heard, "the person's change was to be said"
        for payload in heard:
            assert "canary" not in payload
            assert "argon2" not in payload
            assert len(payload) <= 128


async def _channels(above: asyncpg.Connection) -> set[str]:
    sources = await above.fetch(
        "SELECT substring(prosrc FROM 'pg_notify\\(''([a-z_]+)''') FROM pg_proc WHERE prosrc ~ 'pg_notify\\('"
    )
    return {row[0] for row in sources if row[0]}
