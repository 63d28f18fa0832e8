"""Connections to Postgres, waited for within a limit."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
from kit import logs

from migrate.errors import Unavailable
from migrate.roles import OWNER
from migrate.settings import Settings

log = logs.get("migrate")
_PAUSE_S_MAX = 2.0
# What a server that is starting, stopping or full says; a wrong password is among what never gets better.
_PASSING = (
    OSError,
    TimeoutError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
)


async def as_superuser(settings: Settings, database: str) -> Any:
    """Connect as the superuser. Raises Unavailable when Postgres has not answered within `wait_s`."""
    return await _connect(settings, "postgres", settings.superuser_password, database)


async def as_owner(settings: Settings, database: str) -> Any:
    """Connect as svc_migrate and become the owner of everything. Raises Unavailable."""
    connection = await _connect(settings, "svc_migrate", settings.password_svc_migrate, database)
    await connection.execute(f"SET ROLE {OWNER}")
    return connection


async def _connect(settings: Settings, user: str, password: str, database: str) -> Any:
    driver: Any = asyncpg
    loop = asyncio.get_running_loop()
    deadline = loop.time() + settings.wait_s
    pause_s = 0.1
    while True:
        try:
            return await driver.connect(
                host=settings.postgres_host,
                port=settings.postgres_port,
                user=user,
                password=password,
                database=database,
                timeout=max(deadline - loop.time(), 1.0),
                # A migration may take long; what bounds it is the role's statement_timeout.
                command_timeout=None,
                server_settings={"application_name": "migrate", "statement_timeout": "600000"},
            )
        except _PASSING as error:
            if loop.time() + pause_s > deadline:
                raise Unavailable(f"{settings.postgres_host}: {type(error).__name__}") from None
            log.info("migrate.waiting", error_type=type(error).__name__)
        except asyncpg.InvalidAuthorizationSpecificationError as error:
            raise Unavailable(f"Postgres refuses {user}: {type(error).__name__}") from None
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 2, _PAUSE_S_MAX)
