"""What replaces what, through the real service and worker: marked, taken back, restored, and noticed by whom."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from memory.supersede.store import statements, text_of

pytestmark = pytest.mark.integration


async def remember(api: Any, who: Any, text: str, at: str, **more: Any) -> str:
    body = {"text": text, "occurred_at": f"{at}T12:00:00Z", **more}
    answer = await api.post("/v1/memories", json=body, headers=who.headers)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


async def memory(api: Any, who: Any, ident: str) -> dict[str, Any]:
    answer = await api.get(f"/v1/memories/{ident}", headers=who.headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def texts(api: Any, who: Any, query: str, **more: Any) -> list[str]:
    answer = await api.post("/v1/recall", json={"query": query, **more}, headers=who.headers)
    assert answer.status_code == 200, answer.text
    return [each["memory"]["text"] for each in answer.json()["results"]]


@pytest.fixture
def settled(pg: Any, until: Any) -> Any:
    """Wait until nothing waits behind a write."""

    async def wait() -> None:
        async def quiet() -> bool:
            connection = await pg.connect()
            count = await connection.fetchval(
                "SELECT (SELECT count(*) FROM memory.pending_embedding)"
                " + (SELECT count(*) FROM memory.pending_relation)"
            )
            await connection.close()
            return count == 0

        await until(quiet, seconds=40, why="the worker did not come to an end")

    return wait


@pytest.mark.parametrize("name", sorted(statements()))
async def test_every_statement_of_supersession_is_valid_under_its_own_role(
    pg: Any, name: str
) -> None:
    connection = await pg.connect()
    query = statements()[name]
    async with connection.transaction():
        await connection.execute(f"SET LOCAL ROLE {query.role}")
        await connection.execute(f"SET LOCAL lares.subject = '{uuid4()}'")
        await connection.prepare(text_of(name))
    await connection.close()


async def test_a_newer_memory_replaces_what_it_contradicts_and_keeps_it(
    api: Any, worker: Any, caller_factory: Any, settled: Any
) -> None:
    ada = caller_factory()
    old = await remember(api, ada, "I live in Porto.", "2025-01-10")
    other = await remember(api, ada, "My sister Ana lives in Braga.", "2025-01-11")
    new = await remember(api, ada, "I moved to Lisbon.", "2025-09-01")
    await settled()

    gone, stands = await memory(api, ada, old), await memory(api, ada, new)
    assert gone["superseded_by"] == new, worker.log()
    assert gone["valid_to"].startswith("2025-09-01")
    assert stands["superseded_by"] is None
    assert (await memory(api, ada, other))["superseded_by"] is None
    assert (await texts(api, ada, "Where do I live?"))[0] == "I moved to Lisbon."
    assert (await texts(api, ada, "Where did I live in March 2025?"))[0] == "I live in Porto."


async def test_of_many_that_arrive_at_once_each_replaces_what_it_contradicts(
    api: Any, worker: Any, caller_factory: Any, settled: Any
) -> None:
    ada = caller_factory()
    said = [
        *("I live in Porto.", "The alarm code is 7719.", "My sister Ana lives in Braga."),
        *(f"The plumber for tap number {number} was Rui." for number in range(12)),
        *("I moved to Lisbon.", "We changed the alarm code to 3305.", "Ana moved to Coimbra."),
        *("I live in Faro now.", "Bread is bought at the corner."),
    ]
    memories = [
        {"text": text, "occurred_at": f"2025-01-{day:02}T12:00:00Z"}
        for day, text in enumerate(said, 1)
    ]
    answer = await api.post("/v1/memories/batch", json={"memories": memories}, headers=ada.headers)
    ids = dict(zip(said, (each["id"] for each in answer.json()["results"]), strict=True))
    await settled()

    texts_of = {ident: text for text, ident in ids.items()}
    by = {text: (await memory(api, ada, ident))["superseded_by"] for text, ident in ids.items()}
    assert {text: texts_of[new] for text, new in by.items() if new} == {
        "I live in Porto.": "I moved to Lisbon.",
        "I moved to Lisbon.": "I live in Faro now.",
        "The alarm code is 7719.": "We changed the alarm code to 3305.",
        "My sister Ana lives in Braga.": "Ana moved to Coimbra.",
    }, worker.log()


async def test_an_older_memory_that_arrives_late_does_not_replace_a_newer_one(
    api: Any, worker: Any, caller_factory: Any, settled: Any
) -> None:
    ada = caller_factory()
    new = await remember(api, ada, "I moved to Lisbon.", "2025-09-01")
    await settled()
    old = await remember(api, ada, "I live in Porto.", "2025-01-10")
    await settled()

    assert (await memory(api, ada, new))["superseded_by"] is None
    assert (await memory(api, ada, old))["superseded_by"] == new


async def test_forgetting_what_replaced_it_lets_a_memory_stand_again(
    api: Any, worker: Any, caller_factory: Any, settled: Any
) -> None:
    ada = caller_factory()
    old = await remember(api, ada, "I live in Porto.", "2025-01-10")
    between = await remember(api, ada, "I live in Faro now.", "2025-05-10")
    new = await remember(api, ada, "I moved to Lisbon.", "2025-09-01")
    await settled()
    assert (await memory(api, ada, old))["superseded_by"] == between

    answer = await api.delete(f"/v1/memories/{between}", headers=ada.headers)
    assert answer.status_code == 200, answer.text
    await settled()
    assert (await memory(api, ada, old))["superseded_by"] == new

    await api.delete(f"/v1/memories/{new}", headers=ada.headers)
    await settled()
    stands = await memory(api, ada, old)
    assert (stands["superseded_by"], stands["superseded_at"], stands["valid_to"]) == (None,) * 3


async def test_an_edit_that_no_longer_contradicts_takes_the_mark_back(
    api: Any, worker: Any, caller_factory: Any, settled: Any
) -> None:
    ada = caller_factory()
    old = await remember(api, ada, "I live in Porto.", "2025-01-10")
    new = await remember(api, ada, "I moved to Lisbon.", "2025-09-01")
    await settled()
    await api.patch(
        f"/v1/memories/{new}", json={"text": "Ana moved to Lisbon."}, headers=ada.headers
    )
    await settled()

    assert (await memory(api, ada, old))["superseded_by"] is None


async def test_what_a_person_restores_no_rule_replaces_again_by_the_same(
    api: Any, worker: Any, caller_factory: Any, settled: Any
) -> None:
    ada = caller_factory()
    old = await remember(
        api, ada, "I live in Porto.", "2025-01-10", valid_to="2030-01-01T00:00:00Z"
    )
    new = await remember(api, ada, "I moved to Lisbon.", "2025-09-01")
    await settled()
    assert (await memory(api, ada, old))["superseded_by"] == new

    answer = await api.post(f"/v1/memories/{old}/restore", headers=ada.headers)
    assert answer.status_code == 200, answer.text
    assert answer.json()["superseded_at"] is None
    assert answer.json()["valid_to"].startswith("2030-01-01")
    await api.patch(f"/v1/memories/{new}", json={"text": "I moved to Lisbon!"}, headers=ada.headers)
    await settled()
    assert (await memory(api, ada, old))["superseded_by"] is None

    later = await remember(api, ada, "I live in Evora now.", "2025-12-01")
    await settled()
    assert (await memory(api, ada, old))["superseded_by"] == later


async def test_a_person_says_what_replaces_a_memory_and_no_circle_comes_of_it(
    api: Any, worker: Any, caller_factory: Any, settled: Any
) -> None:
    ada = caller_factory()
    one = await remember(api, ada, "The tulips bloom by the gate.", "2025-01-10")
    two = await remember(api, ada, "A green bench stands under the oak.", "2025-01-11")
    await settled()

    answer = await api.post(f"/v1/memories/{one}/supersede", json={"by": two}, headers=ada.headers)
    assert answer.status_code == 200, answer.text
    assert answer.json()["id"] == two
    assert (await memory(api, ada, one))["superseded_by"] == two
    back = await api.post(f"/v1/memories/{two}/supersede", json={"by": one}, headers=ada.headers)
    assert (back.status_code, back.json()["error"]["code"]) == (422, "memory.supersede_refused")
    neither = await api.post(f"/v1/memories/{two}/supersede", json={}, headers=ada.headers)
    assert neither.json()["error"]["code"] == "memory.supersede_empty"

    answer = await api.post(
        f"/v1/memories/{two}/supersede",
        json={"text": "The bench under the oak is red."},
        headers=ada.headers,
    )
    assert answer.status_code == 200, answer.text
    assert (await memory(api, ada, two))["superseded_by"] == answer.json()["id"]


async def test_a_more_private_memory_replaces_a_less_private_one_for_those_who_see_it_only(
    api: Any, worker: Any, caller_factory: Any, settled: Any, pg: Any
) -> None:
    ada = caller_factory()
    client = caller_factory(
        subject=ada.caller.subject, db_role="lares_mcp", kind="token", scopes=["memory:read"]
    )
    old = await remember(api, ada, "I live in Porto.", "2025-01-10")
    new = await remember(api, ada, "I moved to Lisbon.", "2025-09-01", tier="sensitive")
    await settled()

    seen = await memory(api, client, old)
    assert (seen["superseded_by"], seen["superseded_at"], seen["valid_to"]) == (None,) * 3
    assert (await texts(api, client, "Where do I live?")) == ["I live in Porto."]
    assert (await texts(api, ada, "Where do I live?"))[0] == "I moved to Lisbon."
    connection = await pg.connect()
    row = await connection.fetchrow("SELECT old_id::text, new_id::text FROM sensitive.supersession")
    assert row is not None
    assert tuple(row) == (old, new)
    await connection.close()


async def test_with_the_switch_off_both_stand(
    api: Any, memory_house: Any, memory_service: Any, caller_factory: Any, settled: Any
) -> None:
    worker = memory_house.worker(LARES_MEMORY_SUPERSEDE="false")
    worker.start()
    try:
        ada = caller_factory()
        old = await remember(api, ada, "I live in Porto.", "2025-01-10")
        await remember(api, ada, "I moved to Lisbon.", "2025-09-01")
        await settled()
        assert (await memory(api, ada, old))["superseded_by"] is None
    finally:
        worker.stop()
