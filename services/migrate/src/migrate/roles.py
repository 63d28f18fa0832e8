"""Who exists in the cluster and what each may do: declared here, compared with what is, put right by statements.

Pure: `plan` takes the state that was read and returns the steps; `bootstrap` reads and runs them.
Every statement can be run again, so a run that is killed anywhere is finished by the next.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from migrate import scram
from migrate.files import DATABASES

OWNER = "lares_owner"
GROUPS = (OWNER, "lares_app", "lares_readonly", "lares_remote_rw", "lares_mcp")
# The databases every cluster comes with; none of the house's roles has any business in them.
STOCK_DATABASES = ("postgres", "template1")
_TIMEOUTS = {
    "statement_timeout": "15s",
    "lock_timeout": "5s",
    "idle_in_transaction_session_timeout": "30s",
}


@dataclass(frozen=True)
class Login:
    """A service's own role: what it may become, where it may connect, and how long it may take."""

    name: str
    becomes: tuple[str, ...] = ()
    databases: tuple[str, ...] = ("lares",)
    connections_max: int = 5
    settings: Mapping[str, str] = field(
        default_factory=lambda: {**_TIMEOUTS, "search_path": "public"}
    )


LOGINS = (
    Login(
        "svc_migrate",
        becomes=(OWNER,),
        databases=DATABASES,
        connections_max=4,
        settings={"statement_timeout": "10min", "lock_timeout": "5s", "search_path": "public"},
    ),
    # Django writes unqualified table names.
    Login(
        "svc_identity", connections_max=10, settings={**_TIMEOUTS, "search_path": "edge, public"}
    ),
    # Its pool and its listener, and as many more as a replacement needs before the server has missed the one before.
    Login("svc_forward_auth", connections_max=8),
    Login(
        "svc_memory",
        becomes=("lares_app", "lares_readonly", "lares_remote_rw", "lares_mcp"),
        databases=DATABASES,
        # Two replicas of memory, the worker and the consolidator, with all their pools full.
        connections_max=40,
    ),
    Login("svc_orchestrator", becomes=("lares_app",), connections_max=10),
    # Accounts and budgets; and what the scheduler of the GPUs must know again after a restart.
    Login("svc_model_gateway", connections_max=4),
    Login("svc_gpu_scheduler", connections_max=3),
)
LOGIN_NAMES = tuple(login.name for login in LOGINS)


@dataclass(frozen=True)
class RoleState:
    """One role as pg_authid and pg_db_role_setting have it."""

    name: str
    attributes: tuple[bool, ...]  # in the order of _ATTRIBUTES
    connections_max: int
    verifier: str | None
    groups: frozenset[str]
    # Granted with INHERIT or ADMIN: what a service should have to ask for, it would have at all times.
    groups_misgranted: frozenset[str]
    # Settings of the role in every database; those for one database alone are counted, and are never ours.
    settings: Mapping[str, str]
    settings_per_database: frozenset[str]


@dataclass(frozen=True)
class DatabaseState:
    """One database: its owner, and who holds which right on it ('' is PUBLIC)."""

    name: str
    owner: str
    rights: frozenset[tuple[str, str]]


@dataclass(frozen=True)
class Cluster:
    """What was read from the cluster before anything is decided."""

    roles: Mapping[str, RoleState]
    databases: Mapping[str, DatabaseState]


@dataclass(frozen=True)
class Step:
    """One statement, and what it is for (safe to log: a statement may hold a verifier)."""

    what: str
    sql: str
    # CREATE DATABASE and its like cannot be part of a transaction.
    alone: bool = False


_ATTRIBUTES = (
    "SUPERUSER",
    "CREATEDB",
    "CREATEROLE",
    "REPLICATION",
    "BYPASSRLS",
    "INHERIT",
    "LOGIN",
)
_GROUP_ATTRIBUTES = (False,) * 7
_LOGIN_ATTRIBUTES = (*(False,) * 6, True)


def plan(cluster: Cluster, passwords: Mapping[str, str]) -> list[Step]:
    """Return the steps from `cluster` to what is declared; none when it is already so."""
    steps: list[Step] = []
    for name in GROUPS:
        steps += _role(cluster.roles.get(name), name, _GROUP_ATTRIBUTES, -1)
        steps += _settings(cluster.roles.get(name), name, {})
        steps += _memberships(cluster.roles.get(name), name, ())
    for login in LOGINS:
        role = cluster.roles.get(login.name)
        steps += _role(role, login.name, _LOGIN_ATTRIBUTES, login.connections_max)
        steps += _password(role, login.name, passwords[login.name])
        steps += _settings(role, login.name, login.settings)
        steps += _memberships(role, login.name, login.becomes)
    for name in DATABASES:
        steps += _database(cluster.databases.get(name), name)
    for name in STOCK_DATABASES:
        steps += _rights(cluster.databases[name], name, frozenset())
    return steps


def _role(
    role: RoleState | None, name: str, attributes: tuple[bool, ...], connections_max: int
) -> Iterator[Step]:
    if role is None:
        yield Step(f"create role {name}", f"CREATE ROLE {name} NOLOGIN NOINHERIT")
    if role is None or role.attributes != attributes or role.connections_max != connections_max:
        words = " ".join(
            word if wanted else f"NO{word}"
            for word, wanted in zip(_ATTRIBUTES, attributes, strict=True)
        )
        yield Step(
            f"set attributes of {name}",
            f"ALTER ROLE {name} {words} CONNECTION LIMIT {connections_max}",
        )


def _password(role: RoleState | None, name: str, password: str) -> Iterator[Step]:
    if not scram.matches(password, role.verifier if role else None):
        # The verifier is base64 and dollars: no quote can be in it.
        yield Step(
            f"set password of {name}", f"ALTER ROLE {name} PASSWORD '{scram.verifier(password)}'"
        )


def _settings(role: RoleState | None, name: str, wanted: Mapping[str, str]) -> Iterator[Step]:
    for database in sorted(role.settings_per_database if role else ()):
        quoted = database.replace('"', '""')
        yield Step(
            f"reset settings of {name} in {database}",
            f'ALTER ROLE {name} IN DATABASE "{quoted}" RESET ALL',
        )
    if (role.settings if role else {}) == wanted:
        return
    yield Step(f"reset settings of {name}", f"ALTER ROLE {name} RESET ALL")
    for key, value in wanted.items():
        # search_path is a list of names, and quoting it whole would make it one name.
        text = value if key == "search_path" else f"'{value}'"
        yield Step(f"set {key} of {name}", f"ALTER ROLE {name} SET {key} = {text}")


def _memberships(role: RoleState | None, name: str, wanted: tuple[str, ...]) -> Iterator[Step]:
    held = role.groups if role else frozenset[str]()
    misgranted = role.groups_misgranted if role else frozenset[str]()
    for group in sorted((held - set(wanted)) | misgranted):
        yield Step(f"take {group} from {name}", f'REVOKE "{group}" FROM {name}')
    for group in wanted:
        if group not in held:
            yield Step(f"let {name} become {group}", f"GRANT {group} TO {name}")


def _database(database: DatabaseState | None, name: str) -> Iterator[Step]:
    if database is None:
        # Closed until its rights are set: PUBLIC may connect to a new database.
        yield Step(
            f"create database {name}",
            f"CREATE DATABASE {name} OWNER {OWNER} TEMPLATE template0 ALLOW_CONNECTIONS false",
            alone=True,
        )
        database = DatabaseState(name, OWNER, frozenset({("", "CONNECT"), ("", "TEMPORARY")}))
    if database.owner != OWNER:
        yield Step(f"give {name} to {OWNER}", f"ALTER DATABASE {name} OWNER TO {OWNER}")
    connect = {(login.name, "CONNECT") for login in LOGINS if name in login.databases}
    yield from _rights(database, name, frozenset(connect))


def _rights(
    database: DatabaseState, name: str, wanted: frozenset[tuple[str, str]]
) -> Iterator[Step]:
    held = {right for right in database.rights if right[0] != database.owner}
    for grantee in sorted({grantee for grantee, _ in held - wanted}):
        who = f'"{grantee}"' if grantee else "PUBLIC"
        yield Step(
            f"close {name} to {grantee or 'PUBLIC'}", f"REVOKE ALL ON DATABASE {name} FROM {who}"
        )
        held = {right for right in held if right[0] != grantee}
    for grantee, right in sorted(wanted - held):
        yield Step(
            f"let {grantee} {right} {name}", f"GRANT {right} ON DATABASE {name} TO {grantee}"
        )
