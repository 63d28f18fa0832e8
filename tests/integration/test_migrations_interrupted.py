"""Migrations that are run twice at once, wait for locks, find no Postgres, or are killed anywhere."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from kit.testing.containers import run_apart
from kit.testing.data import DATABASES, Postgres

from tests.integration.migrations import (
    FOLDER,
    ask,
    bare,
    code,
    environment,
    folder_of,
    migrate,
    server,
    shape,
)

pytestmark = pytest.mark.integration
__all__ = ["bare", "server"]


def test_of_many_runs_at_once_one_works_and_the_others_find_nothing_to_do(bare: Postgres) -> None:
    env = environment(bare, FOLDER, {})
    runs = [
        subprocess.Popen(
            [sys.executable, "-m", "migrate", "up"],
            stdout=subprocess.PIPE,
            text=True,
            env=env,
        )
        for _ in range(4)
    ]
    outputs = [run.communicate(timeout=120)[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0, 0, 0], outputs
    applied = sorted(json.loads(output.splitlines()[-1])["applied"] for output in outputs)
    assert applied == [0, 0, 0, len(list(FOLDER.glob("*.sql")))]


def test_a_run_that_waits_too_long_for_another_says_so(bare: Postgres) -> None:
    async def work() -> subprocess.CompletedProcess[str]:
        connection = await bare.connect(name="postgres")
        await connection.execute("SELECT pg_advisory_lock(465491354995)")
        try:
            return await asyncio.to_thread(migrate, bare, "up", LARES_MIGRATE_BUSY_WAIT_S="1")
        finally:
            await connection.close()

    from migrate.ledger import LOCK

    assert LOCK == 465491354995
    done = run_apart(work)
    assert (done.returncode, code(done)) == (6, "migrate.busy")


@pytest.mark.parametrize("held_s", [1.5, 60.0])
def test_a_locked_table_is_waited_for_within_a_limit(
    bare: Postgres, tmp_path: Path, held_s: float
) -> None:
    folder = folder_of(tmp_path / "m", _0001_data_create_a="CREATE TABLE data.a ();")
    assert migrate(bare, "up", folder=folder).returncode == 0
    folder_of(folder, _0002_data_alter_a="ALTER TABLE data.a ADD COLUMN x int;")

    async def work() -> subprocess.CompletedProcess[str]:
        holder = await bare.connect()
        await holder.execute("BEGIN; LOCK TABLE data.a IN ACCESS SHARE MODE")
        limits = {"LARES_MIGRATE_LOCK_TIMEOUT_MS": "300", "LARES_MIGRATE_LOCK_TRIES": "4"}
        run = asyncio.create_task(asyncio.to_thread(migrate, bare, "up", folder=folder, **limits))
        await asyncio.wait([run], timeout=held_s)
        await holder.close()
        return await run

    begun = time.monotonic()
    done = run_apart(work)
    if held_s < 10:
        assert done.returncode == 0, done.stdout
        assert "migrate.blocked" in done.stdout
    else:
        assert (done.returncode, code(done)) == (7, "migrate.blocked")
        assert time.monotonic() - begun < 30
        assert ask(bare, "SELECT count(*) FROM data.schema_migration") == 1


def test_an_absent_postgres_is_waited_for_within_a_limit(bare: Postgres) -> None:
    begun = time.monotonic()
    done = migrate(bare, "up", LARES_POSTGRES_PORT="1", LARES_MIGRATE_WAIT_S="2")
    assert (done.returncode, code(done)) == (5, "migrate.unavailable")
    assert time.monotonic() - begun < 10


def test_a_wrong_superuser_password_is_said_at_once(bare: Postgres, tmp_path: Path) -> None:
    for file in bare.secrets_dir.iterdir():
        (tmp_path / file.name).write_text(file.read_text())
    (tmp_path / "superuser_password").write_text("wrong")
    begun = time.monotonic()
    done = migrate(bare, "up", LARES_SECRETS_DIR=str(tmp_path))
    assert (done.returncode, code(done)) == (5, "migrate.unavailable")
    assert time.monotonic() - begun < 10
    assert "wrong" not in done.stdout + done.stderr


def test_a_missing_secret_ends_with_the_status_for_bad_settings(
    bare: Postgres, tmp_path: Path
) -> None:
    assert migrate(bare, "up", LARES_SECRETS_DIR=str(tmp_path)).returncode == 78


def test_a_run_that_is_killed_anywhere_is_finished_by_the_next(bare: Postgres) -> None:
    """SIGKILL at random moments over the whole run, cluster preparation included; each time from where it was."""
    env = environment(bare, FOLDER, {})
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    command = [sys.executable, "-m", "migrate", "up"]
    begun = time.monotonic()
    subprocess.run(command, env=env, stdout=subprocess.DEVNULL, check=True)
    whole_s = time.monotonic() - begun
    expected = shape(bare)
    killed = 0
    for round_number in range(3):
        _drop(bare)
        for _ in range(6):
            run = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL)
            # Starting Python takes most of the time and touches nothing.
            time.sleep(chance.uniform(0.25 * whole_s, 1.05 * whole_s))
            run.kill()
            finished = run.wait() == 0
            _check_consistent(bare)
            killed += not finished
            if finished:
                # Too late: the machine has become faster. Sooner from now on, and from nothing again.
                whole_s *= 0.8
                _drop(bare)
        done = migrate(bare, "up")
        assert done.returncode == 0, f"seed {seed} round {round_number}: {done.stdout}"
        assert shape(bare) == expected, f"seed {seed} round {round_number}"
        assert migrate(bare, "verify").returncode == 0
    assert killed >= 4, "the kills came too late to prove anything"


def _drop(server: Postgres) -> None:
    async def work() -> None:
        connection = await server.connect(name="postgres")
        for name in DATABASES:
            await connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        await connection.close()

    run_apart(work)


def _check_consistent(server: Postgres) -> None:
    """A record without its tables, or tables without their record, would be half a file."""
    from migrate.files import read_all
    from migrate.runner import status

    lines = run_apart(lambda: status(server.migrate_settings(FOLDER), read_all(FOLDER)))
    state = {line.number: line.state for line in lines}
    outbox = None
    if state.get(1) == "applied":
        outbox = ask(server, "SELECT to_regclass('memory.outbox')::text")
    assert (outbox is not None) == (state[2] == "applied")
    assert "edited" not in state.values()
    # Nobody but those declared may ever have been let in.
    rights = ask(
        server,
        "SELECT string_agg(datacl::text, ' ') FROM pg_database"
        " WHERE datname = 'lares_sacred' AND datallowconn",
        "postgres",
    )
    assert rights is None or ("=Tc" not in rights.replace("lares_owner=CTc", ""))
