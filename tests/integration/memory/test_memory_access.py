"""Who may do what with which tier, asked over HTTP with signed callers."""

from __future__ import annotations

from typing import Any

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


@pytest.mark.parametrize("tier", ["sensitive", "sacred"])
async def test_a_token_for_convenience_cannot_even_ask_for_more(
    api: Any, caller_factory: Any, tier: str
) -> None:
    ada = caller_factory()
    kept = await remember(api, ada, "My pelican diagnosis", tier=tier)
    token = caller_factory(
        subject=ada.caller.subject,
        kind="token",
        db_role="lares_mcp",
        scopes=("memory:read", "memory:write"),
    )
    denied = [
        await api.post(
            "/v1/recall", json={"query": "pelican", "tiers": [tier]}, headers=token.headers
        ),
        await api.get("/v1/memories", params={"tier": tier}, headers=token.headers),
        await api.post("/v1/memories", json={"text": "x", "tier": tier}, headers=token.headers),
    ]
    assert {(answer.status_code, code(answer)) for answer in denied} == {
        (403, "memory.tier_denied")
    }
    place = f"/v1/memories/{kept['id']}"
    assert code(await api.get(place, headers=token.headers)) == "memory.not_found"
    assert code(await api.delete(place, headers=token.headers)) == "memory.not_found"
    everything = await api.post("/v1/recall", json={"query": "pelican"}, headers=token.headers)
    assert everything.json()["results"] == []
    own = await remember(api, token, "A note of the token")
    raised = await api.patch(
        f"/v1/memories/{own['id']}", json={"tier": tier}, headers=token.headers
    )
    assert (raised.status_code, code(raised)) == (403, "memory.tier_denied")
    # Forgotten or not, the token must not learn that it exists.
    await api.delete(place, headers=ada.headers)
    assert code(await api.delete(place, headers=token.headers)) == "memory.not_found"


async def test_a_reading_token_reads_and_changes_nothing(api: Any, caller_factory: Any) -> None:
    ada = caller_factory()
    kept = await remember(api, ada, "The bins go out on Tuesday")
    reader = caller_factory(
        subject=ada.caller.subject,
        kind="token",
        db_role="lares_mcp",
        scopes=("memory:read",),
        read_only=True,
    )
    place = f"/v1/memories/{kept['id']}"
    assert (await api.get(place, headers=reader.headers)).status_code == 200
    assert (await api.post("/v1/recall", json={"query": "bins"}, headers=reader.headers)).json()[
        "results"
    ]
    for answer in (
        await api.post("/v1/memories", json={"text": "x"}, headers=reader.headers),
        await api.patch(place, json={"text": "x"}, headers=reader.headers),
        await api.delete(place, headers=reader.headers),
    ):
        assert answer.status_code == 403
        assert code(answer) in ("kit.scope_missing", "kit.read_only")
    assert (await api.get(place, headers=ada.headers)).json() == kept


async def test_a_remote_token_reaches_sensitive_and_never_sacred(
    api: Any, caller_factory: Any
) -> None:
    ada = caller_factory()
    scopes = ("memory:read", "memory:write")
    remote = caller_factory(
        subject=ada.caller.subject, kind="token", db_role="lares_remote_rw", scopes=scopes
    )
    kept = await remember(api, remote, "Rent is due on the first", tier="sensitive")
    assert (await api.get(f"/v1/memories/{kept['id']}", headers=ada.headers)).status_code == 200
    answer = await api.post(
        "/v1/memories", json={"text": "x", "tier": "sacred"}, headers=remote.headers
    )
    assert code(answer) == "memory.tier_denied"


async def test_without_a_caller_or_with_a_forged_one_nothing_is_answered(
    api: Any, caller_factory: Any
) -> None:
    from kit.testing.callers import CallerFactory, make_keys

    forged = CallerFactory(*make_keys())()
    for headers in ({}, forged.headers, {"X-Lares-Caller": "nonsense"}, {"Remote-User": "ada"}):
        answer = await api.get("/v1/memories", headers=headers)
        assert answer.status_code == 401
