"""Entities, facts and the graph over HTTP, behind the real worker."""

from __future__ import annotations

import signal
from typing import Any
from uuid import uuid4

import pytest

pytestmark = pytest.mark.integration


async def remember(api: Any, who: Any, text: str, **more: Any) -> dict[str, Any]:
    answer = await api.post("/v1/memories", json={"text": text, **more}, headers=who.headers)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def get(api: Any, who: Any, path: str, **query: Any) -> dict[str, Any]:
    answer = await api.get(path, params=query, headers=who.headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def named(api: Any, who: Any, name: str) -> dict[str, Any] | None:
    items = (await get(api, who, "/v1/entities", query=name))["items"]
    return next((item for item in items if item["name"] == name), None)


async def test_a_person_asks_for_entities_facts_and_the_graph(
    api: Any, worker: Any, caller_factory: Any, until: Any
) -> None:
    ada = caller_factory()
    await remember(api, ada, "I live in Lisbon.", occurred_at="2024-01-01T00:00:00Z")
    kept = await remember(
        api,
        ada,
        "I live in Porto. My sister Joana works at Critical Software.",
        occurred_at="2024-06-01T00:00:00Z",
        source={"kind": "turn", "ref": "t-1"},
    )
    joana = await until(lambda: named(api, ada, "Joana"), why=worker.log())

    async def lives(**query: Any) -> list[str]:
        page = await get(api, ada, "/v1/facts", predicate="lives_in", superseded="false", **query)
        return [fact["object"] for fact in page["items"]]

    async def both_read() -> bool:
        page = await get(api, ada, "/v1/facts", predicate="lives_in")
        return len(page["items"]) == 2

    await until(both_read, why=worker.log())
    assert await lives() == ["Porto"]
    assert await lives(as_of="2024-03-01T00:00:00Z") == ["Lisbon"]
    works = (await get(api, ada, "/v1/facts", entity=joana["id"], predicate="works_at"))["items"][0]
    assert works["memory_id"] == kept["id"]
    assert works["source"] == {"kind": "turn", "ref": "t-1"}
    assert works["object_entity"]["name"] == "Critical Software"
    assert works["label"] == "works at"
    text = "I live in Porto. My sister Joana works at Critical Software."
    assert text[slice(*works["span"])]

    graph = await get(api, ada, "/v1/graph", entity=joana["id"], depth=2)
    names = {node["id"]: node["name"] for node in graph["nodes"]}
    related = {
        (names[edge["from"]], edge["predicate"], names[edge["to"]]) for edge in graph["edges"]
    }
    assert ("me", "sister", "Joana") in related
    assert ("Joana", "works_at", "Critical Software") in related
    assert ("me", "lives_in", "Porto") in related
    assert not graph["truncated"]
    small = await get(api, ada, "/v1/graph", entity=joana["id"], depth=3, limit=2)
    assert len(small["nodes"]) == 2
    assert small["truncated"]

    wrong = await api.delete(f"/v1/facts/{works['id']}", headers=ada.headers)
    assert wrong.status_code == 204
    facts = await get(api, ada, "/v1/facts", entity=joana["id"], predicate="works_at")
    assert facts["items"] == []
    back = await api.post(f"/v1/facts/{works['id']}/restore", headers=ada.headers)
    assert back.status_code == 204
    facts = await get(api, ada, "/v1/facts", entity=joana["id"], predicate="works_at")
    assert [fact["id"] for fact in facts["items"]] == [works["id"]]


async def test_pages_of_facts_and_entities_miss_and_repeat_nothing(
    api: Any, worker: Any, caller_factory: Any, until: Any
) -> None:
    ada = caller_factory()
    names = ["Bruno", "Carla", "Duarte", "Elena", "Fritz"]
    for name in names:
        await remember(api, ada, f"I met {name} in Faro.")

    async def pages(path: str, limit: int) -> list[str]:
        found: list[str] = []
        cursor: str | None = None
        for _ in range(20):
            query = {"limit": limit} | ({"cursor": cursor} if cursor else {})
            page = await get(api, ada, path, **query)
            found += [item["id"] for item in page["items"]]
            cursor = page["next_cursor"]
            if cursor is None:
                return found
        raise AssertionError(found)

    async def all_there() -> bool:
        return len(await pages("/v1/entities", 200)) == len(names) + 2

    await until(all_there, why=worker.log())
    for path in ("/v1/entities", "/v1/facts"):
        whole = await pages(path, 200)
        assert await pages(path, 2) == whole
        assert len(set(whole)) == len(whole)


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/v1/entities?kind=animal", "memory.entity_kind_unknown"),
        ("GET", "/v1/entities?cursor=no", "memory.cursor_invalid"),
        ("GET", "/v1/entities?limit=0", "memory.limit_invalid"),
        ("GET", f"/v1/entities/{uuid4()}", "memory.entity_not_found"),
        ("GET", "/v1/entities/x", "memory.entity_not_found"),
        ("GET", "/v1/graph", "memory.entity_not_found"),
        ("GET", f"/v1/graph?entity={uuid4()}&depth=4", "memory.depth_invalid"),
        ("GET", f"/v1/graph?entity={uuid4()}", "memory.entity_not_found"),
        ("GET", "/v1/facts?as_of=yesterday", "memory.time_invalid"),
        ("GET", "/v1/facts?cursor=no", "memory.cursor_invalid"),
        ("GET", f"/v1/facts?entity={uuid4()}", "memory.entity_not_found"),
        ("DELETE", f"/v1/facts/{uuid4()}", "memory.fact_not_found"),
        ("POST", f"/v1/entities/{uuid4()}/merge", "memory.entity_not_found"),
    ],
)
async def test_what_cannot_be_asked_is_refused_with_a_code(
    api: Any, caller_factory: Any, method: str, path: str, code: str
) -> None:
    body = {"other": str(uuid4())} if method == "POST" else None
    answer = await api.request(method, path, json=body, headers=caller_factory().headers)
    assert answer.json()["error"]["code"] == code, answer.text


async def test_a_reader_of_the_open_tier_finds_nothing_of_the_private_one(
    api: Any, worker: Any, caller_factory: Any, until: Any
) -> None:
    ada = caller_factory()
    await remember(api, ada, "My therapist is Birgit Hansen.", tier="sensitive")
    await remember(api, ada, "My sister Joana lives in Porto.")
    birgit = await until(lambda: named(api, ada, "Birgit Hansen"), why=worker.log())
    await until(lambda: named(api, ada, "Joana"), why=worker.log())
    agent = caller_factory(
        subject=ada.caller.subject, kind="token", db_role="lares_mcp", scopes=["memory:read"]
    )

    assert await named(api, agent, "Birgit Hansen") is None
    for path in (f"/v1/entities/{birgit['id']}", f"/v1/graph?entity={birgit['id']}"):
        answer = await api.get(path, headers=agent.headers)
        assert answer.status_code == 404
    said = (await get(api, agent, "/v1/facts"))["items"]
    assert said
    assert {fact["tier"] for fact in said} == {"convenience"}
    stranger = caller_factory()
    assert (await get(api, stranger, "/v1/entities"))["items"] == []


async def test_a_memory_read_by_nobody_is_read_by_the_next_worker(
    api: Any, memory_house: Any, caller_factory: Any, until: Any, pg: Any
) -> None:
    ada = caller_factory()
    first = memory_house.worker()
    first.start()
    first.stop(signal.SIGKILL)
    await remember(api, ada, "My sister Joana lives in Porto.")
    second = memory_house.worker()
    second.start()
    try:
        await until(lambda: named(api, ada, "Joana"), why=second.log())
        connection = await pg.connect()

        async def nothing_due() -> bool:
            return not await connection.fetchval("SELECT count(*) FROM memory.pending_extraction")

        await until(nothing_due)
    finally:
        second.stop()


async def test_switched_off_nothing_is_read_and_what_was_read_goes_with_the_next_edit(
    api: Any, memory_house: Any, worker: Any, caller_factory: Any, until: Any, pg: Any
) -> None:
    ada = caller_factory()
    kept = await remember(api, ada, "My sister Joana lives in Porto.")
    await until(lambda: named(api, ada, "Joana"), why=worker.log())
    worker.stop()
    off = memory_house.worker(LARES_MEMORY_EXTRACTION="false")
    off.start()
    try:
        await api.patch(
            f"/v1/memories/{kept['id']}", json={"text": "Joana moved."}, headers=ada.headers
        )
        await remember(api, ada, "Bruno lives in Faro.")

        async def cleared() -> bool:
            connection = await pg.connect()
            try:
                left = await connection.fetchval("SELECT count(*) FROM convenience.entity")
                due = await connection.fetchval("SELECT count(*) FROM memory.pending_extraction")
            finally:
                await connection.close()
            return left == 0 and due == 0

        await until(cleared, 40.0, why=off.log())
    finally:
        off.stop()


async def test_forgetting_over_http_leaves_no_word_in_any_table(
    api: Any, worker: Any, caller_factory: Any, until: Any, pg: Any
) -> None:
    ada = caller_factory()
    kept = await remember(api, ada, "My sister Zorblaxa works at Quuxwerk in Porto.")
    await until(lambda: named(api, ada, "Zorblaxa"), why=worker.log())

    gone = await api.delete(f"/v1/memories/{kept['id']}", headers=ada.headers)
    assert gone.status_code == 200, gone.text

    connection = await pg.connect()
    tables = await connection.fetch(
        "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.relkind = 'r' AND n.nspname IN ('convenience', 'sensitive', 'memory')"
    )
    for schema, table in tables:
        found = await connection.fetchval(
            f"SELECT count(*) FROM {schema}.{table} AS row WHERE row::text ~* 'zorblaxa|quuxwerk'"
        )
        assert found == 0, f"{schema}.{table}"
    assert await connection.fetchval("SELECT count(*) FROM convenience.entity") == 0
