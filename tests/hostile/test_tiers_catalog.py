"""What must be so in the catalogs that no outside role can find a way round the tiers. Numbers: the list of attacks."""

from __future__ import annotations

import re
from typing import Any

import asyncpg
import pytest
from kit.testing.data import DATABASES, Postgres

from tests.hostile.tiers import CANARY, OUTSIDE_ROLES, Attackers, attackers

__all__ = ["attackers"]
in_each_database = pytest.mark.parametrize("database", DATABASES)
OURS = "n.nspname !~ '^(pg_|information_schema$|public$)'"
# A word of the program, a pattern or a number; what a person writes has spaces, capitals, an @ or is long.
PROGRAM_WORD = re.compile(r"^[a-z0-9_.,:+*?^$\\\[\](){}|-]{0,64}$")
TIERS = {"convenience": 1, "sensitive": 2}
MEMBERSHIPS = {
    ("svc_migrate", "lares_owner"),
    ("svc_memory", "lares_app"),
    ("svc_memory", "lares_readonly"),
    ("svc_memory", "lares_remote_rw"),
    ("svc_memory", "lares_mcp"),
    ("svc_orchestrator", "lares_app"),
}


async def rows(pg: Postgres, database: str, query: str, *args: Any) -> list[Any]:
    connection = await pg.connect(name=database)
    try:
        return await connection.fetch(query, *args)
    finally:
        await connection.close()


@in_each_database
async def test_07_no_index_default_constraint_or_comment_quotes_data(
    pg: Postgres, database: str
) -> None:
    texts = await rows(
        pg,
        database,
        f"""
        SELECT pg_get_indexdef(c.oid) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind = 'i' AND {OURS}
        UNION ALL
        SELECT pg_get_expr(d.adbin, d.adrelid) FROM pg_attrdef d JOIN pg_class c ON c.oid = d.adrelid
        JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {OURS}
        UNION ALL
        SELECT pg_get_constraintdef(k.oid) FROM pg_constraint k JOIN pg_namespace n ON n.oid = k.connamespace
        WHERE {OURS}
        """,
    )
    assert texts, "nothing was looked at"
    _only_program_words(row[0] for row in texts)
    comments = await rows(
        pg,
        database,
        f"SELECT d.description FROM pg_description d JOIN pg_class c ON c.oid = d.objoid"
        f" JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {OURS}",
    )
    assert comments == []


@in_each_database
async def test_08_no_view_function_or_policy_quotes_data(pg: Postgres, database: str) -> None:
    texts = await rows(
        pg,
        database,
        f"""
        SELECT pg_get_viewdef(c.oid) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('v', 'm') AND {OURS}
        UNION ALL
        SELECT p.prosrc FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE {OURS}
        UNION ALL
        SELECT coalesce(pg_get_expr(p.polqual, p.polrelid), '') ||
               coalesce(pg_get_expr(p.polwithcheck, p.polrelid), '') FROM pg_policy p
        """,
    )
    assert texts
    _only_program_words(row[0] for row in texts)


def _only_program_words(texts: Any) -> None:
    for text in texts:
        for literal in re.findall(r"'((?:[^']|'')*)'", text):
            assert PROGRAM_WORD.match(literal), f"{literal!r} in {text}"


async def test_11_to_13_nothing_in_the_sacred_database_is_derived_from_its_tables(
    pg: Postgres,
) -> None:
    derived = await rows(
        pg,
        "lares_sacred",
        f"SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        f" WHERE c.relkind IN ('v', 'm', 'f') AND {OURS}",
    )
    assert derived == []


async def test_11_to_13_no_view_or_materialized_view_reads_a_tier(pg: Postgres) -> None:
    """A view reads with its owner's rights, past row-level security and every grant: there are none over a tier."""
    derived = await rows(
        pg,
        "lares",
        """
        SELECT DISTINCT v.oid::regclass::text, t.oid::regclass::text
        FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid JOIN pg_class v ON v.oid = r.ev_class
        JOIN pg_class t ON t.oid = d.refobjid JOIN pg_namespace n ON n.oid = t.relnamespace
        WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass
          AND v.oid <> t.oid AND n.nspname = ANY($1::text[])
        """,
        list(TIERS),
    )
    assert derived == []


@in_each_database
async def test_14_and_15_a_security_definer_function_pins_its_search_path_with_pg_temp_last(
    pg: Postgres, database: str
) -> None:
    loose = await rows(
        pg,
        database,
        f"""
        SELECT p.oid::regprocedure::text FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
        WHERE p.prosecdef AND {OURS} AND NOT EXISTS (
            SELECT FROM unnest(p.proconfig) AS setting WHERE setting ~ '^search_path=.*pg_temp$')
        """,
    )
    assert loose == []


@in_each_database
async def test_16_public_may_execute_use_or_read_nothing_of_ours(
    pg: Postgres, database: str
) -> None:
    open_to_all = await rows(
        pg,
        database,
        f"""
        SELECT 'function ' || p.oid::regprocedure FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace,
             aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a WHERE a.grantee = 0 AND {OURS}
        UNION ALL
        SELECT 'table ' || c.oid::regclass FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace,
             aclexplode(c.relacl) a WHERE a.grantee = 0 AND {OURS}
        UNION ALL
        SELECT 'schema ' || n.nspname FROM pg_namespace n, aclexplode(n.nspacl) a
        WHERE a.grantee = 0 AND {OURS}
        """,
    )
    assert open_to_all == []


@in_each_database
async def test_16_what_the_owner_makes_is_closed_to_public_by_default(
    pg: Postgres, database: str
) -> None:
    defaults = await rows(
        pg,
        database,
        "SELECT defaclobjtype::text AS kind, defaclnamespace AS schema,"
        " EXISTS (SELECT FROM aclexplode(defaclacl) a WHERE a.grantee = 0) AS public FROM pg_default_acl"
        " WHERE pg_get_userbyid(defaclrole) = 'lares_owner'",
    )
    closed = {(row["kind"], row["schema"]) for row in defaults if not row["public"]}
    assert {("f", 0), ("T", 0)} <= closed
    assert [row for row in defaults if row["public"]] == []


async def test_17_no_foreign_key_leads_from_a_lower_tier_to_a_higher_one(pg: Postgres) -> None:
    """Whether an insert is refused would tell whether the other row exists."""
    keys = await rows(
        pg,
        "lares",
        """
        SELECT k.conname, f.nspname AS source, t.nspname AS target FROM pg_constraint k
        JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace f ON f.oid = c.relnamespace
        JOIN pg_class d ON d.oid = k.confrelid JOIN pg_namespace t ON t.oid = d.relnamespace
        WHERE k.contype = 'f'
        """,
    )
    assert keys
    for key in keys:
        assert TIERS.get(key["source"], 0) >= TIERS.get(key["target"], 0), dict(key)


async def test_18_to_20_an_error_s_values_reach_neither_the_server_s_log_nor_the_application(
    attackers: Attackers,
) -> None:
    from kit.pool import Pool

    table = "convenience.memory"
    row = (
        "INSERT INTO convenience.memory (id, subject_id, text, source_kind, created_at, updated_at)"
        " VALUES ($1, $2, $3, $4, now(), now())"
    )
    errors: list[Exception] = []
    async with await Pool.open(attackers.pg.database("svc_memory")) as pool:

        async def provoke(statement: str, *args: Any) -> None:
            with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError)) as caught:
                async with pool.as_role("lares_app", attackers.attacker) as connection:
                    await connection.execute(statement, *args)
            errors.append(caught.value)

        who = attackers.attacker
        # A unique violation's DETAIL, a failed check's row, a missing value's row, three casts, a literal.
        async with pool.as_role("lares_app", who) as connection:
            known = await connection.fetchval(f"SELECT id FROM {table} LIMIT 1")
        await provoke(row, known, who, CANARY, "test")
        await provoke(row, attackers.victim, who, CANARY, f"NOT A KIND {CANARY}")
        await provoke(row, attackers.victim, who, None, CANARY.lower())
        await provoke(f"SELECT '{CANARY}'::uuid")
        await provoke("SELECT ($1::text)::int", CANARY)
        await provoke("SELECT ($1::text)::timestamptz", CANARY)
        await provoke(f"SELECT * FROM nowhere.{CANARY} WHERE text = '{CANARY}'")
        await provoke("SELECT $1::int", CANARY)
    assert len(errors) == 8
    for error in errors:
        assert CANARY.lower() not in f"{error!r} {error} {vars(error)}".lower(), type(error)
    log = attackers.pg.container.logs()
    quoted = [line for line in log.splitlines() if CANARY.lower() in line.lower()]
    assert quoted == [], quoted[:3]


async def test_21_to_24_no_role_has_a_right_over_everything(pg: Postgres) -> None:
    found = await rows(
        pg,
        "postgres",
        "SELECT m.rolname::text AS member, g.rolname::text AS role, inherit_option, admin_option"
        " FROM pg_auth_members a JOIN pg_roles m ON m.oid = a.member JOIN pg_roles g ON g.oid = a.roleid"
        " WHERE m.rolname !~ '^pg_' AND m.rolname !~ '^svc_hostile_'",
    )
    assert {(row["member"], row["role"]) for row in found} == MEMBERSHIPS
    assert not any(row["inherit_option"] or row["admin_option"] for row in found)
    assert (await rows(pg, "postgres", "SHOW shared_preload_libraries"))[0][0] == ""


async def test_24_nobody_but_the_superuser_has_an_attribute_and_nobody_else_exists(
    pg: Postgres,
) -> None:
    found = await rows(
        pg,
        "postgres",
        "SELECT rolname::text AS name, rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls"
        " OR rolinherit AS strong, rolcanlogin FROM pg_roles WHERE rolname !~ '^(pg_|svc_hostile_)'",
    )
    assert [row["name"] for row in found if row["strong"]] == ["postgres"]
    assert {row["name"] for row in found if row["rolcanlogin"]} == {
        "postgres",
        *("svc_migrate", "svc_identity", "svc_forward_auth", "svc_memory", "svc_orchestrator"),
        *("svc_model_gateway", "svc_gpu_scheduler"),
    }


async def test_27_every_table_of_a_tier_is_under_forced_row_level_security(pg: Postgres) -> None:
    for database, schemas in (("lares", list(TIERS)), ("lares_sacred", ["sacred"])):
        tables = await rows(
            pg,
            database,
            "SELECT c.relname, c.relrowsecurity, c.relforcerowsecurity,"
            " (SELECT count(*) FROM pg_policy WHERE polrelid = c.oid) AS policies,"
            " EXISTS (SELECT FROM pg_attribute WHERE attrelid = c.oid AND attname = 'subject_id') AS owned"
            " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE n.nspname = ANY($1::text[]) AND c.relkind IN ('r', 'p')",
            schemas,
        )
        assert tables
        for table in tables:
            if database == "lares_sacred" and table["relname"] != "memory":
                # Bookkeeping of ids; no caller's role has a grant on it but INSERT into the outbox.
                continue
            assert table["relrowsecurity"], table
            assert table["relforcerowsecurity"], table
            assert table["policies"] == 1, table
            assert table["owned"], table


async def test_27_the_owner_of_the_tables_is_under_row_level_security_too(
    attackers: Attackers,
) -> None:
    owner = await attackers.pg.connect("svc_migrate")
    try:
        await owner.execute("SET ROLE lares_owner")
        await owner.execute(f"SET lares.subject = '{attackers.attacker}'")
        assert await owner.fetchval("SELECT count(*) FROM convenience.memory") == 1
        await owner.execute("RESET lares.subject")
        with pytest.raises(asyncpg.PostgresError):
            await owner.fetch("SELECT * FROM convenience.memory")
    finally:
        await owner.close()


async def test_a_tier_s_tables_are_granted_to_group_roles_alone(pg: Postgres) -> None:
    for database, schemas, allowed in (
        (
            "lares",
            ["convenience", "sensitive"],
            {"lares_app", "lares_readonly", "lares_remote_rw", "lares_mcp"},
        ),
        ("lares_sacred", ["sacred"], {"lares_app", "svc_memory"}),
    ):
        grants = await rows(
            pg,
            database,
            "SELECT n.nspname AS tier, c.relname, pg_get_userbyid(a.grantee)::text AS who, a.privilege_type"
            " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, aclexplode(c.relacl) a"
            " WHERE n.nspname = ANY($1::text[]) AND a.grantee <> c.relowner",
            schemas,
        )
        assert {grant["who"] for grant in grants} <= allowed
        assert not any(
            grant["privilege_type"] in ("TRUNCATE", "TRIGGER", "REFERENCES") for grant in grants
        )
        readonly = {g["privilege_type"] for g in grants if g["who"] == "lares_readonly"}
        assert readonly <= {"SELECT"}
        assert not any(g["tier"] == "sensitive" and g["who"] == "lares_mcp" for g in grants)


async def test_31_nothing_but_vectors_is_installed(pg: Postgres) -> None:
    for database in DATABASES:
        found = await rows(pg, database, "SELECT extname FROM pg_extension")
        assert {row[0] for row in found} == {"plpgsql", "vector"}
        assert await rows(pg, database, "SELECT * FROM pg_foreign_data_wrapper") == []


@pytest.mark.parametrize("role", OUTSIDE_ROLES)
async def test_34_a_role_that_changes_its_own_settings_raises_an_alarm_and_is_put_back(
    attackers: Attackers, role: str
) -> None:
    from migrate.errors import Drifted
    from migrate.files import read_all
    from migrate.runner import verify

    settings = attackers.pg.migrate_settings()
    files = read_all(settings.folder)
    async with attackers.superuser() as above:
        # Whether Postgres lets a role do so to itself or not, the house must notice it.
        await above.execute(f"ALTER ROLE {role} SET search_path = sacred")
    with pytest.raises(Drifted, match=role):
        await verify(settings, files)
    attackers.pg.migrate()
    async with attackers.superuser() as above:
        left = await above.fetch(
            "SELECT setconfig FROM pg_db_role_setting s JOIN pg_roles r ON r.oid = s.setrole"
            " WHERE r.rolname = $1",
            role,
        )
    assert left == []


async def test_35_the_server_decodes_no_changes_for_anybody(pg: Postgres) -> None:
    for setting, value in (
        ("wal_level", "replica"),
        ("max_wal_senders", "0"),
        ("max_replication_slots", "0"),
    ):
        assert (await rows(pg, "postgres", f"SHOW {setting}"))[0][0] == value


async def test_only_the_owner_and_the_declared_logins_may_connect_anywhere(pg: Postgres) -> None:
    found = await rows(
        pg,
        "postgres",
        "SELECT d.datname, CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE pg_get_userbyid(a.grantee) END AS who"
        " FROM pg_database d, aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a"
        " WHERE a.grantee <> d.datdba AND d.datallowconn",
    )
    allowed = {
        (row["datname"], row["who"]) for row in found if not row["who"].startswith("svc_hostile_")
    }
    assert allowed == {
        *(
            ("lares", f"svc_{name}")
            for name in (
                *("migrate", "identity", "forward_auth", "memory", "orchestrator"),
                *("model_gateway", "gpu_scheduler"),
            )
        ),
        ("lares_sacred", "svc_memory"),
        ("lares_sacred", "svc_migrate"),
    }


async def test_every_login_s_time_and_number_are_limited(pg: Postgres) -> None:
    found = await rows(
        pg,
        "postgres",
        "SELECT rolname, rolconnlimit, (SELECT setconfig FROM pg_db_role_setting WHERE setrole = r.oid) AS settings"
        " FROM pg_roles r WHERE rolname ~ '^svc_' AND rolname !~ '^svc_hostile_'",
    )
    # Of the 80 that the server takes: whatever one service does, the others still get in.
    for row in found:
        assert 0 < row["rolconnlimit"] <= 40
        names = {setting.split("=")[0] for setting in row["settings"]}
        assert {"statement_timeout", "lock_timeout", "search_path"} <= names
