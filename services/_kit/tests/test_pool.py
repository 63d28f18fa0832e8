"""kit.pool against a real Postgres: roles, subjects, loss, and what an error may say."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from uuid import UUID, uuid4

import anyio
import asyncpg
import pytest
from kit.pool import DataSlow, DataUnavailable, Pool, RoleRefused, is_connection_loss
from kit.testing.data import Postgres

pytestmark = pytest.mark.integration


@dataclass(frozen=True)
class Someone:
    subject: UUID
    db_role: str = "lares_app"
    read_only: bool = False
    kind: str = "person"
    session_id: str = "pat:1"


async def _who(connection) -> tuple[str, str, str]:
    row = await connection.fetchrow(
        "SELECT current_user::text AS role, session_user::text AS login,"
        " current_setting('lares.subject', true) AS subject"
    )
    return row["role"], row["login"], row["subject"]


async def test_a_transaction_runs_under_the_callers_role_and_subject(pg: Postgres) -> None:
    someone = Someone(uuid4())
    async with await Pool.open(pg.database("svc_memory")) as pool:
        async with pool.as_caller(someone) as connection:
            assert await _who(connection) == ("lares_app", "svc_memory", str(someone.subject))


async def test_a_transaction_says_whether_the_person_or_which_token_of_theirs_is_asking(
    pg: Postgres,
) -> None:
    async with await Pool.open(pg.database("svc_memory"), max_size=1) as pool:
        for kind, client in (("person", "person"), ("token", "pat:1")):
            async with pool.as_caller(Someone(uuid4(), kind=kind)) as connection:
                assert await connection.fetchval("SELECT current_setting('lares.client')") == client
        async with pool.own() as connection:
            assert not await connection.fetchval("SELECT current_setting('lares.client', true)")
        with pytest.raises(RoleRefused):
            async with pool.as_caller(Someone(uuid4(), kind="token", session_id="pat:1'; --")):
                pass


async def test_the_role_and_subject_do_not_outlive_their_transaction(pg: Postgres) -> None:
    async with await Pool.open(pg.database("svc_memory"), max_size=1) as pool:
        async with pool.as_caller(Someone(uuid4(), "lares_mcp")):
            pass
        async with pool.own() as connection:
            assert await _who(connection) == ("svc_memory", "svc_memory", "")


async def test_a_role_set_for_the_session_by_a_statement_is_gone_with_the_next_transaction(
    pg: Postgres,
) -> None:
    async with await Pool.open(pg.database("svc_memory"), max_size=1) as pool:
        async with pool.own() as connection:
            await connection.execute("SET ROLE lares_app; SET statement_timeout = '1h'")
        async with pool.own() as connection:
            assert (await _who(connection))[0] == "svc_memory"
            assert await connection.fetchval("SHOW statement_timeout") == "15s"


async def test_a_read_only_caller_cannot_write(pg: Postgres) -> None:
    async with await Pool.open(pg.database("svc_memory")) as pool:
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            async with pool.as_caller(Someone(uuid4(), read_only=True)) as connection:
                await connection.execute(
                    "INSERT INTO memory.outbox (event_id, topic, payload) VALUES ($1, 'a.v1', '{}')",
                    uuid4(),
                )


async def test_a_role_outside_the_groups_is_refused_before_any_sql(pg: Postgres) -> None:
    async with await Pool.open(pg.database("svc_memory")) as pool:
        for role in ("lares_owner", "postgres", "svc_memory", 'lares_app"; --'):
            with pytest.raises(RoleRefused):
                async with pool.as_role(role, uuid4()):
                    pytest.fail("the transaction began")


async def test_a_service_cannot_become_a_role_it_was_not_given(pg: Postgres) -> None:
    async with await Pool.open(pg.database("svc_orchestrator")) as pool:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with pool.as_role("lares_mcp", uuid4()):
                pytest.fail("the transaction began")


async def test_a_subject_that_is_no_uuid_never_reaches_sql(pg: Postgres) -> None:
    async with await Pool.open(pg.database("svc_memory")) as pool:
        with pytest.raises(ValueError, match="badly formed"):
            async with pool.as_role("lares_app", "'; RESET ROLE; --"):  # type: ignore[arg-type]
                pytest.fail("the transaction began")


async def test_an_exception_rolls_back_and_a_clean_end_commits(pg: Postgres) -> None:
    insert = "INSERT INTO memory.outbox (event_id, topic, payload) VALUES ($1, 'a.v1', $2)"
    async with await Pool.open(pg.database("svc_memory")) as pool:
        with pytest.raises(RuntimeError):
            async with pool.own() as connection:
                await connection.execute(insert, uuid4(), {"n": 1})
                raise RuntimeError("after the insert")
        async with pool.own() as connection:
            await connection.execute(insert, uuid4(), {"n": 2})
        async with pool.own() as connection:
            rows = await connection.fetch("SELECT payload FROM memory.outbox")
            assert [row["payload"] for row in rows] == [{"n": 2}]


async def test_who_is_cancelled_in_a_transaction_leaves_a_clean_connection_and_no_complaint(
    pg: Postgres,
) -> None:
    complaints: list[str] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _, context: complaints.append(repr(context))
    )
    async with await Pool.open(pg.database("svc_memory"), max_size=1) as pool:
        for step in range(60):
            await pool.ping()
            # As a web framework does when a client goes: every further wait is cancelled, too.
            with anyio.move_on_after(step * 0.0003):
                async with pool.own() as conn:
                    while True:
                        await conn.execute("SELECT set_config('lares.mark', 'left', true)")
                        async for _ in conn.cursor("SELECT generate_series(1, 500)", prefetch=50):
                            pass
        async with pool.own() as conn:
            assert not await conn.fetchval("SELECT current_setting('lares.mark', true)")
    assert complaints == []


async def test_an_error_keeps_its_type_and_place_but_loses_the_rows_values(pg: Postgres) -> None:
    async with await Pool.open(pg.database("svc_memory")) as pool:
        with pytest.raises(asyncpg.CheckViolationError) as caught:
            async with pool.own() as connection:
                await connection.execute(
                    "INSERT INTO memory.outbox (event_id, topic, payload) VALUES ($1, $2, '{}')",
                    uuid4(),
                    "CANARY of a person",
                )
        assert caught.value.sqlstate == "23514"
        assert caught.value.constraint_name == "outbox_topic_check"
        with pytest.raises(asyncpg.InvalidTextRepresentationError) as cast:
            async with pool.own() as connection:
                await connection.fetchval("SELECT ($1::text)::uuid", "CANARY cast")
        with pytest.raises(asyncpg.DataError) as argument:
            async with pool.own() as connection:
                await connection.fetchval("SELECT $1::int", "CANARY argument")
        for error in (caught.value, cast.value, argument.value):
            assert "CANARY" not in repr(error) + str(error) + str(vars(error))
            assert error.__cause__ is None


async def test_a_restart_of_postgres_is_survived_by_the_next_transaction(pg: Postgres) -> None:
    async with await Pool.open(pg.database("svc_memory"), wait_s=10) as pool:
        async with pool.own() as connection:
            await connection.execute("SELECT 1")
        await asyncio.to_thread(pg.container.restart)
        async with pool.own() as connection:
            assert await connection.fetchval("SELECT 1") == 1


async def test_a_lost_postgres_is_a_coded_503_within_the_time_given(pg: Postgres) -> None:
    async with await Pool.open(pg.database("svc_memory"), wait_s=1.0) as pool:
        await pool.ping()
        await asyncio.to_thread(pg.container.kill)
        try:
            begun = asyncio.get_running_loop().time()
            with pytest.raises(DataUnavailable) as caught:
                await pool.ping()
            assert caught.value.status == 503
            assert asyncio.get_running_loop().time() - begun < 4
        finally:
            await asyncio.to_thread(pg.container.start)
            await asyncio.to_thread(pg.wait)


async def test_a_transaction_cut_off_in_the_middle_is_a_coded_503(pg: Postgres) -> None:
    async with await Pool.open(pg.database("svc_memory")) as pool:
        with pytest.raises(DataUnavailable):
            async with pool.own() as connection:
                pid = await connection.fetchval("SELECT pg_backend_pid()")
                admin = await pg.connect()
                await admin.execute(f"SELECT pg_terminate_backend({pid})")
                await admin.close()
                await connection.execute("SELECT 1")


@pytest.mark.parametrize(
    "statement",
    [
        "SET LOCAL statement_timeout = '50ms'; SELECT pg_sleep(5)",
        "SET LOCAL lock_timeout = '50ms'; SELECT pg_advisory_xact_lock(77, 1)",
    ],
)
async def test_a_statement_or_lock_that_takes_too_long_is_a_coded_503_to_try_again(
    pg: Postgres, statement: str
) -> None:
    async with await Pool.open(pg.database("svc_memory")) as pool, pool.own() as holder:
        await holder.execute("SELECT pg_advisory_xact_lock(77, 1)")
        with pytest.raises(DataSlow) as caught:
            async with pool.own() as connection:
                await connection.execute(statement)
        assert (caught.value.code, caught.value.status) == ("data.slow", 503)
        assert caught.value.headers["Retry-After"]


async def test_what_the_driver_stops_waiting_for_is_the_same_503(pg: Postgres) -> None:
    async with await Pool.open(pg.database("svc_memory"), command_timeout_s=0.1) as pool:
        with pytest.raises(DataSlow):
            async with pool.own() as connection:
                await connection.execute("SELECT pg_sleep(5)")
        await pool.ping()


def test_a_driver_that_lost_its_place_has_lost_the_connection() -> None:
    lost = asyncpg.InternalClientError("got result for unknown protocol state 3")
    assert is_connection_loss(lost)


async def test_waiting_for_a_free_connection_has_a_limit(pg: Postgres) -> None:
    async with await Pool.open(pg.database("svc_memory"), max_size=1, wait_s=0.3) as pool:
        async with pool.own():
            with pytest.raises(DataUnavailable):
                await pool.ping()


def test_a_password_is_not_in_what_a_database_prints(pg: Postgres) -> None:
    database = pg.database("svc_memory")
    assert database.password not in repr(database)
