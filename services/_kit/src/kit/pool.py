"""The way to Postgres: a service logs in as itself and becomes its caller's role for one transaction.

The database decides what a caller sees; this module only makes sure that it is always asked. Inside
`as_caller` the transaction runs under the caller's role with `lares.subject` set, so row-level security holds
whatever the statement says. Errors that leave a transaction have been stripped of the row's values.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn, Protocol
from uuid import UUID

from kit.errors import KitError

if TYPE_CHECKING:
    import asyncpg

# The only roles a transaction may assume: a name never reaches SQL from anywhere else.
GROUP_ROLES = frozenset({"lares_app", "lares_readonly", "lares_remote_rw", "lares_mcp"})
# The client that a person's own session is, and the house's own work for them.
PERSON = "person"
_CLIENT = re.compile(r"[A-Za-z0-9:._-]{1,128}")
_BACKOFF_S = (0.05, 0.1, 0.2, 0.4, 0.8, 1.0)
_RESET = "RESET ROLE; RESET ALL; SELECT pg_advisory_unlock_all(); CLOSE ALL; UNLISTEN *"


class DataUnavailable(KitError):
    """Postgres cannot be reached, or broke off in the middle; nothing is known to be committed."""

    code, status = "data.unavailable", 503
    reason = "The house's database is not answering."
    fix = "Wait a few seconds and try again; if it lasts, look at the postgres container's log."


class DataSlow(DataUnavailable):
    """Postgres took longer than a statement or a lock may take; nothing of the transaction is stored."""

    code, status = "data.slow", 503
    reason = "The house's database took too long, or others held what was needed."
    fix = "Try again in a moment; if it lasts, look at postgres's load and its log."


class RoleRefused(KitError):
    """A caller came with a role that no transaction may assume."""

    code, status = "data.role_refused", 403
    reason = "The caller's role may not reach a person's data."
    fix = "Sign in again; if it lasts, the caller's token was made for something else."


class CallerLike(Protocol):
    """What the pool needs of a caller; `contracts.identity.Caller` is one."""

    @property
    def subject(self) -> UUID: ...
    @property
    def kind(self) -> str: ...
    @property
    def session_id(self) -> str: ...
    @property
    def db_role(self) -> str: ...
    @property
    def read_only(self) -> bool: ...


class Connection(Protocol):
    """One connection inside one transaction (the part of asyncpg's that services use)."""

    async def execute(self, query: str, *args: Any, timeout: float | None = None) -> str: ...
    async def executemany(
        self, command: str, args: Iterable[Any], *, timeout: float | None = None
    ) -> None: ...
    async def fetch(self, query: str, *args: Any, timeout: float | None = None) -> list[Any]: ...
    async def fetchrow(self, query: str, *args: Any, timeout: float | None = None) -> Any: ...
    async def fetchval(
        self, query: str, *args: Any, column: int = 0, timeout: float | None = None
    ) -> Any: ...
    def cursor(self, query: str, *args: Any, prefetch: int | None = None) -> Any: ...
    def transaction(self) -> Any: ...


@dataclass(frozen=True)
class Database:
    """Where a database is and who logs in to it."""

    host: str
    user: str
    password: str = field(repr=False)
    name: str = "lares"
    port: int = 5432


class Pool:
    """A few connections of one login role to one database. Make it with `open`, end it with `close`."""

    def __init__(self, pool: asyncpg.Pool, database: Database, wait_s: float) -> None:
        self._pool = pool
        self._database = database
        self._wait_s = wait_s
        self._undoing: set[asyncio.Task[None]] = set()

    @classmethod
    async def open(
        cls,
        database: Database,
        *,
        max_size: int = 4,
        wait_s: float = 2.0,
        command_timeout_s: float = 20.0,
        idle_s: float = 300.0,
    ) -> Pool:
        """Return a pool at once, also while Postgres is away: the first transaction connects.

        `wait_s` bounds how long a transaction waits for a free or a new connection.
        """
        import asyncpg

        pool = asyncpg.create_pool(
            host=database.host,
            port=database.port,
            user=database.user,
            password=database.password,
            database=database.name,
            min_size=0,
            max_size=max_size,
            timeout=wait_s,
            command_timeout=command_timeout_s,
            max_inactive_connection_lifetime=idle_s,
            init=_prepare,
            reset=_reset,
            server_settings={"application_name": database.user},
        )
        return cls(await pool, database, wait_s)

    async def close(self) -> None:
        """Return when every connection is closed; those still in use after 5 s are cut."""
        try:
            await asyncio.wait_for(self._pool.close(), 5.0)
        except (TimeoutError, OSError):
            self._pool.terminate()

    async def __aenter__(self) -> Pool:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @asynccontextmanager
    async def as_caller(self, caller: CallerLike) -> AsyncGenerator[Connection]:
        """One transaction as the caller: their role, their subject, their client, read only if they are.

        Commits when the block ends, rolls back when it raises. Raises DataUnavailable, RoleRefused.
        """
        async with self._transaction(
            caller.db_role, caller.subject, caller.read_only, client_of(caller)
        ) as connection:
            yield connection

    @asynccontextmanager
    async def as_role(
        self, role: str, subject: UUID, *, read_only: bool = False
    ) -> AsyncGenerator[Connection]:
        """One transaction as a group role for `subject`, for work of the house that outlives its request.

        Raises DataUnavailable, RoleRefused.
        """
        async with self._transaction(role, subject, read_only, PERSON) as connection:
            yield connection

    @asynccontextmanager
    async def own(self, *, read_only: bool = False) -> AsyncGenerator[Connection]:
        """One transaction as the service itself: its own bookkeeping, no person's data.

        Raises DataUnavailable.
        """
        async with self._transaction(None, None, read_only, None) as connection:
            yield connection

    async def ping(self) -> None:
        """Return if a transaction can begin. Raises DataUnavailable."""
        async with self.own(read_only=True) as connection:
            await connection.execute("SELECT 1")

    @asynccontextmanager
    async def _transaction(
        self, role: str | None, subject: UUID | None, read_only: bool, client: str | None
    ) -> AsyncGenerator[Connection]:
        connection, transaction = await self._begin(_preamble(role, subject, client), read_only)
        whole = False
        try:
            yield connection
            await transaction.commit()
            whole = True
        except Exception as error:
            raise_scrubbed(error)
        finally:
            if whole:
                await self._release(connection)
            else:
                await self._undo(connection, transaction)

    async def _undo(self, connection: Any, transaction: Any) -> None:
        """Roll back and give the connection back; done to its end even if whoever waits for it is cancelled again."""

        async def undo() -> None:
            # A rollback over a lost connection has nothing to undo, and must not hide the first error.
            with contextlib.suppress(Exception):
                await transaction.rollback()
            await self._release(connection)

        task = asyncio.create_task(undo())
        self._undoing.add(task)
        task.add_done_callback(self._undoing.discard)
        await asyncio.shield(task)

    async def _begin(self, preamble: str, read_only: bool) -> tuple[Any, Any]:
        """Begin a transaction, trying again within `wait_s`: nothing has happened yet, so that is safe."""
        deadline = asyncio.get_running_loop().time() + self._wait_s
        for pause_s in (*_BACKOFF_S, None):
            left_s = deadline - asyncio.get_running_loop().time()
            connection: Any = None
            try:
                connection = await self._pool.acquire(timeout=max(left_s, 0.05))
                transaction = connection.transaction(readonly=read_only)
                await transaction.start()
                if preamble:
                    await connection.execute(preamble)
                return connection, transaction
            except BaseException as error:
                if connection is not None:
                    if not isinstance(error, Exception):
                        # Cancelled amid its first words: nobody knows how far they came.
                        connection.terminate()
                    await self._release(connection)
                if not isinstance(error, Exception):
                    raise
                last = pause_s is None or left_s <= pause_s
                if last or not (isinstance(error, OSError) or is_connection_loss(error)):
                    raise_scrubbed(error, connecting=True)
            await asyncio.sleep(pause_s or 0.0)
        raise DataUnavailable()

    async def _release(self, connection: Any) -> None:
        try:
            await self._pool.release(connection, timeout=5.0)
        except Exception:
            # The pool has already thrown such a connection away; the caller's own outcome stands.
            return


def client_of(caller: CallerLike) -> str:
    """Return the name by which policies know the caller's client: `person`, or the token's own."""
    return PERSON if caller.kind == PERSON else caller.session_id


def _preamble(role: str | None, subject: UUID | None, client: str | None) -> str:
    if role is None:
        return ""
    if role not in GROUP_ROLES or client is None or not _CLIENT.fullmatch(client):
        raise RoleRefused()
    # No part can hold a quote: one of four constants, a UUID's text, and what the pattern lets through. So one round
    # trip is enough and nothing is injected.
    return (
        f"SET LOCAL ROLE {role}; SET LOCAL lares.subject = '{UUID(str(subject))}';"
        f" SET LOCAL lares.client = '{client}'"
    )


async def _prepare(connection: Any) -> None:
    for kind in ("json", "jsonb"):
        await connection.set_type_codec(
            kind, encoder=_encode, decoder=json.loads, schema="pg_catalog"
        )


def _encode(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


async def _reset(connection: Any) -> None:
    # RESET ALL leaves the role alone, and a role must never outlive its transaction.
    await connection.execute(_RESET)


def is_connection_loss(error: BaseException) -> bool:
    """Say whether `error` means that Postgres went away, is full, or is starting, rather than refused a statement."""
    import asyncpg

    lost = (
        asyncpg.PostgresConnectionError,
        asyncpg.CannotConnectNowError,
        asyncpg.AdminShutdownError,
        asyncpg.CrashShutdownError,
        asyncpg.IdleSessionTimeoutError,
        asyncpg.TooManyConnectionsError,
        # The driver lost its place in the conversation, as it may when the other end is cut off in mid-answer.
        asyncpg.InternalClientError,
        ConnectionError,
    )
    if isinstance(error, lost):
        return True
    return isinstance(error, asyncpg.InterfaceError) and "connect" in str(error)


def is_slowness(error: BaseException) -> bool:
    """Say whether `error` means that a statement, a lock or the driver's wait ran out of time, or met a deadlock."""
    import asyncpg

    slow = (
        asyncpg.QueryCanceledError,
        asyncpg.LockNotAvailableError,
        asyncpg.DeadlockDetectedError,
    )
    # The driver's own limit on a command ends in the plain error, and only statements run inside a transaction.
    return isinstance(error, slow) or type(error) is TimeoutError


def raise_scrubbed(error: Exception, *, connecting: bool = False) -> NoReturn:
    """Raise `error` again without a row's values in it; as DataUnavailable if Postgres was lost.

    A unique violation's DETAIL, a check's failing row and a bad cast's MESSAGE all quote the datum, and an
    exception's text ends in logs and traces. The type, SQLSTATE, table and constraint stay.
    """
    import asyncpg

    if is_connection_loss(error) or (connecting and isinstance(error, (OSError, TimeoutError))):
        raise DataUnavailable() from None
    if is_slowness(error):
        raise DataSlow(Retry_After="1") from None
    if isinstance(error, asyncpg.PostgresError):
        scrub(error)
        raise error from None
    if isinstance(error, asyncpg.InterfaceError) and isinstance(error, ValueError):
        # The driver's own complaint about an argument quotes the argument.
        error.args = ("a query argument has the wrong type or range",)
        raise error from None
    raise error


def scrub(error: Any) -> None:
    """Take out of a Postgres error whatever may quote a row, and leave what names the place."""
    names = [
        f"{label} {value}"
        for label in ("constraint", "table", "column")
        if (value := getattr(error, f"{label}_name", None))
    ]
    where = " on " + ", ".join(names) if names else ""
    text = f"{type(error).__name__} ({error.sqlstate}){where}"
    error.args = (text,)
    error.message = text
    # `query` too: a statement should hold no datum, and one that does must not carry it into a log.
    for attribute in ("detail", "hint", "context", "internal_query", "query"):
        setattr(error, attribute, None)
