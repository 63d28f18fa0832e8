"""Levels over real stores: rows put where a test wants them, the loop under a clock of its own, and real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from contracts.memory import CHANGED_TOPIC
from kit.bus.message import parse, stream_key
from kit.clock import FakeClock
from kit.pool import Pool
from memory.levels.act import Actor
from memory.levels.chores import Chores
from memory.levels.loop import Loop, Seat
from memory.levels.observe import Observer
from memory.levels.plan import LIMITS, Limits
from memory.levels.store import LevelStore
from memory.plain import PlainShelf

ROOT = Path(__file__).resolve().parents[4]
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
DATABASES = {"convenience": "lares", "sensitive": "lares", "sacred": "lares_sacred"}
COLUMNS = "level, strength, accesses, accessed_at, expires_at, archived_at"


@dataclass
class House:
    """One person's memories, and an eye that sees past every wall."""

    pg: Any
    store: LevelStore
    clock: FakeClock
    valkey: Any
    subject: UUID = field(default_factory=uuid4)
    now: datetime = NOW

    async def fetch(self, statement: str, *arguments: Any, database: str = "lares") -> Any:
        connection = await self.pg.connect(name=database)
        try:
            # What hangs on a row is cleared by triggers, which ask whose it is.
            await connection.execute(f"SET lares.subject = '{self.subject}'")
            await connection.execute("SET lares.client = 'person'")
            return await connection.fetch(statement, *arguments)
        finally:
            await connection.close()

    async def put(
        self, level: str, tier: str = "convenience", *, subject: UUID | None = None, **changed: Any
    ) -> UUID:
        """Put a memory into a level, as old and as used as the test says."""
        row: dict[str, Any] = {
            "id": uuid4(),
            "subject_id": subject or self.subject,
            "created_at": self.now - timedelta(days=30),
            "updated_at": self.now - timedelta(days=30),
            "level": level,
            "strength": 1.0,
            "accesses": 0,
            "accessed_at": self.now,
            "expires_at": LIMITS.expires_at(level, self.now),
            "archived_at": None,
            "namespace": "home",
        }
        if tier == "sacred":
            row |= {"key_id": "k1", "sealed": b"\0" * 40}
        else:
            row |= {"text": f"a memory {row['id']}", "source_kind": "test"}
        row |= changed
        places = ", ".join(f"${number}" for number in range(1, len(row) + 1))
        books = "sacred" if tier == "sacred" else "memory"
        await self.fetch(
            f"INSERT INTO {books}.subject (subject_id) VALUES ($1) ON CONFLICT DO NOTHING",
            row["subject_id"],
            database=DATABASES[tier],
        )
        await self.fetch(
            f"INSERT INTO {tier}.memory ({', '.join(row)}) VALUES ({places})",
            *row.values(),
            database=DATABASES[tier],
        )
        return row["id"]

    async def row(self, memory_id: UUID, tier: str = "convenience") -> dict[str, Any]:
        """Return where a memory stands."""
        rows = await self.fetch(
            f"SELECT {COLUMNS} FROM {tier}.memory WHERE id = $1",
            memory_id,
            database=DATABASES[tier],
        )
        return dict(rows[0])

    async def rows(self, tier: str = "convenience") -> dict[UUID, dict[str, Any]]:
        """Return where every memory of a tier stands."""
        rows = await self.fetch(
            f"SELECT id, {COLUMNS} FROM {tier}.memory", database=DATABASES[tier]
        )
        return {row["id"]: {k: row[k] for k in row.keys() if k != "id"} for row in rows}  # noqa: SIM118

    async def journal(self, tier: str = "convenience") -> list[dict[str, Any]]:
        """Return the journal of a tier's database, oldest first."""
        books = "sacred" if tier == "sacred" else "memory"
        rows = await self.fetch(
            f"SELECT * FROM {books}.consolidation_move ORDER BY id", database=DATABASES[tier]
        )
        return [dict(row) for row in rows]

    async def told(self, *, sacred: bool = False) -> list[dict[str, Any]]:
        """Return what was announced of this person's memories of a database.

        Rows that wait are read first: a relay of another test's process may publish them at any moment.
        """
        rows = await self.fetch(
            f"SELECT event_id, payload FROM {'sacred' if sacred else 'memory'}.outbox",
            database=DATABASES["sacred" if sacred else "convenience"],
        )
        found = {row["event_id"]: json.loads(row["payload"]) for row in rows}
        with self.valkey.client() as client:
            for entry_id, entry in client.xrange(stream_key(CHANGED_TOPIC)):
                message = parse(CHANGED_TOPIC, entry_id, entry)
                if (message.payload["tier"] == "sacred") == sacred:
                    found[message.event_id] = message.payload
        return [said for said in found.values() if said["subject_id"] == str(self.subject)]

    async def everything(self) -> dict[str, list[Any]]:
        """Return every row of both databases: what a run that writes nothing must leave as it is."""
        found: dict[str, list[Any]] = {}
        for database in ("lares", "lares_sacred"):
            tables = await self.fetch(
                "SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables"
                " WHERE schemaname !~ '^(pg_|information_schema)'",
                database=database,
            )
            for table in tables:
                rows = await self.fetch(f"SELECT t::text FROM {table['name']} t", database=database)
                found[f"{database}.{table['name']}"] = sorted(row["t"] for row in rows)
        return found

    def loop(
        self,
        *,
        limits: Limits = LIMITS,
        mode: str = "on",
        moves_max: int = 1000,
        actor: Any = None,
    ) -> Loop:
        """Return the loop, whose rounds the test runs by hand."""
        shelf = PlainShelf(self.store.plain)
        chores: Any = Chores(_Nothing(self.clock), ())
        return Loop(
            self.store,
            Observer(self.store, limits, shelf),
            actor or Actor(self.store, limits, shelf),
            chores,
            name="test",
            mode=mode,
            every_s=60.0,
            moves_max=moves_max,
            clock=self.clock,
        )

    async def round(self, **changed: Any) -> Any:
        """Run one round as the leader."""
        loop = self.loop(**changed)
        async with self.store.plain.own() as conn:
            assert await self.store.take_lead(conn)
            return await loop.once(Seat(conn))


@dataclass
class _Nothing:
    """A desk without chores."""

    clock: FakeClock


@pytest.fixture
async def house(pg: Any, valkey: Any) -> AsyncIterator[House]:
    """A house whose time stands still."""
    async with (
        await Pool.open(pg.database("svc_memory"), max_size=8) as plain,
        await Pool.open(pg.database("svc_memory", "lares_sacred"), max_size=4) as sacred,
    ):
        yield House(pg, LevelStore(plain, sacred), FakeClock(NOW), valkey)


@dataclass
class Consolidator:
    """A running `python -m memory consolidator`."""

    env: dict[str, str]
    log_path: Path
    popen: subprocess.Popen[bytes] | None = None

    def start(self) -> Consolidator:
        """Start it."""
        paths = os.pathsep.join(str(path) for path in sorted(ROOT.glob("services/*/src")))
        with self.log_path.open("ab") as log:
            self.popen = subprocess.Popen(
                [sys.executable, "-m", "memory", "consolidator"],
                env={**os.environ, "PYTHONPATH": paths, **self.env},
                stdout=log,
                stderr=log,
                cwd=self.log_path.parent,
            )
        return self

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End it and return its exit status."""
        assert self.popen is not None
        if self.popen.poll() is None:
            self.popen.send_signal(how)
        return self.popen.wait(15)

    def log(self) -> str:
        """Return all it wrote."""
        return self.log_path.read_text()

    @property
    def pid(self) -> int:
        """Its process id, with which its name as a leader ends."""
        assert self.popen is not None
        return self.popen.pid


@pytest.fixture
def consolidators(postgres_server: Any, tmp_path: Path) -> Iterator[Callable[..., Consolidator]]:
    """Start consolidators: `consolidators(LARES_MEMORY_ROUND_SECONDS="1")`; all are ended with the test."""
    started: list[Consolidator] = []
    secrets_dir = tmp_path / "secrets"
    secrets_dir.mkdir()
    (secrets_dir / "db_password").write_text(postgres_server.password("svc_memory"))

    def start(**changed: str) -> Consolidator:
        number = len(started)
        env = {
            "LARES_SECRETS_DIR": str(secrets_dir),
            "LARES_HEARTBEAT": str(tmp_path / f"heartbeat-{number}"),
            "LARES_POSTGRES_HOST": postgres_server.host,
            "LARES_POSTGRES_PORT": str(postgres_server.port),
            "LARES_MODEL_GATEWAY_URL": "http://127.0.0.1:9",
            "LARES_MEMORY_ROUND_SECONDS": "0.5",
            "LARES_MEMORY_SYNC_FOLDER": str(tmp_path / "files"),
            **changed,
        }
        started.append(Consolidator(env, tmp_path / f"consolidator-{number}.log").start())
        return started[-1]

    yield start
    for process in started:
        if process.popen is not None and process.popen.poll() is None:
            process.stop(signal.SIGKILL)


@pytest.fixture
def eventually() -> Callable[..., Any]:
    """Wait for something in Postgres: `await eventually(check, why)`; `check` is a coroutine function."""

    async def wait(check: Callable[[], Any], why: Callable[[], str], seconds: float = 30.0) -> Any:
        import asyncio

        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if found := await check():
                return found
            await asyncio.sleep(0.05)
        pytest.fail(why())
        return None

    return wait
