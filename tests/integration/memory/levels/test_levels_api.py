"""Levels and consolidation as a caller sees them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

pytestmark = pytest.mark.integration
HOUR = timedelta(hours=1)


@pytest.fixture
def ada(house: Any, caller_factory: Any, api: Any) -> Any:
    """A person whose memories the house has, now."""
    house.now = datetime.now(UTC)
    return caller_factory(subject=house.subject)


async def get(api: Any, who: Any, path: str) -> Any:
    answer = await api.get(path, headers=who.headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def run(api: Any, who: Any, *, dry_run: bool) -> Any:
    return await api.post("/v1/consolidation/run", json={"dry_run": dry_run}, headers=who.headers)


async def test_the_five_levels_say_what_they_hold_and_promise(
    api: Any, ada: Any, house: Any
) -> None:
    await house.put("session")
    await house.put("episodic", "sensitive")
    await house.put("knowledge", "sacred", archived_at=house.now)
    await house.put("identity", text="x" * 350)

    levels = {level["level"]: level for level in (await get(api, ada, "/v1/levels"))["items"]}

    assert list(levels) == ["identity", "session", "working", "episodic", "knowledge"]
    assert {name: level["count"] for name, level in levels.items()} == {
        "identity": 1,
        "session": 1,
        "working": 0,
        "episodic": 1,
        "knowledge": 0,
    }
    assert levels["knowledge"]["archived"] == 1
    assert (levels["identity"]["tokens"], levels["identity"]["tokens_max"]) == (102, 6000)
    assert (levels["session"]["ttl_seconds"], levels["working"]["ttl_seconds"]) == (1800, 3600)
    assert levels["episodic"]["half_life_seconds"] == 7 * 24 * 3600
    assert levels["knowledge"]["ttl_seconds"] is None
    assert all(level["capacity"] > 0 and level["owner"] for level in levels.values())


async def test_a_narrower_client_counts_only_what_it_may_see(
    api: Any, ada: Any, house: Any, caller_factory: Any
) -> None:
    await house.put("session")
    await house.put("session", "sensitive")
    await house.put("session", namespace="diary")
    await house.fetch(
        "INSERT INTO memory.namespace (subject_id, name, shared) VALUES ($1, 'diary', false)",
        house.subject,
    )
    mcp = caller_factory(
        subject=house.subject, kind="token", db_role="lares_mcp", scopes=("memory:read",)
    )
    counts = [
        next(level["count"] for level in answer["items"] if level["level"] == "session")
        for answer in (await get(api, ada, "/v1/levels"), await get(api, mcp, "/v1/levels"))
    ]
    assert counts == [3, 1]


async def test_a_dry_run_shows_what_would_be_done_and_writes_nothing(
    api: Any, ada: Any, house: Any
) -> None:
    moved = await house.put("session", accesses=2)
    ended = await house.put("working", expires_at=house.now - HOUR)
    before = await house.everything()

    answer = await run(api, ada, dry_run=True)

    assert answer.status_code == 200, answer.text
    assert answer.json()["dry_run"] is True
    assert {
        (move["memory_id"], move["move"], move["to_level"]) for move in answer.json()["items"]
    } == {
        (str(moved), "promoted", "working"),
        (str(ended), "expired", "knowledge"),
    }
    assert await house.everything() == before


async def test_a_run_by_hand_moves_and_the_journal_tells_it_in_words(
    api: Any, ada: Any, house: Any
) -> None:
    moved = await house.put("session", accesses=5)
    sealed = await house.put("session", "sacred", accesses=2)

    answer = await run(api, ada, dry_run=False)

    assert answer.status_code == 200, answer.text
    first = await get(api, ada, "/v1/consolidation/journal?limit=2")
    rest = await get(api, ada, f"/v1/consolidation/journal?limit=2&before={first['next_before']}")
    assert rest["next_before"] is None
    entries = [*first["items"], *rest["items"]]
    assert len({entry["id"] for entry in entries}) == 3
    assert entries == sorted(entries, key=lambda entry: entry["at"], reverse=True)
    assert {(entry["memory_id"], entry["from_level"], entry["to_level"]) for entry in entries} == {
        (str(moved), "session", "working"),
        (str(moved), "working", "episodic"),
        (str(sealed), "session", "working"),
    }
    assert all("used" in entry["why"] and 0 <= entry["score"] <= 1 for entry in entries)
    assert sorted(entry["id"] for entry in answer.json()["items"]) == sorted(
        entry["id"] for entry in entries
    )


async def test_the_journal_shows_a_narrower_client_neither_other_tiers_nor_hidden_namespaces(
    api: Any, ada: Any, house: Any, caller_factory: Any
) -> None:
    seen = await house.put("session", accesses=2)
    await house.put("session", "sensitive", accesses=2)
    await house.put("session", "sacred", accesses=2)
    await house.put("session", accesses=2, namespace="diary")
    await house.fetch(
        "INSERT INTO memory.namespace (subject_id, name, shared) VALUES ($1, 'diary', false)",
        house.subject,
    )
    assert len((await run(api, ada, dry_run=False)).json()["items"]) == 4
    mcp = caller_factory(
        subject=house.subject, kind="token", db_role="lares_mcp", scopes=("memory:read",)
    )
    other = caller_factory()
    journal = await get(api, mcp, "/v1/consolidation/journal")
    assert [entry["memory_id"] for entry in journal["items"]] == [str(seen)]
    assert (await get(api, other, "/v1/consolidation/journal"))["items"] == []


async def test_the_owner_turns_it_off_and_a_run_by_hand_says_so(
    api: Any, ada: Any, house: Any
) -> None:
    await house.put("session", accesses=2)
    off = await api.put("/v1/consolidation", json={"enabled": False}, headers=ada.headers)
    assert off.status_code == 200, off.text
    assert off.json()["enabled"] is False

    refused = await run(api, ada, dry_run=False)

    assert refused.status_code == 409
    assert refused.json()["error"]["code"] == "memory.consolidation_off"
    assert (await run(api, ada, dry_run=True)).json()["items"]
    assert await house.journal() == []
    on = await api.put("/v1/consolidation", json={"enabled": True}, headers=ada.headers)
    assert on.json()["enabled"] is True


@pytest.mark.parametrize(
    "who", [{"role": "member"}, {"kind": "token", "scopes": ("memory:read", "memory:write")}]
)
async def test_only_the_owner_in_person_may_turn_it_off(
    api: Any, ada: Any, caller_factory: Any, who: dict[str, Any]
) -> None:
    caller = caller_factory(**who)
    refused = await api.put("/v1/consolidation", json={"enabled": False}, headers=caller.headers)
    assert refused.status_code == 403
    assert refused.json()["error"]["code"] == "memory.consolidation_denied"
    assert (await get(api, ada, "/v1/consolidation"))["enabled"] is True


async def test_while_the_consolidator_is_at_it_a_run_by_hand_is_told_to_wait(
    api: Any, ada: Any, house: Any
) -> None:
    await house.put("session", accesses=2)
    async with house.store.plain.own() as guard:
        assert await house.store.hold_subject(guard, house.subject)
        refused = await run(api, ada, dry_run=False)
    assert refused.status_code == 409
    assert refused.json()["error"]["code"] == "memory.consolidation_busy"


@pytest.mark.parametrize("before", ["yesterday", "1-2-3", "%00", "9" * 40])
async def test_a_place_the_journal_never_gave_out_is_refused(
    api: Any, ada: Any, before: str
) -> None:
    answer = await api.get(f"/v1/consolidation/journal?before={before}", headers=ada.headers)
    assert answer.status_code == 422
    assert answer.json()["error"]["code"] == "memory.journal_cursor_invalid"


async def test_the_leader_and_its_rounds_are_shown(
    api: Any, ada: Any, consolidators: Any, eventually: Any
) -> None:
    before = await get(api, ada, "/v1/consolidation")
    assert (before["enabled"], before["leader"], before["next_run"]) == (True, None, None)
    process = consolidators()

    async def shown() -> Any:
        state = await get(api, ada, "/v1/consolidation")
        return state if state["leader"] and state["last_run"] else None

    state = await eventually(shown, process.log)
    assert state["leader"].endswith(f"-{process.pid}")
    assert state["next_run"] > state["last_run"]
    assert state["dry_run"] is False


async def test_two_looks_by_id_take_a_session_memory_to_working(
    api: Any, ada: Any, house: Any, eventually: Any
) -> None:
    kept = await api.post(
        "/v1/memories",
        json={"text": "The plumber comes at nine on Thursday", "level": "session"},
        headers=ada.headers,
    )
    assert kept.status_code == 201, kept.text
    ident = kept.json()["id"]
    for _ in range(2):
        await get(api, ada, f"/v1/memories/{ident}")

    async def noted() -> bool:
        return (await house.row(ident))["accesses"] == 2

    await eventually(noted, lambda: "the looks were not noted")
    assert (await house.row(ident))["strength"] > 1.0

    moves = (await run(api, ada, dry_run=False)).json()["items"]

    assert [(move["memory_id"], move["to_level"]) for move in moves] == [(ident, "working")]
    assert (await get(api, ada, f"/v1/memories/{ident}"))["level"] == "working"


@pytest.mark.parametrize("tier", ["convenience", "sacred"])
async def test_a_reading_client_reinforces_what_it_recalls(
    api: Any, ada: Any, house: Any, caller_factory: Any, eventually: Any, tier: str
) -> None:
    kept = await api.post(
        "/v1/memories",
        json={"text": "The beehives stand behind the barn", "level": "episodic", "tier": tier},
        headers=ada.headers,
    )
    ident = kept.json()["id"]
    reader = ada
    if tier == "convenience":
        reader = caller_factory(
            subject=house.subject,
            kind="token",
            db_role="lares_mcp",
            read_only=True,
            scopes=("memory:read",),
        )
    found = await api.post(
        "/v1/recall",
        json={"query": "where are the beehives?", "tiers": [tier]},
        headers=reader.headers,
    )
    assert [each["memory"]["id"] for each in found.json()["results"]] == [ident]

    async def stronger() -> bool:
        row = await house.row(ident, tier)
        return row["accesses"] == 1 and row["strength"] > 1.0

    await eventually(stronger, lambda: "the recall was not noted")
