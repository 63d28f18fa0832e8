"""What the runner decides about roles and databases, from what it read."""

from __future__ import annotations

from dataclasses import replace

import pytest
from migrate import scram
from migrate.files import DATABASES
from migrate.roles import (
    GROUPS,
    LOGIN_NAMES,
    LOGINS,
    OWNER,
    Cluster,
    DatabaseState,
    RoleState,
    plan,
)

PASSWORDS = {name: f"s3cr3t-{name}" for name in LOGIN_NAMES}
PUBLIC = frozenset({("", "CONNECT"), ("", "TEMPORARY")})


def _fresh() -> Cluster:
    """A cluster as initdb leaves it."""
    return Cluster(
        {}, {name: DatabaseState(name, "postgres", PUBLIC) for name in ("postgres", "template1")}
    )


def _declared() -> Cluster:
    """A cluster as the house declares it."""
    roles = {
        name: RoleState(name, (False,) * 7, -1, None, frozenset(), frozenset(), {}, frozenset())
        for name in GROUPS
    }
    for login in LOGINS:
        roles[login.name] = RoleState(
            login.name,
            (*(False,) * 6, True),
            login.connections_max,
            scram.verifier(PASSWORDS[login.name]),
            frozenset(login.becomes),
            frozenset(),
            dict(login.settings),
            frozenset(),
        )
    databases = {
        name: DatabaseState(
            name,
            OWNER,
            frozenset((login.name, "CONNECT") for login in LOGINS if name in login.databases),
        )
        for name in DATABASES
    }
    for name in ("postgres", "template1"):
        databases[name] = DatabaseState(name, "postgres", frozenset())
    return Cluster(roles, databases)


def _sql(cluster: Cluster) -> list[str]:
    return [step.sql for step in plan(cluster, PASSWORDS)]


def test_nothing_is_done_to_a_cluster_that_is_as_declared() -> None:
    assert _sql(_declared()) == []


def test_a_fresh_cluster_gets_its_roles_before_its_databases() -> None:
    statements = _sql(_fresh())
    first_database = next(
        i for i, sql in enumerate(statements) if sql.startswith("CREATE DATABASE")
    )
    created = [i for i, sql in enumerate(statements) if sql.startswith("CREATE ROLE")]
    assert len(created) == len(GROUPS) + len(LOGINS)
    assert max(created) < first_database


def test_a_new_database_is_closed_until_its_rights_are_set() -> None:
    statements = _sql(_fresh())
    created = next(
        i for i, sql in enumerate(statements) if sql.startswith("CREATE DATABASE lares_sacred")
    )
    assert "ALLOW_CONNECTIONS false" in statements[created]
    assert statements.index("REVOKE ALL ON DATABASE lares_sacred FROM PUBLIC") > created


def test_only_the_memory_service_and_migrations_may_connect_to_the_sacred_database() -> None:
    granted = [sql for sql in _sql(_fresh()) if "ON DATABASE lares_sacred TO" in sql]
    assert sorted(sql.rsplit(" ", 1)[1] for sql in granted) == ["svc_memory", "svc_migrate"]


def test_a_right_that_was_given_by_hand_is_taken_back() -> None:
    cluster = _declared()
    sacred = cluster.databases["lares_sacred"]
    rights = sacred.rights | {("lares_readonly", "CONNECT")}
    changed = replace(
        cluster, databases={**cluster.databases, "lares_sacred": replace(sacred, rights=rights)}
    )
    assert _sql(changed) == ['REVOKE ALL ON DATABASE lares_sacred FROM "lares_readonly"']


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"attributes": (True, *(False,) * 5, True)}, "NOSUPERUSER"),
        ({"attributes": (*(False,) * 4, True, False, True)}, "NOBYPASSRLS"),
        ({"attributes": (*(False,) * 5, True, True)}, "NOINHERIT"),
        ({"connections_max": -1}, "CONNECTION LIMIT"),
        ({"groups": frozenset({"lares_app", "pg_read_all_data"})}, 'REVOKE "pg_read_all_data"'),
        ({"groups_misgranted": frozenset({"lares_app"}), "groups": frozenset()}, "REVOKE"),
        ({"settings": {"search_path": "sacred"}}, "RESET ALL"),
        ({"settings_per_database": frozenset({"lares"})}, 'IN DATABASE "lares" RESET ALL'),
        ({"verifier": scram.verifier("another")}, "PASSWORD 'SCRAM-SHA-256$"),
        ({"verifier": "md5abcdef"}, "PASSWORD 'SCRAM-SHA-256$"),
    ],
)
def test_whatever_was_changed_about_a_login_by_hand_is_put_back(
    change: dict, expected: str
) -> None:
    cluster = _declared()
    changed = replace(cluster.roles["svc_orchestrator"], **change)
    statements = _sql(replace(cluster, roles={**cluster.roles, "svc_orchestrator": changed}))
    assert any(expected in sql for sql in statements), statements


def test_no_password_stands_in_a_statement_or_in_what_is_logged_of_it() -> None:
    for step in plan(_fresh(), PASSWORDS):
        assert not any(password in step.sql + step.what for password in PASSWORDS.values())
        assert "SCRAM" not in step.what


def test_a_verifier_matches_its_password_alone() -> None:
    kept = scram.verifier("right")
    assert scram.matches("right", kept)
    assert not scram.matches("wrong", kept)
    for broken in (None, "", "SCRAM-SHA-256$x:y$z", "SCRAM-SHA-256$999999999:AAAA$a:b", "plain"):
        assert not scram.matches("right", broken)
