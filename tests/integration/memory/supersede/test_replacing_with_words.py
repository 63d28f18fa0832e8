"""A memory replaced by new words: both in one transaction, whatever dies in between."""

from __future__ import annotations

import asyncio
import signal
from typing import Any
from uuid import UUID

import httpx
import pytest

pytestmark = pytest.mark.integration
OLD, NEW = "The bench under the oak is green.", "The bench under the oak was painted red."
TABLES = {
    "convenience": ("lares", "convenience.memory"),
    "sensitive": ("lares", "sensitive.memory"),
    "sacred": ("lares_sacred", "sacred.memory"),
}


async def remember(api: Any, who: Any, text: str, **more: Any) -> str:
    answer = await api.post("/v1/memories", json={"text": text, **more}, headers=who.headers)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


async def listed(api: Any, who: Any, **query: Any) -> list[dict[str, Any]]:
    answer = await api.get("/v1/memories", params=query, headers=who.headers)
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]


@pytest.mark.parametrize("tier", list(TABLES))
async def test_killed_between_the_new_words_and_the_mark_there_is_neither(
    api: Any, memory_house: Any, caller_factory: Any, pg: Any, until: Any, tier: str
) -> None:
    ada = caller_factory()
    old = await remember(api, ada, OLD, tier=tier)
    database, table = TABLES[tier]
    blocker, eye = await pg.connect(name=database), await pg.connect(name=database)
    doomed = memory_house.service()
    doomed.start()
    async with httpx.AsyncClient(base_url=doomed.url, timeout=20, trust_env=False) as client:
        async with blocker.transaction():
            # The new words are written, and the old row cannot be had.
            await blocker.execute(f"SELECT FROM {table} WHERE id = $1 FOR UPDATE", UUID(old))

            def ask() -> asyncio.Future[httpx.Response]:
                return asyncio.ensure_future(
                    client.post(
                        f"/v1/memories/{old}/supersede", json={"text": NEW}, headers=ada.headers
                    )
                )

            asked = ask()

            async def waits() -> bool:
                nonlocal asked
                if asked.done():
                    # It waits for five seconds and gives up: on a busy machine that was before anybody looked.
                    assert asked.result().status_code == 503
                    asked = ask()
                return await eye.fetchval(
                    "SELECT count(*) FROM pg_stat_activity WHERE usename = 'svc_memory'"
                    " AND state = 'active' AND wait_event_type = 'Lock'"
                )

            await until(waits, why="the old memory was never waited for")
            doomed.stop(signal.SIGKILL)
        with pytest.raises(httpx.TransportError):
            await asked
    gone = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'svc_memory' AND wait_event_type = 'Lock'"
    await until(lambda: _none(eye, gone), why="what was begun never ended")
    for connection in (blocker, eye):
        await connection.close()

    (left,) = await listed(api, ada, tier=tier)
    assert (left["id"], left["text"], left["superseded_by"]) == (old, OLD, None)
    again = await api.post(f"/v1/memories/{old}/supersede", json={"text": NEW}, headers=ada.headers)
    assert again.status_code == 200, again.text
    now = {item["id"]: item for item in await listed(api, ada, tier=tier)}
    assert set(now) == {old, again.json()["id"]}
    assert now[old]["superseded_by"] == again.json()["id"]


async def _none(eye: Any, statement: str) -> bool:
    return await eye.fetchval(statement) == 0


async def test_words_that_say_the_same_replace_nothing_and_leave_nothing(
    api: Any, caller_factory: Any
) -> None:
    ada = caller_factory()
    old = await remember(api, ada, OLD)
    answer = await api.post(
        f"/v1/memories/{old}/supersede",
        json={"text": OLD, "source": {"kind": "mail"}},
        headers=ada.headers,
    )
    assert answer.json()["error"]["code"] == "memory.supersede_refused"
    (left,) = await listed(api, ada)
    assert (left["id"], left["accesses"], left["superseded_by"]) == (old, 0, None)
    origin = await api.get(f"/v1/memories/{old}/provenance", headers=ada.headers)
    assert origin.json()["sources"] == []


async def test_the_new_words_hold_since_when_they_say(api: Any, caller_factory: Any) -> None:
    ada = caller_factory()
    old = await remember(api, ada, OLD, occurred_at="2025-01-01T00:00:00Z")
    answer = await api.post(
        f"/v1/memories/{old}/supersede",
        json={"text": NEW, "valid_from": "2025-06-01T00:00:00Z"},
        headers=ada.headers,
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["valid_from"] == "2025-06-01T00:00:00Z"
    (before,) = [item for item in await listed(api, ada) if item["id"] == old]
    assert before["valid_to"] == "2025-06-01T00:00:00Z"
