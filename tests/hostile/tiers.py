"""Three attackers inside Postgres: a login as a service has, which may become one outside role and nothing else."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from kit.testing.containers import run_apart
from kit.testing.data import Postgres

OUTSIDE_ROLES = ("lares_readonly", "lares_remote_rw", "lares_mcp")
# What a driver raises when it is not let in, and what a statement gets that asks for what is not its role's.
DENIED = asyncpg.InsufficientPrivilegeError
ABSENT = (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError, asyncpg.UndefinedObjectError)
CANARY = "SACREDTEXT"


@dataclass(frozen=True)
class Attackers:
    """The cluster under attack, with rows of two people in every tier."""

    pg: Postgres
    passwords: dict[str, str]
    victim: UUID
    attacker: UUID

    def login(self, role: str) -> str:
        """Return the login that may become `role`."""
        return f"svc_hostile_{role.removeprefix('lares_')}"

    async def connect(self, role: str, database: str = "lares") -> Any:
        """Log in as the attacker's service does, without becoming anyone yet."""
        return await asyncpg.connect(
            host=self.pg.host,
            port=self.pg.port,
            user=self.login(role),
            password=self.passwords[role],
            database=database,
            timeout=20,
        )

    @contextlib.asynccontextmanager
    async def become(self, role: str, subject: UUID | None = None) -> AsyncGenerator[Any]:
        """Be `role`, as the attacking person (or `subject`), as kit's pool does for a request."""
        connection = await self.connect(role)
        try:
            await connection.execute(f"SET ROLE {role}")
            await connection.execute(
                "SELECT set_config('lares.subject', $1, false)", str(subject or self.attacker)
            )
            yield connection
        finally:
            await connection.close()

    @contextlib.asynccontextmanager
    async def superuser(self, database: str = "lares") -> AsyncGenerator[Any]:
        """Look from above."""
        connection = await self.pg.connect(name=database)
        try:
            yield connection
        finally:
            await connection.close()


_MEMORY = """
INSERT INTO {tier}.memory (id, subject_id, text, source_kind, created_at, updated_at)
VALUES (gen_random_uuid(), $1, $2, 'test', now(), now())
"""
_SACRED = """
INSERT INTO sacred.memory (id, subject_id, key_id, sealed, created_at, updated_at)
VALUES (gen_random_uuid(), $1, 'k1', $2, now(), now())
"""


async def _prepare(pg: Postgres, passwords: dict[str, str], people: tuple[UUID, UUID]) -> None:
    admin = await pg.connect()
    for role, password in passwords.items():
        login = f"svc_hostile_{role.removeprefix('lares_')}"
        await admin.execute(f"CREATE ROLE {login} LOGIN NOINHERIT PASSWORD '{password}'")
        await admin.execute(f"GRANT {role} TO {login}; GRANT CONNECT ON DATABASE lares TO {login}")
    for person in people:
        for tier in ("convenience", "sensitive"):
            await admin.execute(_MEMORY.format(tier=tier), person, f"{tier} words of {person}")
    await admin.close()
    sacred = await pg.connect(name="lares_sacred")
    for person in people:
        # Sealed as the application does it would hide the canary from these tests too.
        await sacred.execute(_SACRED, person, CANARY.encode() * 4)
    await sacred.execute("ANALYZE")
    await sacred.close()


async def _clear(pg: Postgres, roles: tuple[str, ...]) -> None:
    for database in ("lares_sacred", "lares"):
        admin = await pg.connect(name=database)
        for role in roles:
            login = f"svc_hostile_{role.removeprefix('lares_')}"
            if await admin.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", login):
                await admin.execute(f"DROP OWNED BY {login}")
                if database == "lares":
                    await admin.execute(f"DROP ROLE {login}")
        await admin.close()


@pytest.fixture
def attackers(pg: Postgres) -> Iterator[Attackers]:
    """Attackers with a login per outside role, and people whose rows they want."""
    passwords = {role: secrets.token_urlsafe(16) for role in OUTSIDE_ROLES}
    people = (uuid4(), uuid4())
    run_apart(lambda: _clear(pg, OUTSIDE_ROLES))
    run_apart(lambda: _prepare(pg, passwords, people))
    try:
        yield Attackers(pg, passwords, *people)
    finally:
        run_apart(lambda: _clear(pg, OUTSIDE_ROLES))


async def refused(connection: Any, statement: str, *errors: type[Exception]) -> None:
    """Assert that Postgres refuses `statement` (with DENIED unless others are named)."""
    expected = errors or (DENIED,)
    try:
        result = await connection.fetch(statement)
    except expected:
        return
    except asyncpg.PostgresError as error:
        raise AssertionError(f"{statement}: {type(error).__name__}, not refused") from error
    raise AssertionError(f"{statement}: it answered {result!r}")
