"""The superuser's part: roles, databases, extensions. What a migration file cannot do, and nothing else."""

from __future__ import annotations

from typing import Any

from kit import logs

from migrate.files import DATABASES
from migrate.roles import (
    GROUPS,
    LOGIN_NAMES,
    STOCK_DATABASES,
    Cluster,
    DatabaseState,
    RoleState,
    Step,
)

log = logs.get("migrate")

_ROLES = """
SELECT r.rolname, r.rolsuper, r.rolcreatedb, r.rolcreaterole, r.rolreplication, r.rolbypassrls,
       r.rolinherit, r.rolcanlogin, r.rolconnlimit, r.rolpassword,
       ARRAY(SELECT g.rolname::text FROM pg_auth_members m JOIN pg_authid g ON g.oid = m.roleid
             WHERE m.member = r.oid AND NOT m.inherit_option AND NOT m.admin_option) AS groups,
       ARRAY(SELECT g.rolname::text FROM pg_auth_members m JOIN pg_authid g ON g.oid = m.roleid
             WHERE m.member = r.oid AND (m.inherit_option OR m.admin_option)) AS groups_misgranted,
       (SELECT s.setconfig FROM pg_db_role_setting s WHERE s.setrole = r.oid AND s.setdatabase = 0) AS settings,
       ARRAY(SELECT d.datname::text FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase
             WHERE s.setrole = r.oid) AS settings_per_database
FROM pg_authid r WHERE r.rolname = ANY($1::text[])
"""
_DATABASES = """
SELECT d.datname, pg_get_userbyid(d.datdba) AS owner, d.datallowconn,
       ARRAY(SELECT ARRAY[CASE WHEN a.grantee = 0 THEN '' ELSE pg_get_userbyid(a.grantee)::text END,
                          a.privilege_type]
             FROM aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a) AS rights
FROM pg_database d WHERE d.datname = ANY($1::text[])
"""
# Taken from everyone in each database. Scratch objects and anonymous code are of no use to a service. Large objects
# belong to no schema, so no tier's walls would stand around them. The cluster-wide views and functions tell of every
# database at once: how many rows the sacred one takes in, who is in it, and when.
_OPEN_FUNCTIONS = """
SELECT p.oid::regprocedure::text FROM pg_proc p
WHERE p.pronamespace = 'pg_catalog'::regnamespace
  AND (p.proname IN ('lo_creat', 'lo_create', 'lo_open', 'lo_from_bytea', 'lo_unlink', 'lo_put', 'lo_get',
                     'lowrite', 'loread', 'pg_lock_status', 'pg_prepared_xact', 'pg_stat_get_activity',
                     'pg_tablespace_size', 'pg_database_size')
       OR p.proname ~ '^pg_stat_get_(db|backend)_')
  AND EXISTS (SELECT FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a WHERE a.grantee = 0)
"""
_OPEN_VIEWS = """
SELECT c.oid::regclass::text FROM pg_class c
WHERE c.relnamespace = 'pg_catalog'::regnamespace
  AND (c.relname IN ('pg_locks', 'pg_prepared_xacts', 'pg_stat_activity', 'pg_stat_database',
                     'pg_stat_database_conflicts', 'pg_stat_ssl', 'pg_stat_gssapi')
       OR c.relname ~ '^pg_stat_progress_')
  AND EXISTS (SELECT FROM aclexplode(c.relacl) a WHERE a.grantee = 0)
"""
_OPEN_ELSEWHERE = """
SELECT 'CREATE EXTENSION vector SCHEMA public'
WHERE NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'vector')
UNION ALL
SELECT 'REVOKE USAGE ON LANGUAGE plpgsql FROM PUBLIC; GRANT USAGE ON LANGUAGE plpgsql TO lares_owner'
WHERE EXISTS (SELECT FROM pg_language l, aclexplode(coalesce(l.lanacl, acldefault('l', l.lanowner))) a
              WHERE l.lanname = 'plpgsql' AND a.grantee = 0)
UNION ALL
SELECT 'REVOKE CREATE ON SCHEMA public FROM PUBLIC'
WHERE EXISTS (SELECT FROM pg_namespace n, aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) a
              WHERE n.nspname = 'public' AND a.grantee = 0 AND a.privilege_type = 'CREATE')
"""


async def read_cluster(superuser: Any) -> Cluster:
    """Read the roles and databases that the house declares, as they are now."""
    roles = await superuser.fetch(_ROLES, [*GROUPS, *LOGIN_NAMES])
    databases = await superuser.fetch(_DATABASES, [*DATABASES, *STOCK_DATABASES])
    return Cluster(
        roles={row["rolname"]: _role_state(row) for row in roles},
        databases={
            row["datname"]: DatabaseState(
                row["datname"],
                row["owner"],
                frozenset((who, right) for who, right in row["rights"]),
            )
            for row in databases
        },
    )


def _role_state(row: Any) -> RoleState:
    settings = dict(text.split("=", 1) for text in row["settings"] or ())
    return RoleState(
        name=row["rolname"],
        attributes=tuple(row[index] for index in range(1, 8)),
        connections_max=row["rolconnlimit"],
        verifier=row["rolpassword"],
        groups=frozenset(row["groups"]),
        groups_misgranted=frozenset(row["groups_misgranted"]),
        settings=settings,
        settings_per_database=frozenset(row["settings_per_database"]),
    )


async def closed_databases(superuser: Any) -> list[str]:
    """Return those of our databases that a killed run left closed."""
    rows = await superuser.fetch(_DATABASES, list(DATABASES))
    return sorted(row["datname"] for row in rows if not row["datallowconn"])


async def run(superuser: Any, steps: list[Step]) -> None:
    """Run the steps in order, then open the databases that are ready: never before their rights are set."""
    for step in steps:
        await superuser.execute(step.sql)
        log.info("migrate.prepared", step=step.what)
    for name in await closed_databases(superuser):
        await superuser.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        log.info("migrate.prepared", step=f"open database {name}")


async def hardening(superuser_in_database: Any) -> list[str]:
    """Return the statements that would close what a database comes with; none when that is done."""
    statements = [row[0] for row in await superuser_in_database.fetch(_OPEN_ELSEWHERE)]
    for kind, query in (("FUNCTION", _OPEN_FUNCTIONS), ("TABLE", _OPEN_VIEWS)):
        if found := [row[0] for row in await superuser_in_database.fetch(query)]:
            statements.append(f"REVOKE ALL ON {kind} {', '.join(found)} FROM PUBLIC")
    return statements


async def harden(superuser_in_database: Any, name: str) -> None:
    """Install the extension and take from PUBLIC what a database comes with; nothing when that is done."""
    statements = await hardening(superuser_in_database)
    if not statements:
        return
    async with superuser_in_database.transaction():
        for statement in statements:
            await superuser_in_database.execute(statement)
    log.info("migrate.prepared", step=f"harden database {name}")
