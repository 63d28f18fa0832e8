"""The migration runner and the house's own files against a real Postgres of its own."""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
from kit.testing.containers import run_apart
from kit.testing.data import DATABASES, Postgres, start_postgres

pytestmark = pytest.mark.integration
ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "db" / "migrations"
# What a cluster is made of, as one comparable text: two clusters with the same shape answer the same.
SHAPE = """
SELECT string_agg(line, E'\\n' ORDER BY line) FROM (
    SELECT format('%s %s.%s owner=%s rls=%s,%s acl=%s', c.relkind, n.nspname, c.relname,
                  pg_get_userbyid(c.relowner), c.relrowsecurity, c.relforcerowsecurity,
                  (SELECT string_agg(a::text, ',' ORDER BY a::text) FROM unnest(c.relacl) a)) AS line
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname !~ '^(pg_|information_schema)' AND n.nspname <> 'data'
    UNION ALL
    SELECT format('column %s.%s %s %s %s', c.oid::regclass, a.attname, format_type(a.atttypid, a.atttypmod),
                  a.attnotnull, pg_get_expr(d.adbin, d.adrelid))
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
    WHERE n.nspname !~ '^(pg_|information_schema)' AND n.nspname <> 'data'
      AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT format('constraint %s %s', conrelid::regclass, pg_get_constraintdef(oid)) FROM pg_constraint
    WHERE conrelid <> 0 AND connamespace <> 'pg_catalog'::regnamespace AND connamespace::regnamespace::text <> 'data'
    UNION ALL
    SELECT format('policy %s %s %s', polrelid::regclass, polname, pg_get_expr(polqual, polrelid)) FROM pg_policy
    UNION ALL
    SELECT format('function %s acl=%s', oid::regprocedure, proacl) FROM pg_proc
    WHERE pronamespace::regnamespace::text !~ '^(pg_|information_schema|public)'
    UNION ALL
    SELECT format('schema %s acl=%s', nspname,
                  (SELECT string_agg(a::text, ',' ORDER BY a::text) FROM unnest(nspacl) a))
    FROM pg_namespace WHERE nspname !~ '^(pg_|information_schema)' AND nspname <> 'data'
    UNION ALL
    SELECT format('default acl %s %s', defaclobjtype, defaclacl) FROM pg_default_acl
) AS lines
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A bare Postgres for this file alone: its tests tear it down to nothing and up again."""
    started = start_postgres(tmp_path_factory.mktemp("secrets"))
    yield started
    started.container.remove()


@pytest.fixture
def bare(server: Postgres) -> Postgres:
    """The cluster as initdb leaves it: no database of ours, no role of ours."""

    async def work() -> None:
        connection = await server.connect(name="postgres")
        for name in DATABASES:
            await connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        roles = await connection.fetch(
            "SELECT rolname FROM pg_roles WHERE rolname ~ '^(lares_|svc_)' ORDER BY rolname DESC"
        )
        for row in roles:
            await connection.execute(f'DROP OWNED BY "{row[0]}"')
        for row in roles:
            await connection.execute(f'DROP ROLE "{row[0]}"')
        await connection.execute("GRANT CONNECT, TEMPORARY ON DATABASE postgres TO PUBLIC")
        await connection.execute("GRANT CONNECT ON DATABASE template1 TO PUBLIC")
        await connection.close()

    run_apart(work)
    return server


def _environment(server: Postgres, folder: Path, extra: dict[str, str]) -> dict[str, str]:
    sources = [ROOT / "services" / name / "src" for name in ("_kit", "migrate")]
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(map(str, sources)),
        **server.migrate_env(folder),
        **extra,
    }


def migrate(
    server: Postgres, *arguments: str, folder: Path = FOLDER, **extra: str
) -> subprocess.CompletedProcess[str]:
    """Run the real process, as the one-shot container does."""
    return subprocess.run(
        [sys.executable, "-m", "migrate", *arguments],
        capture_output=True,
        text=True,
        env=_environment(server, folder, extra),
        timeout=120,
        check=False,
    )


def code(done: subprocess.CompletedProcess[str]) -> str | None:
    """Return the code of the error that a run ended with."""
    return next((json.loads(line).get("code") for line in reversed(done.stdout.splitlines())), None)


def shape(server: Postgres) -> str:
    """Return everything that migrations made, in both databases."""

    async def work() -> str:
        texts: list[str] = []
        for name in DATABASES:
            connection = await server.connect(name=name)
            texts.append(f"== {name}\n{await connection.fetchval(SHAPE)}")
            await connection.close()
        return "\n".join(texts)

    return run_apart(work)


def ask(server: Postgres, query: str, name: str = "lares", user: str = "postgres"):
    async def work():
        connection = await server.connect(user, name)
        try:
            return await connection.fetchval(query)
        finally:
            await connection.close()

    return run_apart(work)


def folder_of(path: Path, **files: str) -> Path:
    """Write migration files: `_0001_data_create_x="up SQL | down SQL"`."""
    path.mkdir(exist_ok=True)
    for name, text in files.items():
        up, _, down = text.partition("|")
        body = f"-- database: lares\n-- up\n{up.strip()}\n-- down\n{down.strip() or 'SELECT 1;'}\n"
        (path / f"{name.lstrip('_')}.sql").write_text(body)
    return path


def test_the_house_s_own_files_go_up_down_to_nothing_and_up_again(bare: Postgres) -> None:
    assert migrate(bare, "status").returncode == 3
    assert migrate(bare, "verify").returncode == 8
    assert migrate(bare, "up").returncode == 0
    first = shape(bare)
    assert migrate(bare, "verify").returncode == 0
    down = migrate(bare, "down", "--to", "0", "--destroy")
    assert down.returncode == 0, down.stdout
    for name in DATABASES:
        left = ask(
            bare,
            "SELECT string_agg(oid::regclass::text, ', ') FROM pg_class WHERE relnamespace IN"
            " (SELECT oid FROM pg_namespace WHERE nspname !~ '^(pg_|information_schema|data)')",
            name,
        )
        assert left is None, f"down left {left} in {name}"
        assert ask(bare, "SELECT count(*) FROM pg_default_acl", name) == 0
    assert migrate(bare, "verify").returncode == 3
    assert migrate(bare, "up").returncode == 0
    assert shape(bare) == first


def test_a_second_run_finds_nothing_to_do(bare: Postgres) -> None:
    assert migrate(bare, "up").returncode == 0
    again = migrate(bare, "up")
    assert again.returncode == 0
    assert json.loads(again.stdout.splitlines()[-1])["applied"] == 0
    assert "migrate.prepared" not in again.stdout


def test_everything_belongs_to_the_owner_and_nothing_to_a_superuser(bare: Postgres) -> None:
    migrate(bare, "up")
    for name in DATABASES:
        foreign = ask(
            bare,
            "SELECT string_agg(c.oid::regclass::text, ', ') FROM pg_class c"
            " JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE n.nspname !~ '^(pg_|information_schema)' AND pg_get_userbyid(c.relowner) <> 'lares_owner'"
            " AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')",
            name,
        )
        assert foreign is None


def test_a_changed_password_is_the_one_that_works_after_the_next_run(bare: Postgres) -> None:
    migrate(bare, "up")
    path = bare.secrets_dir / "db_password_svc_memory"
    path.write_text("a new password of svc_memory")
    with pytest.raises(asyncpg.InvalidPasswordError):
        ask(bare, "SELECT 1", user="svc_memory")
    done = migrate(bare, "up")
    assert done.returncode == 0
    assert "a new password" not in done.stdout + done.stderr
    assert ask(bare, "SELECT 1", user="svc_memory") == 1


def test_what_was_changed_by_hand_is_told_by_verify_and_put_back_by_up(bare: Postgres) -> None:
    migrate(bare, "up")
    ask(bare, "ALTER ROLE svc_memory SET search_path = sacred")
    assert migrate(bare, "verify").returncode == 8
    ask(bare, "GRANT pg_read_all_data TO lares_readonly")
    ask(bare, "GRANT CONNECT ON DATABASE lares_sacred TO PUBLIC")
    ask(bare, "ALTER ROLE svc_identity BYPASSRLS")
    ask(bare, "GRANT USAGE ON LANGUAGE plpgsql TO PUBLIC")
    told = migrate(bare, "verify")
    assert code(told) == "migrate.drifted"
    assert "pg_read_all_data" in told.stdout
    assert migrate(bare, "up").returncode == 0
    assert migrate(bare, "verify").returncode == 0


def test_an_edited_or_removed_file_stops_every_verb(bare: Postgres, tmp_path: Path) -> None:
    folder = folder_of(
        tmp_path / "m", _0001_data_create_a="CREATE TABLE data.a ();|DROP TABLE data.a;"
    )
    assert migrate(bare, "up", folder=folder).returncode == 0
    file = folder / "0001_data_create_a.sql"
    original = file.read_text()
    file.write_text(original.replace("data.a ()", "data.a (x int)"))
    folder_of(folder, _0002_data_create_b="CREATE TABLE data.b ();|DROP TABLE data.b;")
    for verb in (("up",), ("verify",), ("status",), ("down", "--to", "0", "--destroy")):
        assert migrate(bare, *verb, folder=folder).returncode == 4, verb
    assert ask(bare, "SELECT to_regclass('data.b')") is None
    file.unlink()
    assert code(migrate(bare, "up", folder=folder)) == "migrate.edited_file"
    file.write_text(original)
    assert migrate(bare, "up", folder=folder).returncode == 0


def test_a_file_that_fails_leaves_nothing_of_itself_and_those_before_it_stay(
    bare: Postgres, tmp_path: Path
) -> None:
    folder = folder_of(
        tmp_path / "m",
        _0001_data_create_a="CREATE TABLE data.a (x int);",
        _0002_data_create_b="CREATE TABLE data.b (x int);\nINSERT INTO data.a VALUES ('CANARY');",
        _0003_data_create_c="CREATE TABLE data.c ();",
    )
    done = migrate(bare, "up", folder=folder)
    assert (done.returncode, code(done)) == (1, "migrate.failed")
    assert "0002_data_create_b.sql" in done.stdout
    assert "CANARY" not in done.stdout + done.stderr
    found = [ask(bare, f"SELECT to_regclass('data.{name}')::text") for name in "abc"]
    assert found == ["data.a", None, None]
    assert ask(bare, "SELECT count(*) FROM data.schema_migration") == 1


def test_a_file_that_ends_the_transaction_in_disguise_is_rolled_back(
    bare: Postgres, tmp_path: Path
) -> None:
    """Text checks miss what is built at run time; Postgres itself refuses a COMMIT inside a block."""
    folder = folder_of(
        tmp_path / "m",
        _0001_data_create_a="CREATE TABLE data.a ();\nDO $x$ BEGIN EXECUTE 'COM' || 'MIT'; END $x$;",
    )
    assert migrate(bare, "up", folder=folder).returncode == 1
    assert ask(bare, "SELECT to_regclass('data.a')") is None


def test_down_without_the_word_destroys_nothing(bare: Postgres) -> None:
    migrate(bare, "up")
    before = shape(bare)
    refused = migrate(bare, "down", "--to", "0")
    assert (refused.returncode, code(refused)) == (2, "migrate.confirmation_required")
    assert shape(bare) == before


def test_down_without_a_number_undoes_the_latest_file_alone(bare: Postgres) -> None:
    migrate(bare, "up")
    count = ask(bare, "SELECT count(*) FROM data.schema_migration") + ask(
        bare, "SELECT count(*) FROM data.schema_migration", "lares_sacred"
    )
    done = migrate(bare, "down", "--destroy")
    assert json.loads(done.stdout.splitlines()[-1])["reverted"] == 1
    assert migrate(bare, "status").stdout.count("applied") == count - 1


def test_a_late_file_of_a_lower_number_is_applied_too(bare: Postgres, tmp_path: Path) -> None:
    folder = folder_of(
        tmp_path / "m", _0040_agents_create_a="CREATE TABLE data.a ();|DROP TABLE data.a;"
    )
    migrate(bare, "up", folder=folder)
    folder_of(folder, _0011_edge_create_b="CREATE TABLE data.b ();|DROP TABLE data.b;")
    assert migrate(bare, "up", folder=folder).returncode == 0
    assert ask(bare, "SELECT to_regclass('data.b')::text") == "data.b"


def test_of_many_runs_at_once_one_works_and_the_others_find_nothing_to_do(bare: Postgres) -> None:
    environment = _environment(bare, FOLDER, {})
    runs = [
        subprocess.Popen(
            [sys.executable, "-m", "migrate", "up"],
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
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
    environment = _environment(bare, FOLDER, {})
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    command = [sys.executable, "-m", "migrate", "up"]
    begun = time.monotonic()
    subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
    whole_s = time.monotonic() - begun
    expected = shape(bare)
    killed = 0
    for round_number in range(3):
        _drop(bare)
        for _ in range(6):
            run = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
            # Starting Python takes most of the time and touches nothing.
            time.sleep(chance.uniform(0.25 * whole_s, 1.05 * whole_s))
            run.kill()
            killed += run.wait() != 0
            _check_consistent(bare)
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
