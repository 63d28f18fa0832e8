"""A mark, how to undo it and where a memory came from outlive merges and moves, and tell nobody more than before."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

pytestmark = pytest.mark.integration
PLACE = ("superseded_by", "superseded_at", "valid_from", "valid_to", "text", "source", "tier")


async def remember(api: Any, who: Any, text: str, **more: Any) -> str:
    body = {"occurred_at": "2025-01-10T12:00:00Z", **more}
    answer = await api.post("/v1/memories", json={"text": text, **body}, headers=who.headers)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


async def memory(api: Any, who: Any, ident: str) -> dict[str, Any]:
    answer = await api.get(f"/v1/memories/{ident}", headers=who.headers)
    assert answer.status_code == 200, answer.text
    return {name: answer.json()[name] for name in ("id", *PLACE)}


async def act(api: Any, who: Any, ident: str, what: str, body: Any = None) -> dict[str, Any]:
    answer = await api.post(f"/v1/memories/{ident}/{what}", json=body, headers=who.headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def move(api: Any, who: Any, ident: str, tier: str) -> None:
    answer = await api.patch(f"/v1/memories/{ident}", json={"tier": tier}, headers=who.headers)
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("tier", ["convenience", "sensitive"])
@pytest.mark.parametrize("undo", ["restored", "forgotten"])
async def test_a_memory_whose_successor_was_merged_is_restored_exactly(
    api: Any, caller_factory: Any, tier: str, undo: str
) -> None:
    ada = caller_factory()
    third = await remember(api, ada, "The gate is painted blue", tier=tier)
    old = await remember(api, ada, "The gate is green", tier=tier, valid_to="2031-01-01T00:00:00Z")
    new = await remember(api, ada, "A blue gate", tier=tier, occurred_at="2025-03-01T12:00:00Z")
    before = await memory(api, ada, old)
    await act(api, ada, old, "supersede", {"by": new})
    assert (await memory(api, ada, old))["valid_to"] == "2025-03-01T12:00:00Z"
    merged = await act(api, ada, third, "merge", {"other": new})
    assert merged["id"] == third
    assert (await memory(api, ada, old))["superseded_by"] == third

    if undo == "restored":
        await act(api, ada, old, "restore")
    else:
        gone = await api.delete(f"/v1/memories/{third}", headers=ada.headers)
        assert gone.json()["verified"] is True
    assert await memory(api, ada, old) == before


async def test_a_hidden_mark_goes_over_to_the_survivor_of_a_merge(
    api: Any, caller_factory: Any, pg: Any
) -> None:
    ada = caller_factory()
    third = await remember(api, ada, "The gate is painted blue", tier="sensitive")
    old = await remember(api, ada, "The gate is green")
    new = await remember(api, ada, "A blue gate", tier="sensitive")
    await act(api, ada, old, "supersede", {"by": new})
    await act(api, ada, third, "merge", {"other": new})
    connection = await pg.connect()
    rows = await connection.fetch("SELECT old_id, new_id FROM sensitive.supersession")
    await connection.close()
    assert [tuple(row) for row in rows] == [(UUID(old), UUID(third))]


@pytest.mark.parametrize(
    ("tier", "to"), [("convenience", "sensitive"), ("sensitive", "convenience")]
)
async def test_a_memory_that_changes_its_tier_keeps_all_its_sources_and_names(
    api: Any, caller_factory: Any, tier: str, to: str
) -> None:
    ada = caller_factory()
    one = await remember(api, ada, "The plumber is Mr Costa", tier=tier, source={"kind": "a"})
    two = await remember(api, ada, "For pipes call Costa", tier=tier, source={"kind": "b"})
    await act(api, ada, one, "merge", {"other": two})
    before = await api.get(f"/v1/memories/{one}/provenance", headers=ada.headers)
    await move(api, ada, one, to)
    after = await api.get(f"/v1/memories/{two}/provenance", headers=ada.headers)
    assert after.status_code == 200, after.text
    assert after.json()["memory"]["id"] == one
    assert after.json()["sources"] == before.json()["sources"]
    assert [each["text"] for each in after.json()["sources"]] == ["For pipes call Costa"]


async def test_a_replaced_memory_that_is_moved_up_is_restored_exactly(
    api: Any, caller_factory: Any
) -> None:
    ada = caller_factory()
    old = await remember(api, ada, "The gate is green", valid_to="2031-01-01T00:00:00Z")
    new = await remember(api, ada, "The gate is blue", occurred_at="2025-03-01T12:00:00Z")
    before = await memory(api, ada, old)
    await act(api, ada, old, "supersede", {"by": new})
    await move(api, ada, old, "sensitive")
    assert (await memory(api, ada, old))["superseded_by"] == new
    await act(api, ada, old, "restore")
    assert await memory(api, ada, old) == {**before, "tier": "sensitive"}


async def test_moved_down_a_memory_does_not_tell_of_the_private_one_that_replaced_it(
    api: Any, caller_factory: Any, pg: Any
) -> None:
    ada = caller_factory()
    agent = caller_factory(
        subject=ada.caller.subject, kind="token", db_role="lares_mcp", scopes=["memory:read"]
    )
    old = await remember(
        api, ada, "The gate is green", tier="sensitive", valid_to="2031-01-01T00:00:00Z"
    )
    new = await remember(
        api, ada, "The gate is blue", tier="sensitive", occurred_at="2025-03-01T12:00:00Z"
    )
    before = await memory(api, ada, old)
    await act(api, ada, old, "supersede", {"by": new})
    await move(api, ada, old, "convenience")
    assert await memory(api, agent, old) == {**before, "tier": "convenience"}
    connection = await pg.connect()
    rows = await connection.fetch("SELECT old_id, new_id FROM sensitive.supersession")
    assert [tuple(row) for row in rows] == [(UUID(old), UUID(new))]
    assert await connection.fetch("SELECT FROM memory.supersession") == []
    await connection.close()
    asked = {"query": "what colour is the gate", "superseded": True}
    found = await api.post("/v1/recall", json=asked, headers=ada.headers)
    assert [each["memory"]["id"] for each in found.json()["results"]] == [new, old]
