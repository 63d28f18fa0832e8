"""Every filter of a list and of a recall leaves all that fit, in every tier, and nothing else."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

pytestmark = pytest.mark.integration
TIERS = ("convenience", "sensitive", "sacred")


async def remember(api: Any, who: Any, text: str, **more: Any) -> str:
    answer = await api.post("/v1/memories", json={"text": text, **more}, headers=who.headers)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


async def listed(api: Any, who: Any, limit: int = 2, **query: Any) -> list[str]:
    """Return the whole list, in pages."""
    found: list[str] = []
    cursor: dict[str, str] = {}
    for _ in range(50):
        answer = await api.get(
            "/v1/memories", params={"limit": limit, **query, **cursor}, headers=who.headers
        )
        assert answer.status_code == 200, answer.text
        found += [item["id"] for item in answer.json()["items"]]
        if answer.json()["next_cursor"] is None:
            assert len(set(found)) == len(found)
            return found
        cursor = {"cursor": answer.json()["next_cursor"]}
    raise AssertionError("the list has no end")


async def recalled(api: Any, who: Any, query: str, **asked: Any) -> set[str]:
    answer = await api.post(
        "/v1/recall", json={"query": query, "limit": 50, **asked}, headers=who.headers
    )
    assert answer.status_code == 200, answer.text
    return {each["memory"]["id"] for each in answer.json()["results"]}


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize(
    ("made", "of_list", "of_recall"),
    [
        ({"namespace": "work"}, {"namespace": "work"}, {"namespaces": ["work"]}),
        ({"level": "episodic"}, {"level": "episodic"}, {"levels": ["episodic"]}),
        ({"source": {"kind": "mail"}}, {"source": "mail"}, {"sources": ["mail"]}),
        ({"thread": "meter"}, {"thread": "meter"}, {"threads": ["meter"]}),
        (
            {"occurred_at": "2025-05-01T00:00:00Z"},
            {"since": "2025-04-30T00:00:00Z", "until": "2025-05-02T00:00:00Z"},
            {"since": "2025-04-30T00:00:00Z", "until": "2025-05-02T00:00:00Z"},
        ),
    ],
    ids=["namespace", "level", "source", "thread", "time"],
)
async def test_a_filter_leaves_all_that_fit_in_each_tier_and_nothing_else(
    api: Any,
    caller_factory: Any,
    tier: str,
    made: dict[str, Any],
    of_list: dict[str, Any],
    of_recall: dict[str, Any],
) -> None:
    ada = caller_factory()
    await api.put("/v1/namespaces/work", json={}, headers=ada.headers)
    inside: list[str] = []
    for number in range(5):
        text = f"The meter in the cellar shows {number}"
        inside.append(await remember(api, ada, text, tier=tier, **made))
        await remember(api, ada, f"The meter in the attic shows {number}", tier=tier)
    assert sorted(await listed(api, ada, tier=tier, **of_list)) == sorted(inside)
    by_time = await listed(api, ada, tier=tier, order="occurred", **of_list)
    assert sorted(by_time) == sorted(inside)
    asked = {"tiers": [tier], **of_recall}
    assert await recalled(api, ada, "what does the meter show", **asked) == set(inside)


async def named(api: Any, who: Any, name: str, tiers: int) -> dict[str, Any] | None:
    answer = await api.get("/v1/entities", params={"query": name}, headers=who.headers)
    return next(
        (
            item
            for item in answer.json()["items"]
            if item["name"] == name and len(item["tiers"]) == tiers
        ),
        None,
    )


async def test_asked_for_an_entity_whatever_speaks_of_it_comes_from_every_tier(
    api: Any, worker: Any, caller_factory: Any, until: Any
) -> None:
    ada = caller_factory()
    plain = await remember(api, ada, "I met Rita Mendes in Porto.")
    private = await remember(api, ada, "Rita Mendes has a pacemaker.", tier="sensitive")
    other = await remember(api, ada, "Carla Dias plays the violin.")
    for number in range(4):
        await remember(api, ada, f"The meter in the attic shows {number}")
    rita = await until(lambda: named(api, ada, "Rita Mendes", 2), why=worker.log())
    carla = await until(lambda: named(api, ada, "Carla Dias", 1), why=worker.log())

    async def everywhere(who: Any, entity: str, expected: set[str]) -> None:
        assert set(await listed(api, who, limit=1, entity=entity)) == expected
        found = await recalled(api, who, "what is there to know", entities=[entity])
        assert found == expected
        counted = await api.post("/v1/forget", json={"entity": entity}, headers=who.headers)
        assert counted.json()["memories"] == len(expected)

    await everywhere(ada, rita["id"], {plain, private})
    assert await listed(api, ada, entity=rita["id"], tier="sensitive") == [private]
    only = {"entities": [rita["id"]], "tiers": ["sensitive"]}
    assert await recalled(api, ada, "what is there to know", **only) == {private}
    assert await listed(api, ada, entity=rita["id"], level="episodic") == []
    agent = caller_factory(
        subject=ada.caller.subject, kind="token", db_role="lares_mcp", scopes=["memory:read"]
    )
    assert await listed(api, agent, entity=rita["id"]) == [plain]

    # Two that are one are asked for by either id, also by one that somebody noted before.
    joined = await api.post(
        f"/v1/entities/{rita['id']}/merge", json={"other": carla["id"]}, headers=ada.headers
    )
    assert joined.status_code == 200, joined.text
    for entity in (rita["id"], carla["id"]):
        await everywhere(ada, entity, {plain, private, other})


@pytest.mark.parametrize("entity", ["x", str(uuid4())])
async def test_a_list_by_an_entity_that_is_not_there_says_so(
    api: Any, caller_factory: Any, entity: str
) -> None:
    answer = await api.get(
        "/v1/memories", params={"entity": entity}, headers=caller_factory().headers
    )
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "memory.entity_not_found"
