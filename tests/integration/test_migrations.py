"""The migration runner and the house's own files against a real Postgres of its own."""

from __future__ import annotations

import json
from pathlib import Path

import asyncpg
import pytest
from kit.testing.data import DATABASES, Postgres

from tests.integration.migrations import ask, bare, code, folder_of, migrate, server, shape

pytestmark = pytest.mark.integration
__all__ = ["bare", "server"]


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
