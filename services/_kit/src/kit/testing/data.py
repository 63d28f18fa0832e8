"""Fixtures `pg` and `valkey`: the house's own images, started once per run and emptied before each test.

`pg` is migrated by the house's own runner from db/migrations; `valkey` has the house's own access list.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from kit.pool import Database
from kit.testing.containers import Container, run_apart, wait_until

if TYPE_CHECKING:
    from kit.bus import Broker

ROOT = Path(__file__).resolve().parents[5]
POSTGRES_IMAGE, VALKEY_IMAGE = "lares/postgres:dev", "lares/valkey:dev"
LOGINS = (
    *("svc_migrate", "svc_identity", "svc_forward_auth", "svc_memory", "svc_orchestrator"),
    *("svc_model_gateway", "svc_gpu_scheduler"),
)
DATABASES = ("lares", "lares_sacred")
TRUNCATE_TRIES = 5
CONNECT_S = 30
_TABLES = """
SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^(pg_|information_schema)' AND n.nspname <> 'data'
"""


class Postgres:
    """A real Postgres. `database("svc_memory")` is what a service is given to open its pool."""

    def __init__(self, container: Container, secrets_dir: Path) -> None:
        self.container = container
        self.host, self.port = container.host, container.port
        # Laid out as /run/secrets of migrate: for processes started with LARES_SECRETS_DIR.
        self.secrets_dir = secrets_dir
        self._seeded: dict[str, set[str]] = {}

    def password(self, user: str) -> str:
        """Return the password of a login role, or of the superuser `postgres`."""
        name = "superuser_password" if user == "postgres" else f"db_password_{user}"
        return (self.secrets_dir / name).read_text()

    def database(self, user: str, name: str = "lares") -> Database:
        """Return how `user` reaches the database `name`."""
        return Database(self.host, user, self.password(user), name, self.port)

    async def connect(self, user: str = "postgres", name: str = "lares") -> Any:
        """Return a bare asyncpg connection; the test closes it.

        Waits for a place where the role's few connections are all taken: a service keeps some, and those that were
        just closed are let go a moment later.
        """
        import asyncpg

        async with asyncio.timeout(CONNECT_S):
            while True:
                try:
                    return await asyncpg.connect(
                        host=self.host,
                        port=self.port,
                        user=user,
                        password=self.password(user),
                        database=name,
                        timeout=CONNECT_S,
                    )
                except asyncpg.TooManyConnectionsError:
                    await asyncio.sleep(0.1)

    def migrate(self, folder: Path = ROOT / "db" / "migrations") -> int:
        """Bring the cluster up to date as `migrate up` does; return how many files were applied."""
        from migrate import files, runner

        return run_apart(lambda: runner.up(self.migrate_settings(folder), files.read_all(folder)))

    def migrate_settings(self, folder: Path = ROOT / "db" / "migrations", **changed: str) -> Any:
        """Return the settings of a `migrate` run against this cluster."""
        from migrate.settings import Settings

        from kit.settings import read

        return read(Settings, {**self.migrate_env(folder), **changed})

    def migrate_env(self, folder: Path = ROOT / "db" / "migrations") -> dict[str, str]:
        """Return the environment of a `python -m migrate` process against this cluster."""
        return {
            "LARES_SECRETS_DIR": str(self.secrets_dir),
            "LARES_POSTGRES_HOST": self.host,
            "LARES_POSTGRES_PORT": str(self.port),
            "LARES_MIGRATIONS_DIR": str(folder),
        }

    def remember_seeds(self) -> None:
        """Note which tables the migrations themselves filled: `empty` leaves those alone."""
        self._seeded = {name: run_apart(lambda name=name: self._filled(name)) for name in DATABASES}

    def empty(self) -> None:
        """Delete every row that a test wrote, in both databases."""

        async def work() -> None:
            for name in DATABASES:
                filled = sorted(await self._filled(name) - self._seeded.get(name, set()))
                if filled:
                    await self._truncate(name, filled)

        run_apart(work)

    async def _truncate(self, name: str, tables: list[str]) -> None:
        import asyncpg

        connection = await self.connect(name=name)
        try:
            for left in reversed(range(TRUNCATE_TRIES)):
                try:
                    await connection.execute(f"TRUNCATE {', '.join(tables)} CASCADE")
                    return
                except asyncpg.DeadlockDetectedError:
                    # A service that outlives its test may still be writing; it holds its tables in an order of its own.
                    if not left:
                        raise
        finally:
            await connection.close()

    async def _filled(self, name: str) -> set[str]:
        connection = await self.connect(name=name)
        try:
            tables = [row[0] for row in await connection.fetch(_TABLES)]
            if not tables:
                return set()
            asked = " UNION ALL ".join(
                f"SELECT '{table}' WHERE EXISTS (SELECT FROM {table})" for table in tables
            )
            return {row[0] for row in await connection.fetch(asked)}
        finally:
            await connection.close()

    def wait(self) -> None:
        """Return when it takes connections; fail with its log after a minute."""

        async def answers() -> bool:
            try:
                connection = await self.connect(name="postgres")
            except Exception:
                return False
            await connection.close()
            return True

        wait_until(lambda: run_apart(answers), self.container.logs)


class Valkey:
    """A real Valkey with the house's access list. `broker("memory")` is what a service is given."""

    def __init__(self, container: Container, passwords: dict[str, str]) -> None:
        self.container = container
        self.host, self.port = container.host, container.port
        self._passwords = passwords

    def password(self, user: str) -> str:
        """Return the password of a user of the access list."""
        return self._passwords[user]

    def broker(self, user: str) -> Broker:
        """Return how the service `user` (with underscores) reaches it."""
        from kit.bus import Broker

        return Broker(self.host, user, self._passwords[user], self.port)

    def client(self, user: str = "tester") -> Any:
        """Return a blocking client; `tester` may do anything and exists in tests alone."""
        from redis import Redis

        return Redis(
            host=self.host,
            port=self.port,
            username=user,
            password=self._passwords[user],
            decode_responses=True,
            protocol=2,
        )

    def wait(self) -> None:
        """Return when it takes commands; fail with its log after a minute."""
        from redis.exceptions import RedisError

        def answers() -> bool:
            try:
                with self.client() as client:
                    return bool(client.ping())
            except (RedisError, OSError):
                return False

        wait_until(answers, self.container.logs)


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """One Postgres for the run, prepared and migrated. Tests take `pg`, which is emptied for each."""
    server = start_postgres(tmp_path_factory.mktemp("pg-secrets"))
    try:
        server.migrate()
        server.remember_seeds()
        yield server
    finally:
        server.container.remove()


def start_postgres(secrets_dir: Path, shared_memory: str = "128m") -> Postgres:
    """Start a Postgres of its own, bare and not migrated; the caller removes its container."""
    for name in ("superuser_password", *(f"db_password_{login}" for login in LOGINS)):
        (secrets_dir / name).write_text(secrets.token_urlsafe(24))
    server = Postgres(
        Container(
            POSTGRES_IMAGE,
            5432,
            *("--read-only", "--shm-size", shared_memory, "-e", "LARES_BIND=*"),
            *("--tmpfs", "/tmp", "--tmpfs", "/run/postgresql:uid=10020,gid=10020,mode=0700"),
            *("-v", f"{secrets_dir}/superuser_password:/run/secrets/superuser_password:ro"),
        ),
        secrets_dir,
    )
    server.wait()
    return server


@pytest.fixture
def pg(postgres_server: Postgres) -> Postgres:
    """A real Postgres with the house's roles, databases and tables, and no rows but what migrations wrote."""
    postgres_server.empty()
    return postgres_server


@pytest.fixture(scope="session")
def valkey_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """One Valkey for the run. Tests take `valkey`, which is emptied for each."""
    template = (ROOT / "db" / "valkey" / "users.acl.template").read_text()
    passwords: dict[str, str] = {"tester": secrets.token_urlsafe(24)}

    def hashed(found: re.Match[str]) -> str:
        password = passwords.setdefault(found[1], secrets.token_urlsafe(24))
        return hashlib.sha256(password.encode()).hexdigest()

    lines = [line for line in template.splitlines() if line and not line.startswith("#")]
    users = re.sub(r"@SHA256:(\w+)@", hashed, "\n".join(lines))
    tester = hashlib.sha256(passwords["tester"].encode()).hexdigest()
    file = tmp_path_factory.mktemp("valkey-secrets") / "users.acl"
    file.write_text(f"{users}\nuser tester on #{tester} ~* &* +@all\n")
    container = Container(
        VALKEY_IMAGE,
        6379,
        *("--read-only", "-e", "LARES_BIND=0.0.0.0"),
        *("--tmpfs", "/tmp", "--tmpfs", "/run/valkey:uid=10021,gid=10021,mode=0700"),
        *("-v", f"{file}:/run/secrets/users.acl:ro"),
    )
    server = Valkey(container, passwords)
    try:
        server.wait()
        yield server
    finally:
        container.remove()


@pytest.fixture
def valkey(valkey_server: Valkey) -> Valkey:
    """A real Valkey with the house's access list and no keys."""
    with valkey_server.client() as client:
        client.config_set("maxmemory", "96mb")
        client.flushall()
    return valkey_server
