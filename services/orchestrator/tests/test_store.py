"""The statements and the walls around the tables, tried as the roles that use them."""

from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from orchestrator.store import QUERIES

pytestmark = pytest.mark.integration


async def test_every_statement_can_be_prepared_by_the_role_that_runs_it(pg: Any):
    connection = await pg.connect("svc_orchestrator")
    try:
        for query in QUERIES.values():
            async with connection.transaction():
                if query.role:
                    await connection.execute(f"SET LOCAL ROLE {query.role}")
                await connection.prepare(str(query))
    finally:
        await connection.close()


async def test_the_account_can_be_added_to_and_never_changed(pg: Any):
    connection = await pg.connect("svc_orchestrator")
    try:
        for statement in (
            "UPDATE agents.audit_event SET outcome = 'done'",
            "DELETE FROM agents.audit_event",
            "TRUNCATE agents.audit_event",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
    finally:
        await connection.close()


async def test_the_service_itself_reads_nobodys_conversations(pg: Any):
    connection = await pg.connect("svc_orchestrator")
    try:
        for table in ("sensitive.turn", "sensitive.conversation", "convenience.memory"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.fetch(f"SELECT * FROM {table}")
    finally:
        await connection.close()


@pytest.mark.parametrize("role", ["lares_readonly", "lares_remote_rw", "lares_mcp"])
async def test_no_outside_role_reads_what_people_say_to_the_house(pg: Any, role: str):
    connection = await pg.connect("postgres")
    try:
        await connection.execute(f"SET ROLE {role}")
        for table in ("sensitive.turn", "sensitive.conversation", "agents.audit_event"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.fetch(f"SELECT * FROM {table}")
    finally:
        await connection.close()


async def test_a_row_of_one_person_does_not_exist_for_another(pg: Any):
    ada, eve, conversation = uuid4(), uuid4(), uuid4()
    connection = await pg.connect("svc_orchestrator")
    try:
        async with connection.transaction():
            await connection.execute(f"SET LOCAL ROLE lares_app; SET LOCAL lares.subject = '{ada}'")
            await connection.execute(QUERIES.insert_conversation, conversation, ada, "Ada's")
        async with connection.transaction():
            await connection.execute(f"SET LOCAL ROLE lares_app; SET LOCAL lares.subject = '{eve}'")
            assert await connection.fetch("SELECT * FROM sensitive.conversation") == []
            assert await connection.fetchval(QUERIES.delete_conversation, conversation) is None
            # Nor can Eve plant a row under Ada's name, or hang a turn into Ada's conversation under her own.
            with pytest.raises(asyncpg.PostgresError):
                async with connection.transaction():
                    await connection.execute(QUERIES.insert_conversation, uuid4(), ada, "planted")
            with pytest.raises(asyncpg.ForeignKeyViolationError):
                async with connection.transaction():
                    await connection.execute(
                        QUERIES.insert_turn, uuid4(), conversation, eve, "ask", "hello", "0" * 32
                    )
    finally:
        await connection.close()
