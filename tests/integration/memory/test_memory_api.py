"""Memory over HTTP, as its neighbours call it: real process, real Postgres and Valkey, signed callers."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import httpx
import pytest

pytestmark = pytest.mark.integration


async def remember(api: httpx.AsyncClient, who: Any, text: str, **more: Any) -> dict[str, Any]:
    headers = {**who.headers, **more.pop("headers", {})}
    answer = await api.post("/v1/memories", json={"text": text, **more}, headers=headers)
    assert answer.status_code == 201, answer.text
    return answer.json()


def code(answer: httpx.Response) -> str:
    return answer.json()["error"]["code"]


async def test_a_memory_is_found_by_its_words_the_moment_it_is_acknowledged(
    api: Any, caller_factory: Any
) -> None:
    ada = caller_factory()
    kept = await remember(
        api, ada, "The spare key hangs behind the boiler", source={"kind": "turn", "ref": "t-1"}
    )
    assert kept["embedded"] is False
    assert kept["source"] == {"kind": "turn", "ref": "t-1"}

    answer = await api.post(
        "/v1/recall", json={"query": "where is the spare key?"}, headers=ada.headers
    )

    found = answer.json()["results"]
    assert [result["memory"]["id"] for result in found] == [kept["id"]]
    assert found[0]["reasons"][0]["arm"] == "lexical"
    assert "spare" in found[0]["reasons"][0]["detail"]
    assert 0 < found[0]["score"] <= 1


async def test_a_memory_outlives_the_process(
    api: Any, memory_house: Any, caller_factory: Any
) -> None:
    ada = caller_factory()
    kept = await remember(api, ada, "Grandmother's recipe needs nutmeg")
    another = memory_house.service()
    another.start()
    try:
        answer = httpx.get(
            f"{another.url}/v1/memories/{kept['id']}", headers=ada.headers, trust_env=False
        )
        assert answer.json() == kept
    finally:
        another.stop()


async def test_one_person_never_sees_anothers_memories(api: Any, caller_factory: Any) -> None:
    ada, bob = caller_factory(), caller_factory(username="bob")
    for tier in ("convenience", "sensitive", "sacred"):
        kept = await remember(api, ada, f"Ada's {tier} secret is marzipan", tier=tier)
        place = f"/v1/memories/{kept['id']}"
        assert code(await api.get(place, headers=bob.headers)) == "memory.not_found"
        assert (
            code(await api.patch(place, json={"text": "mine"}, headers=bob.headers))
            == "memory.not_found"
        )
        assert code(await api.delete(place, headers=bob.headers)) == "memory.not_found"
        recalled = await api.post(
            "/v1/recall", json={"query": "marzipan", "tiers": [tier]}, headers=bob.headers
        )
        assert recalled.json()["results"] == []
        listed = await api.get("/v1/memories", params={"tier": tier}, headers=bob.headers)
        assert listed.json()["items"] == []
        assert (await api.get(place, headers=ada.headers)).json()["text"] == kept["text"]


@pytest.mark.parametrize(
    ("body", "status", "expected"),
    [
        ({"text": ""}, 422, "memory.text_empty"),
        ({"text": " \n\t "}, 422, "memory.text_empty"),
        ({"text": "\u200b\u2060"}, 422, "memory.text_empty"),
        ({"text": "x" * 8001}, 422, "memory.text_too_long"),
        ({"text": "bell \x07"}, 422, "memory.text_unprintable"),
        ({"text": "nul \x00 byte"}, 422, "memory.text_unprintable"),
        ({"text": "x", "tier": "secret"}, 422, "memory.tier_unknown"),
        ({"text": "x", "tier": "convenience; DROP TABLE"}, 422, "memory.tier_unknown"),
        ({"text": "x", "occurred_at": "2026-05-01T09:00:00"}, 422, "memory.time_invalid"),
        ({"text": 7}, 422, "kit.invalid_request"),
        ({"txt": "x"}, 422, "kit.invalid_request"),
        ({"text": "x", "source": {"kind": "No Such Kind"}}, 422, "kit.invalid_request"),
    ],
)
async def test_bad_input_is_refused_with_a_code_and_nothing_is_kept(
    api: Any, caller_factory: Any, body: dict[str, Any], status: int, expected: str
) -> None:
    ada = caller_factory()
    answer = await api.post("/v1/memories", json=body, headers=ada.headers)
    assert (answer.status_code, code(answer)) == (status, expected)
    assert (await api.get("/v1/memories", headers=ada.headers)).json()["items"] == []


@pytest.mark.parametrize(
    "content", [b'{"text": "\\ud800 half"}', b"\xff\xfe\x00binary", b"[]", b"", b'{"text":']
)
async def test_what_is_no_text_is_refused(api: Any, caller_factory: Any, content: bytes) -> None:
    answer = await api.post("/v1/memories", content=content, headers=caller_factory().headers)
    assert answer.status_code == 422
    assert code(answer) in ("memory.text_unprintable", "kit.invalid_request")


async def test_a_text_of_exactly_the_limit_comes_back_whole(api: Any, caller_factory: Any) -> None:
    ada = caller_factory()
    for tier in ("convenience", "sacred"):
        text = ("ü\U0001f511\n" * 2667)[:7999] + "."
        kept = await remember(api, ada, text, tier=tier)
        assert (await api.get(f"/v1/memories/{kept['id']}", headers=ada.headers)).json()[
            "text"
        ] == text


async def test_a_retried_remember_returns_the_first_memory(api: Any, caller_factory: Any) -> None:
    ada = caller_factory()
    for tier in ("convenience", "sacred"):
        key = {"Idempotency-Key": f"retry-{tier}"}
        first = await remember(api, ada, "Pay the gardener", tier=tier, headers=key)
        again = await remember(api, ada, "Pay the gardener", tier=tier, headers=key)
        assert again == first
        listed = await api.get("/v1/memories", params={"tier": tier}, headers=ada.headers)
        assert len(listed.json()["items"]) == 1
        other = await api.post(
            "/v1/memories",
            json={"text": "Something else", "tier": tier},
            headers={**ada.headers, **key},
        )
        assert (other.status_code, code(other)) == (409, "memory.idempotency_key_reused")


async def test_twenty_retries_at_once_make_one_memory(api: Any, caller_factory: Any) -> None:
    ada = caller_factory()
    key = {"Idempotency-Key": "at-once"}
    kept = await asyncio.gather(*(remember(api, ada, "Once only", headers=key) for _ in range(20)))
    assert len({memory["id"] for memory in kept}) == 1
    assert len((await api.get("/v1/memories", headers=ada.headers)).json()["items"]) == 1


async def test_a_retry_never_brings_a_forgotten_memory_back(api: Any, caller_factory: Any) -> None:
    ada = caller_factory()
    key = {"Idempotency-Key": "gone"}
    kept = await remember(api, ada, "Let me go", headers=key)
    await api.delete(f"/v1/memories/{kept['id']}", headers=ada.headers)
    answer = await api.post(
        "/v1/memories", json={"text": "Let me go"}, headers={**ada.headers, **key}
    )
    assert (answer.status_code, code(answer)) == (410, "memory.forgotten")


async def test_the_same_key_of_two_people_is_two_keys(api: Any, caller_factory: Any) -> None:
    key = {"Idempotency-Key": "same"}
    ada, bob = caller_factory(), caller_factory()
    assert (await remember(api, ada, "A", headers=key))["id"] != (
        await remember(api, bob, "A", headers=key)
    )["id"]


@pytest.mark.parametrize("key", ["", "x" * 201, "tab\there", "ü"])
async def test_a_key_that_is_none_is_refused(api: Any, caller_factory: Any, key: str) -> None:
    headers = [(name.encode(), value.encode()) for name, value in caller_factory().headers.items()]
    headers.append((b"idempotency-key", key.encode()))
    answer = await api.post("/v1/memories", json={"text": "x"}, headers=headers)
    assert (answer.status_code, code(answer)) == (422, "memory.idempotency_key_invalid")


async def test_pages_show_every_memory_once_newest_first(api: Any, caller_factory: Any) -> None:
    ada = caller_factory()
    kept = [
        await remember(api, ada, f"Note {number}", tier=("convenience", "sensitive")[number % 2])
        for number in range(11)
    ]
    seen: list[str] = []
    cursor: str | None = None
    for _ in range(10):
        params = {"limit": 3, **({"cursor": cursor} if cursor else {})}
        page = (await api.get("/v1/memories", params=params, headers=ada.headers)).json()
        seen += [memory["id"] for memory in page["items"]]
        cursor = page["next_cursor"]
        # What is remembered meanwhile is newer than the cursor and shifts nothing.
        await remember(api, ada, f"meanwhile {len(seen)}")
        if cursor is None:
            break
    assert seen == [memory["id"] for memory in reversed(kept)]


@pytest.mark.parametrize(
    "cursor", ["x", "AAAA", "W10", "ü", "e30", "WzEsMSwiYSIsImNvc2UiXQ", "9" * 400]
)
async def test_a_foreign_cursor_is_refused(api: Any, caller_factory: Any, cursor: str) -> None:
    answer = await api.get(
        "/v1/memories", params={"cursor": cursor}, headers=caller_factory().headers
    )
    assert (answer.status_code, code(answer)) == (422, "memory.cursor_invalid")


async def test_a_cursor_of_one_tier_is_no_cursor_of_another(api: Any, caller_factory: Any) -> None:
    ada = caller_factory()
    for number in range(3):
        await remember(api, ada, f"Note {number}")
    page = await api.get(
        "/v1/memories", params={"tier": "convenience", "limit": 1}, headers=ada.headers
    )
    params = {"tier": "sensitive", "cursor": page.json()["next_cursor"]}
    assert (
        code(await api.get("/v1/memories", params=params, headers=ada.headers))
        == "memory.cursor_invalid"
    )


@pytest.mark.parametrize("limit", ["0", "201", "-1", "1e3", "many", "99999"])
async def test_a_limit_out_of_range_is_refused(api: Any, caller_factory: Any, limit: str) -> None:
    answer = await api.get(
        "/v1/memories", params={"limit": limit}, headers=caller_factory().headers
    )
    assert (answer.status_code, code(answer)) == (422, "memory.limit_invalid")


async def test_an_edit_changes_what_it_names_and_nothing_else(
    api: Any, caller_factory: Any
) -> None:
    ada = caller_factory()
    for tier in ("convenience", "sensitive", "sacred"):
        kept = await remember(
            api, ada, "Dinner at seven", tier=tier, occurred_at="2026-05-01T19:00:00+02:00"
        )
        place = f"/v1/memories/{kept['id']}"
        edited = (
            await api.patch(place, json={"text": "Dinner at eight"}, headers=ada.headers)
        ).json()
        assert edited["text"] == "Dinner at eight"
        assert edited["updated_at"] > kept["updated_at"]
        assert edited["occurred_at"] == kept["occurred_at"] == "2026-05-01T17:00:00Z"
        cleared = (await api.patch(place, json={"occurred_at": None}, headers=ada.headers)).json()
        assert (cleared["occurred_at"], cleared["text"]) == (None, "Dinner at eight")
        assert code(await api.patch(place, json={}, headers=ada.headers)) == "memory.edit_empty"
        assert (
            code(await api.patch(place, json={"text": " "}, headers=ada.headers))
            == "memory.text_empty"
        )
        assert (await api.get(place, headers=ada.headers)).json() == cleared


async def test_an_edited_memory_is_found_by_its_new_words_alone(
    api: Any, caller_factory: Any
) -> None:
    ada = caller_factory()
    kept = await remember(api, ada, "The wifi password is tangerine")
    await api.patch(
        f"/v1/memories/{kept['id']}",
        json={"text": "The wifi password is papaya"},
        headers=ada.headers,
    )
    for query, count in (("papaya", 1), ("tangerine", 0)):
        answer = await api.post("/v1/recall", json={"query": query}, headers=ada.headers)
        assert sum(bool(result["reasons"]) for result in answer.json()["results"]) == count


async def test_forgetting_erases_counts_and_can_be_repeated(
    api: Any, caller_factory: Any, pg: Any
) -> None:
    ada = caller_factory()
    for tier in ("convenience", "sensitive", "sacred"):
        kept = await remember(
            api, ada, "Forget this quince", tier=tier, headers={"Idempotency-Key": f"f-{tier}"}
        )
        place = f"/v1/memories/{kept['id']}"
        erased = (await api.delete(place, headers=ada.headers)).json()["erased"]
        assert (erased["rows"], erased["pending"], erased["request_hashes"]) == (1, 1, 1)
        again = await api.delete(place, headers=ada.headers)
        assert again.status_code == 200
        assert set(again.json()["erased"].values()) == {0}
        assert code(await api.get(place, headers=ada.headers)) == "memory.not_found"
        answer = await api.post(
            "/v1/recall", json={"query": "quince", "tiers": [tier]}, headers=ada.headers
        )
        assert answer.json()["results"] == []
    assert (
        code(await api.delete(f"/v1/memories/{uuid4()}", headers=ada.headers)) == "memory.not_found"
    )
    assert (
        code(await api.delete("/v1/memories/not-an-id", headers=ada.headers)) == "memory.not_found"
    )
    for name, schemas in (
        ("lares", ("memory", "sensitive", "convenience")),
        ("lares_sacred", ("sacred",)),
    ):
        connection = await pg.connect(name=name)
        try:
            for schema in schemas:
                for table in await _tables(connection, schema):
                    for row in await connection.fetch(
                        f"SELECT t::text AS said FROM {schema}.{table} AS t"
                    ):
                        assert "quince" not in row["said"]
            books = "memory" if name == "lares" else "sacred"
            assert await connection.fetchval(f"SELECT count(*) FROM {books}.pending_embedding") == 0
            assert await connection.fetchval(f"SELECT count(*) FROM {books}.tombstone") == (
                2 if name == "lares" else 1
            )
        finally:
            await connection.close()


async def _tables(connection: Any, schema: str) -> list[str]:
    rows = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = $1", schema)
    return [row["tablename"] for row in rows]
