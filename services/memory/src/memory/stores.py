"""Opens the two databases, for the service and for the worker alike."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from kit.pool import Database, Pool

from memory.library import Library
from memory.plain import PlainShelf
from memory.sacred import SacredShelf
from memory.settings import StoreSettings
from memory.vault import Vault

LOGIN = "svc_memory"


@asynccontextmanager
async def open_library(
    settings: StoreSettings, vault: Vault, plain_max: int, sacred_max: int
) -> AsyncGenerator[Library]:
    """Open both databases' pools; nothing connects before it is used."""

    def database(name: str) -> Database:
        return Database(
            settings.postgres_host, LOGIN, settings.db_password, name, settings.postgres_port
        )

    async with (
        await Pool.open(database("lares"), max_size=plain_max) as plain,
        await Pool.open(database("lares_sacred"), max_size=sacred_max) as sacred,
    ):
        yield Library(PlainShelf(plain), SacredShelf(sacred, vault))
