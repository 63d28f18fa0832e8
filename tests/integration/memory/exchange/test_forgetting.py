"""Forgetting, looked at from behind every wall: no table, no key and no report keeps a word."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

pytestmark = pytest.mark.integration
DATABASES = ("lares", "lares_sacred")
STREAM = "lares:stream:memory.changed.v1"
TABLES = """
SELECT format('%I.%I', n.nspname, c.relname) AS name
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'm') AND n.nspname !~ '^(pg_|information_schema)'
ORDER BY 1
"""


@dataclass
class Eye:
    """Sees every row of both databases as the superuser does, and every key of Valkey."""

    connections: dict[str, Any]
    valkey: Any
    tables: dict[str, list[str]] = field(default_factory=dict)

    async def places_of(self, word: str) -> list[str]:
        """Return every table and key in which the word stands: as text, in JSON, as a lexeme or as bytes."""
        found: list[str] = []
        for database, connection in self.connections.items():
            for table in [row["name"] for row in await connection.fetch(TABLES)]:
                rows = await connection.fetchval(
                    f"SELECT count(*) FROM {table} AS held WHERE held::text ILIKE $1 OR held::text ILIKE $2",
                    f"%{word}%",
                    f"%{word.encode().hex()}%",
                )
                if rows:
                    found.append(f"{database}: {table}")
        for key in self.valkey.scan_iter():
            kind = self.valkey.type(key)
            reading = {
                "string": ("GET",),
                "list": ("LRANGE", 0, -1),
                "set": ("SMEMBERS",),
                "zset": ("ZRANGE", 0, -1),
                "hash": ("HGETALL",),
                "stream": ("XRANGE", "-", "+"),
            }
            verb, *rest = reading[kind]
            if word in key or word in repr(self.valkey.execute_command(verb, key, *rest)):
                found.append(f"valkey: {key}")
        return found

    async def run(self, statement: str, *arguments: Any, database: str = "lares") -> Any:
        return await self.connections[database].fetch(statement, *arguments)


@pytest.fixture
async def eye(pg: Any, valkey: Any) -> AsyncIterator[Eye]:
    connections = {name: await pg.connect(name=name) for name in DATABASES}
    client = valkey.client()
    yield Eye(connections, client)
    client.close()
    for connection in connections.values():
        await connection.close()


async def remember(api: httpx.AsyncClient, who: Any, text: str, **more: Any) -> str:
    answer = await api.post(
        "/v1/memories",
        json={"text": text, **more},
        headers={**who.headers, "idempotency-key": secrets.token_hex(8)},
    )
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


async def forget(api: httpx.AsyncClient, who: Any, ident: str) -> dict[str, Any]:
    answer = await api.delete(f"/v1/memories/{ident}", headers=who.headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def summarise(
    eye: Eye, who: Any, made: str, *sources: str, tier: str = "convenience"
) -> None:
    for source in sources:
        await eye.run(
            f"INSERT INTO {tier}.memory_link (from_id, to_id, subject_id, namespace, kind)"
            " VALUES ($1, $2, $3, 'home', 'summarises')",
            UUID(made),
            UUID(source),
            who.caller.subject,
        )


def word() -> str:
    return f"Zibaldone{secrets.token_hex(6)}"


async def test_no_table_and_no_key_keeps_a_word_of_what_was_forgotten(
    api: Any, caller_factory: Any, worker: Any, eye: Eye, until: Any
) -> None:
    """Whatever table somebody adds: all of both databases are read, from the catalog."""
    ada = caller_factory()
    said, place, speaker, thread = word(), word(), word(), word()
    idents = {
        tier: await remember(
            api,
            ada,
            f"My sister {said} lives in {place} and works at the {place} bank",
            tier=tier,
            speaker=speaker,
            thread=thread,
            source={"kind": "letter", "ref": word()},
        )
        for tier in ("convenience", "sensitive", "sacred")
    }
    stays = await remember(api, ada, "The dentist has moved")
    for tier in ("convenience", "sensitive"):
        merged = word()
        await eye.run(
            f"INSERT INTO {tier}.memory_source (id, memory_id, subject_id, namespace, source_kind, text, learned_at)"
            " VALUES ($1, $2, $3, 'home', 'api', $4, now())",
            *(uuid4(), UUID(idents[tier]), ada.caller.subject, f"also {merged}"),
        )

    async def done() -> bool:
        waiting = await eye.run(
            "SELECT (SELECT count(*) FROM memory.pending_embedding)"
            " + (SELECT count(*) FROM memory.pending_extraction WHERE stage = 'rules') AS left"
        )
        return waiting[0]["left"] == 0

    await until(done, 60, "the worker never came to an end")
    recalled = await api.post(
        "/v1/recall", json={"query": f"where does {said} live"}, headers=ada.headers
    )
    assert recalled.json()["results"]
    # One tier's words lie in blocks, the other's are fresh.
    await eye.run("SELECT sensitive.fold_postings($1, 1, 10000)", ada.caller.subject)
    before = set(await eye.places_of(said))
    assert "lares: sensitive.posting" in before, before
    # The test sees what it is meant to see: the words are in the tables that derive from a memory.
    for table in ("memory", "entity", "entity_alias", "mention", "posting_fresh"):
        assert f"lares: convenience.{table}" in before, before
    for tier, ident in idents.items():
        report = await forget(api, ada, ident)
        assert report["verified"], report
        assert report["erased"]["rows"] == 1
        if tier != "sacred":
            for store in ("embeddings", "postings", "sources", "mentions", "entities", "facts"):
                assert report["erased"][store] > 0, (tier, store, report)
    for each in (said, place, speaker, thread, merged):
        assert await eye.places_of(each) == []
    kept = await api.get(f"/v1/memories/{stays}", headers=ada.headers)
    assert kept.status_code == 200


async def test_a_note_that_comes_late_is_struck_off_before_anything_is_promised(
    api: Any, caller_factory: Any, eye: Eye, until: Any
) -> None:
    ada = caller_factory()
    ident = await remember(api, ada, "The key hangs behind the door")
    # As by somebody who had read the id just before: the books are clear already when the note arrives.
    await eye.run(
        "CREATE FUNCTION public.note_late() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN"
        " INSERT INTO memory.pending_extraction (memory_id, stage, subject_id, tier)"
        " VALUES (NEW.memory_id, 'rules', NEW.subject_id, 'convenience'); RETURN NULL; END $$"
    )
    await eye.run(
        "CREATE TRIGGER note_late AFTER INSERT ON memory.tombstone"
        " FOR EACH ROW EXECUTE FUNCTION public.note_late()"
    )
    try:
        report = await forget(api, ada, ident)
    finally:
        await eye.run("DROP FUNCTION public.note_late() CASCADE")
    assert (report["verified"], report["found"]) == (True, {})
    assert await eye.run("SELECT FROM memory.pending_extraction") == []

    async def announced() -> bool:
        events = [json.loads(entry["data"]) for _, entry in eye.valkey.xrange(STREAM)]
        return any((e["change"], e["memory_id"]) == ("forgotten", ident) for e in events)

    # Conversations forget because they hear of it.
    await until(announced)


async def test_a_report_is_kept_without_a_word_and_looked_up_by_the_memorys_id(
    api: Any, caller_factory: Any, eye: Eye
) -> None:
    ada, ben = caller_factory(), caller_factory()
    said = word()
    ident = await remember(api, ada, said, tier="sensitive")
    told = await forget(api, ada, ident)
    kept = (await api.get(f"/v1/forgotten/{ident}", headers=ada.headers)).json()
    assert {**kept, "verified_at": None} == {**told, "verified_at": None}
    assert kept["erased"]["rows"] == 1
    stores = {copy["store"]: copy for copy in kept["remaining"]}
    assert {"backups", "write_ahead_log", "dead_rows", "cache"} == set(stores)
    assert stores["backups"]["until"] is None
    assert stores["write_ahead_log"]["until"] > kept["forgotten_at"]
    assert said not in str(kept)
    # A second time there is nothing to erase, and the first report stands.
    assert set((await forget(api, ada, ident))["erased"].values()) == {0}
    again = (await api.get(f"/v1/forgotten/{ident}", headers=ada.headers)).json()
    assert again["erased"] == told["erased"]
    token = caller_factory(
        subject=ada.caller.subject, kind="token", db_role="lares_mcp", scopes=("memory:read",)
    )
    for who in (ben, token):
        unseen = await api.get(f"/v1/forgotten/{ident}", headers=who.headers)
        assert unseen.json()["error"]["code"] == "memory.not_found"


@pytest.mark.parametrize("moved_to", [None, "sensitive", "sacred"])
async def test_a_summary_goes_with_any_of_its_sources_wherever_it_was_moved(
    api: Any, caller_factory: Any, eye: Eye, moved_to: str | None
) -> None:
    ada = caller_factory()
    said = word()
    source = await remember(api, ada, f"I met {said} on Monday")
    other = await remember(api, ada, "I went swimming on Tuesday")
    summary = await remember(api, ada, f"That week: {said}, swimming")
    of_summary = await remember(api, ada, f"That month: {said} and more")
    await summarise(eye, ada, summary, source, other)
    await summarise(eye, ada, of_summary, summary)
    await eye.run("UPDATE convenience.memory SET archived_at = now() WHERE id = $1", UUID(other))
    if moved_to:
        moved = await api.patch(
            f"/v1/memories/{summary}", json={"tier": moved_to}, headers=ada.headers
        )
        assert moved.status_code == 200
    report = await forget(api, ada, source)
    # What was made of the summary went when the summary left its tier.
    made = 1 if moved_to else 2
    assert (report["erased"]["rows"], report["erased"]["summaries"]) == (1 + made, made)
    assert report["verified"]
    assert await eye.places_of(said) == []
    rows = await eye.run(
        "SELECT archived_at IS NULL AS awake FROM convenience.memory WHERE id = $1", UUID(other)
    )
    # What else the summary stood for is not lost with it: the next compression looks at it again.
    assert rows[0]["awake"]


async def test_what_was_merged_is_forgotten_by_either_id_and_comes_back_by_neither(
    api: Any, caller_factory: Any, eye: Eye
) -> None:
    ada = caller_factory()
    first = await remember(api, ada, "Our cat is called Miso")
    second = await remember(api, ada, "The neighbour's dog is called Rex")
    body = (await api.get("/v1/export?format=jsonl", headers=ada.headers)).content
    row = UUID(second), UUID(first), ada.caller.subject
    await eye.run("SELECT set_config('lares.subject', $1, false)", str(ada.caller.subject))
    await eye.run("DELETE FROM convenience.memory WHERE id = $1", row[0])
    await eye.run(
        "INSERT INTO convenience.memory_source (id, memory_id, subject_id, namespace, source_kind, text, learned_at,"
        " merged_id) VALUES (gen_random_uuid(), $2, $3, 'home', 'api', 'Rex', now(), $1)",
        *row,
    )
    report = await forget(api, ada, second)
    assert (report["erased"]["rows"], report["erased"]["sources"]) == (1, 1)
    headers = {**ada.headers, "content-type": "application/x-ndjson"}
    again = await api.post("/v1/import?dry_run=false", content=body, headers=headers)
    assert again.json()["reasons"] == {"forgotten": 2}


async def test_many_are_counted_first_and_forgotten_only_when_the_count_is_confirmed(
    api: Any, caller_factory: Any
) -> None:
    ada = caller_factory()
    for number in range(120):
        await remember(
            api, ada, f"Walk {number}", source={"kind": "watch", "ref": f"r{number % 2}"}
        )
    await remember(api, ada, "Not from the watch")
    asked = {"source": {"kind": "watch", "ref": "r1"}}
    counted = (await api.post("/v1/forget", json=asked, headers=ada.headers)).json()
    assert (counted["state"], counted["memories"]) == ("counted", 60)
    wrong = await api.post(
        "/v1/forget", json={**asked, "dry_run": False, "confirm": 61}, headers=ada.headers
    )
    assert wrong.json()["error"]["code"] == "memory.forget_count_changed"
    unsaid = await api.post("/v1/forget", json={**asked, "dry_run": False}, headers=ada.headers)
    assert unsaid.json()["error"]["code"] == "memory.forget_count_changed"
    done = await api.post(
        "/v1/forget", json={**asked, "dry_run": False, "confirm": 60}, headers=ada.headers
    )
    assert done.status_code == 200, done.text
    report = done.json()
    assert (report["state"], report["memories"], report["erased"]["rows"]) == ("done", 60, 60)
    assert report["verified"]
    left = (await api.get("/v1/memories?limit=200", headers=ada.headers)).json()["items"]
    assert len(left) == 61
    kept = await api.get(f"/v1/forgotten/{report['id']}", headers=ada.headers)
    assert kept.json()["erased"] == report["erased"]
    everything = await api.post("/v1/forget", json={"dry_run": False}, headers=ada.headers)
    assert everything.json()["error"]["code"] == "memory.forget_unbounded"


@pytest.mark.parametrize(
    ("asked", "fits"),
    [
        ({"namespace": "work"}, 1),
        ({"level": "identity"}, 1),
        ({"thread": "t"}, 2),
        ({"since": "2020-01-01T00:00:00Z", "until": "2021-01-01T00:00:00Z"}, 1),
        ({"thread": "t", "tiers": ["sacred"]}, 1),
        ({"thread": "t", "tiers": ["convenience", "sensitive", "sacred"]}, 3),
        ({"source": {"kind": "nobody"}}, 0),
    ],
)
async def test_every_condition_narrows_down_and_sacred_must_be_named(
    api: Any, caller_factory: Any, asked: dict[str, Any], fits: int
) -> None:
    ada = caller_factory()
    await api.put("/v1/namespaces/work", json={}, headers=ada.headers)
    await remember(api, ada, "At work", namespace="work")
    await remember(api, ada, "I am Ada", level="identity")
    await remember(api, ada, "Then", occurred_at="2020-06-01T00:00:00Z")
    for tier in ("convenience", "sensitive", "sacred"):
        await remember(api, ada, f"In a thread, {tier}", tier=tier, thread="t")
    counted = (await api.post("/v1/forget", json=asked, headers=ada.headers)).json()
    assert counted["memories"] == fits
    if fits:
        done = await api.post(
            "/v1/forget", json={**asked, "dry_run": False, "confirm": fits}, headers=ada.headers
        )
        assert done.json()["erased"]["rows"] == fits


async def test_a_token_forgets_only_what_it_may_see(api: Any, caller_factory: Any) -> None:
    ada = caller_factory()
    idents = [await remember(api, ada, "One", tier=tier) for tier in ("convenience", "sensitive")]
    token = caller_factory(
        subject=ada.caller.subject,
        kind="token",
        db_role="lares_mcp",
        scopes=("memory:read", "memory:write"),
    )
    asked = {"ids": idents}
    counted = await api.post("/v1/forget", json=asked, headers=token.headers)
    assert counted.json()["memories"] == 1
    denied = await api.post(
        "/v1/forget", json={**asked, "tiers": ["sensitive"]}, headers=token.headers
    )
    assert denied.json()["error"]["code"] == "memory.tier_denied"
    await api.post(
        "/v1/forget", json={**asked, "dry_run": False, "confirm": 1}, headers=token.headers
    )
    left = (await api.get("/v1/memories", headers=ada.headers)).json()["items"]
    assert [each["id"] for each in left] == [idents[1]]
