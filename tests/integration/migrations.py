"""A Postgres that is torn down to nothing, the real `migrate` process, and what a cluster looks like."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kit.testing.containers import run_apart
from kit.testing.data import DATABASES, Postgres, start_postgres

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


def environment(server: Postgres, folder: Path, extra: dict[str, str]) -> dict[str, str]:
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
        env=environment(server, folder, extra),
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


def ask(server: Postgres, query: str, name: str = "lares", user: str = "postgres") -> Any:
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
