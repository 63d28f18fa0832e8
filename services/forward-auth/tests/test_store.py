"""Every statement, against the real tables, under the service's own role."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from forward_auth.store import QUERIES, Refusal, Store
from kit.pool import Pool

pytestmark = pytest.mark.integration
SESSION = (
    "INSERT INTO edge.session (session_key, session_data, expire_date, aal, auth_time, person_id) "
    "VALUES ($1, '', $2, 1, now(), $3)"
)
PERSON = (
    "INSERT INTO edge.person (password, id, username, role, is_active, created_at) "
    "VALUES ('', $1, $2, 'member', $3, now())"
)
TOKEN = (
    "INSERT INTO edge.access_token (id, name, secret_hash, scopes, tiers, created_at, expires_at, revoked_at, person_id) "
    """VALUES ($1, 'n', 'h', '["memory:read"]', '["convenience"]', now(), $2, $3, $4)"""
)


@pytest.fixture
async def store(pg):
    async with await Pool.open(pg.database("svc_forward_auth")) as pool:
        yield Store(pool)


@pytest.fixture
async def superuser(pg):
    connection = await pg.connect()
    yield connection
    await connection.close()


async def person(superuser, *, active: bool = True):
    subject = uuid4()
    await superuser.execute(PERSON, subject, f"p{subject.hex[:8]}", active)
    return subject


async def test_every_statement_can_be_prepared_as_the_service(pg):
    connection = await pg.connect("svc_forward_auth")
    try:
        for query in QUERIES.values():
            await connection.prepare(str(query))
    finally:
        await connection.close()


async def test_a_living_session_of_an_active_person_is_found_and_no_other(store, superuser):
    tomorrow, yesterday = datetime.now(UTC) + timedelta(1), datetime.now(UTC) - timedelta(1)
    ada, gone = await person(superuser), await person(superuser, active=False)
    await superuser.execute(SESSION, "alive", tomorrow, ada)
    await superuser.execute(SESSION, "expired", yesterday, ada)
    await superuser.execute(SESSION, "disabled", tomorrow, gone)
    await superuser.execute(SESSION, "anonymous", tomorrow, None)
    found = await store.session("alive")
    assert found is not None
    assert (found.subject, found.aal) == (ada, 1)
    for key in ("expired", "disabled", "anonymous", "unknown"):
        assert await store.session(key) is None


async def test_a_good_token_of_an_active_person_is_found_and_no_other(store, superuser):
    tomorrow, yesterday = datetime.now(UTC) + timedelta(1), datetime.now(UTC) - timedelta(1)
    ada, gone = await person(superuser), await person(superuser, active=False)
    await superuser.execute(TOKEN, "alive", tomorrow, None, ada)
    await superuser.execute(TOKEN, "expired", yesterday, None, ada)
    await superuser.execute(TOKEN, "revoked", tomorrow, yesterday, ada)
    await superuser.execute(TOKEN, "disabled", tomorrow, None, gone)
    found = await store.token("alive")
    assert found is not None
    assert (found.subject, found.scopes, found.tiers) == (ada, ("memory:read",), ("convenience",))
    for token_id in ("expired", "revoked", "disabled", "unknown"):
        assert await store.token(token_id) is None
    await store.touch_token("alive")
    assert (await store.token("alive")).last_used_at is not None


async def test_refusals_are_written_down(store, superuser):
    row = Refusal("door.refused", None, "", "10.0.0.1", "ua", {"code": "x"}, "c" * 32)
    await store.record([row, Refusal("door.refused", None, "", None, "", {}, "")])
    rows = await superuser.fetch("SELECT * FROM edge.audit_event ORDER BY id")
    assert [str(r["client_ip"]) for r in rows] == ["10.0.0.1", "None"]
    assert {r["outcome"] for r in rows} == {"denied"}


async def test_the_database_itself_tells_of_every_way_a_session_ends(pg, superuser):
    heard: list[str] = []
    listener = await pg.connect("svc_forward_auth")
    await listener.add_listener("lares_session", lambda *said: heard.append(said[3]))
    ada = await person(superuser)
    await superuser.execute(SESSION, "one", datetime.now(UTC) + timedelta(1), ada)
    await superuser.execute(TOKEN, "t", datetime.now(UTC) + timedelta(1), None, ada)
    await superuser.execute("UPDATE edge.session SET session_data = 'x'")
    await superuser.execute("UPDATE edge.person SET last_login = now()")
    assert heard == []
    await superuser.execute("UPDATE edge.session SET aal = 2")
    await superuser.execute("UPDATE edge.access_token SET revoked_at = now()")
    await superuser.execute("UPDATE edge.person SET is_active = false")
    await superuser.execute("DELETE FROM edge.session")
    await listener.execute("SELECT 1")
    await listener.close()
    assert [word.split('"')[1] for word in heard] == ["session", "token", "person", "session"]
    assert all(secret not in "".join(heard) for secret in ("lares_pat", "password"))
