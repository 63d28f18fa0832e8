"""up, down, status, verify: what is on disk against what is applied, under one lock for the whole cluster."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
from kit import logs

from migrate import bootstrap, connect, ledger
from migrate.errors import Busy, Drifted, EditedFile, Pending, Unconfirmed
from migrate.files import DATABASES, Migration
from migrate.ledger import Applied
from migrate.roles import plan
from migrate.settings import Settings

log = logs.get("migrate")


@dataclass(frozen=True)
class Line:
    """One migration in `status`: applied, pending, edited (differs from what was applied) or missing (no file)."""

    number: int
    name: str
    database: str
    state: str


def compare(files: Sequence[Migration], applied: Mapping[str, Sequence[Applied]]) -> list[Line]:
    """Return one line per migration known on either side, by number."""
    lines: list[Line] = []
    records = {(name, record.number): record for name, rows in applied.items() for record in rows}
    for file in files:
        record = records.pop((file.database, file.number), None)
        if record is None:
            state = "pending"
        elif (record.name, record.checksum) == (file.name, file.checksum):
            state = "applied"
        else:
            state = "edited"
        lines.append(Line(file.number, file.name, file.database, state))
    for (database, _), record in records.items():
        lines.append(Line(record.number, record.name, database, "missing"))
    return sorted(lines, key=lambda line: (line.number, line.database))


def refuse_edited(lines: Sequence[Line]) -> None:
    """Raise EditedFile if any applied file is edited or missing: nothing may be built on it."""
    wrong = [f"{line.name} ({line.state})" for line in lines if line.state in ("edited", "missing")]
    if wrong:
        raise EditedFile("Already applied, and not as they were: " + ", ".join(wrong))


async def up(settings: Settings, files: Sequence[Migration]) -> int:
    """Prepare the cluster and apply every pending file in order. Return how many; none is fine. Can be run again."""
    async with _alone(settings) as superuser:
        steps = plan(await bootstrap.read_cluster(superuser), settings.passwords())
        await bootstrap.run(superuser, steps)
        for name in DATABASES:
            async with _closing(await connect.as_superuser(settings, name)) as connection:
                await bootstrap.harden(connection, name)
        async with _owners(settings) as owners:
            lines = compare(
                files, {name: await ledger.read(owner) for name, owner in owners.items()}
            )
            refuse_edited(lines)
            pending = {line.number for line in lines if line.state == "pending"}
            count = 0
            for file in files:
                if file.number in pending and await ledger.apply(
                    owners[file.database], file, settings.lock_timeout_ms, settings.lock_tries
                ):
                    count += 1
                    log.info("migrate.applied", name=file.name, database=file.database)
            return count


async def down(
    settings: Settings, files: Sequence[Migration], to: int | None, *, destroy: bool
) -> int:
    """Undo every applied file above number `to` (the latest one alone if None), newest first. Return how many.

    Raises Unconfirmed unless `destroy`, EditedFile when an applied file is no longer the one on disk.
    """
    async with _alone(settings), _owners(settings) as owners:
        lines = compare(files, {name: await ledger.read(owner) for name, owner in owners.items()})
        refuse_edited(lines)
        applied = [file for file in files if _state(lines, file) == "applied"]
        chosen = applied[-1:] if to is None else [file for file in applied if file.number > to]
        if chosen and not destroy:
            raise Unconfirmed(
                "This would undo " + ", ".join(file.name for file in reversed(chosen))
            )
        count = 0
        for file in reversed(chosen):
            count += await ledger.revert(
                owners[file.database], file, settings.lock_timeout_ms, settings.lock_tries
            )
            log.info("migrate.reverted", name=file.name, database=file.database)
        return count


async def status(settings: Settings, files: Sequence[Migration]) -> list[Line]:
    """Return every migration and its state; changes nothing, also on a cluster that was never prepared."""
    async with _closing(await connect.as_superuser(settings, "postgres")) as superuser:
        cluster = await bootstrap.read_cluster(superuser)
        closed = await bootstrap.closed_databases(superuser)
    applied: dict[str, list[Applied]] = {}
    for name in DATABASES:
        if name in cluster.databases and name not in closed:
            async with _closing(await connect.as_superuser(settings, name)) as connection:
                applied[name] = await ledger.read(connection)
    return compare(files, applied)


async def verify(settings: Settings, files: Sequence[Migration]) -> None:
    """Return if everything is applied as written and the cluster is as declared.

    Raises EditedFile, Pending or Drifted, the worst first; changes nothing.
    """
    lines = await status(settings, files)
    refuse_edited(lines)
    async with _closing(await connect.as_superuser(settings, "postgres")) as superuser:
        steps = plan(await bootstrap.read_cluster(superuser), settings.passwords())
    if steps:
        raise Drifted(
            "Not as declared; a run would: " + "; ".join(step.what for step in steps[:10])
        )
    for name in DATABASES:
        async with _closing(await connect.as_superuser(settings, name)) as connection:
            if await bootstrap.hardening(connection):
                raise Drifted(f"Not as declared; a run would: harden database {name}")
    if pending := [line.name for line in lines if line.state == "pending"]:
        raise Pending("Not applied: " + ", ".join(pending))


def _state(lines: Sequence[Line], file: Migration) -> str:
    return next(
        line.state for line in lines if (line.number, line.database) == (file.number, file.database)
    )


@asynccontextmanager
async def _alone(settings: Settings) -> AsyncGenerator[Any]:
    """Hold the cluster-wide lock: of two runs at once one works, and the other then finds nothing left to do.

    The server releases it with the connection, so a killed run blocks nobody.
    """
    async with _closing(await connect.as_superuser(settings, "postgres")) as superuser:
        await superuser.execute(f"SET lock_timeout = {int(settings.busy_wait_s * 1000)}")
        try:
            await superuser.execute(f"SELECT pg_advisory_lock({ledger.LOCK})")
        except asyncpg.LockNotAvailableError:
            raise Busy() from None
        await superuser.execute(f"SET lock_timeout = {settings.lock_timeout_ms}")
        yield superuser


@asynccontextmanager
async def _owners(settings: Settings) -> AsyncGenerator[dict[str, Any]]:
    owners: dict[str, Any] = {}
    try:
        for name in DATABASES:
            owners[name] = await connect.as_owner(settings, name)
        yield owners
    finally:
        for owner in owners.values():
            await owner.close(timeout=5)


@asynccontextmanager
async def _closing(connection: Any) -> AsyncGenerator[Any]:
    try:
        yield connection
    finally:
        await connection.close(timeout=5)
