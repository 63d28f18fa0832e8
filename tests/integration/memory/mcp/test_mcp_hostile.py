"""AI clients at the door, as they should not be. Each test is named for what it tries."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import httpx
import pytest
from fastmcp.exceptions import ToolError

pytestmark = pytest.mark.integration
HOST = "lares.test"
READ, WRITE = "memory:read", "memory:write"


def call(name: str, **arguments: Any) -> dict[str, Any]:
    params = {"name": name, "arguments": arguments}
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}


@pytest.mark.parametrize("name", ["remember", "forget_memory"])
async def test_a_reading_token_on_a_writing_tool_is_a_403_and_nothing_runs(
    door: Any, name: str
) -> None:
    token = await door.token(READ)
    arguments = {"text": "x"} if name == "remember" else {"id": str(uuid4())}
    answer = await door.post(token, call(name, **arguments))
    assert answer.status_code == 403
    assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]
    assert 'scope="memory:write"' in answer.headers["www-authenticate"]
    assert answer.json()["error"]["code"] == "mcp.insufficient_scope"
    batched = await door.post(
        token, [{"jsonrpc": "2.0", "id": 0, "method": "ping"}, call(name, **arguments)]
    )
    assert batched.status_code == 403
    async with door.client(token) as client:
        assert (await client.call_tool("list_memories", {})).structured_content["items"] == []


async def test_a_writing_token_cannot_read(door: Any) -> None:
    token = await door.token(WRITE)
    kept = await door.post(token, call("remember", text="Write only"))
    assert kept.status_code == 200
    for body in (
        call("recall", query="write"),
        call("list_memories"),
        {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "resources/read",
            "params": {"uri": f"memory://{uuid4()}"},
        },
    ):
        answer = await door.post(token, body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (
            403,
            "mcp.insufficient_scope",
        )


async def test_without_a_token_there_is_a_challenge_and_nothing_is_read(door: Any) -> None:
    answer = await door.post(None, call("recall", query="x"))
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert 'scope="memory:read memory:write"' in answer.headers["www-authenticate"]


@pytest.mark.parametrize(
    "bearer",
    [
        "nonsense",
        "lares_pat_0000000000000000_" + "0" * 64,
        "x" * 600,
        "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZGEifQ.",
        "\xfc",
    ],
)
async def test_a_guessed_token_is_refused(door: Any, bearer: str) -> None:
    header = f"Bearer {bearer}".encode("latin-1")
    answer = await door.post(None, call("recall", query="x"), authorization=header)
    assert answer.status_code == 401
    assert "www-authenticate" in answer.headers


async def test_a_token_in_the_query_is_no_token_and_is_not_logged(door: Any) -> None:
    token = await door.token(READ)
    async with httpx.AsyncClient(base_url=door.gateway.url, trust_env=False) as client:
        for name in ("access_token", "token", "authorization"):
            answer = await client.post(
                f"/mcp?{name}={token.secret}",
                json=call("recall", query="x"),
                headers={"host": HOST},
            )
            assert answer.status_code == 401
    assert token.secret not in door.gateway.log()


async def test_a_callers_header_from_outside_is_not_believed(
    door: Any, caller_factory: Any
) -> None:
    forged = {**caller_factory().headers, "Remote-User": "ada", "X-Lares-Subject": str(uuid4())}
    assert (await door.post(None, call("recall", query="x"), **forged)).status_code == 401


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "lares.test.evil.example",
        "evil.example:8000",
        "*",
        "lares.test@evil.example",
    ],
)
async def test_a_foreign_host_is_misdirected(door: Any, host: str) -> None:
    answer = await door.post(await door.token(READ), call("recall", query="x"), host=host)
    assert answer.status_code == 421


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "http://lares.test",
        "https://lares.test:8444",
        "null",
        "https://lares.test.evil.example",
    ],
)
async def test_a_foreign_origin_is_forbidden(door: Any, origin: str) -> None:
    answer = await door.post(await door.token(READ), call("recall", query="x"), origin=origin)
    assert answer.status_code == 403


async def test_the_houses_own_origin_is_served(door: Any) -> None:
    answer = await door.post(
        await door.token(READ), call("recall", query="x"), origin=f"https://{HOST}"
    )
    assert answer.status_code == 200


async def test_a_revoked_token_ends_within_seconds(door: Any, until: Any) -> None:
    token = await door.token(READ)
    assert (await door.post(token, call("recall", query="x"))).status_code == 200
    await door.revoke(token)

    async def refused() -> bool:
        return (await door.post(token, call("recall", query="x"))).status_code == 401

    await until(refused, seconds=8)


async def test_a_token_never_sees_above_its_tier(door: Any, caller_factory: Any) -> None:
    token = await door.token(READ, WRITE)
    wider = await door.token(READ, tiers=("convenience", "sensitive"), subject=token.subject)
    person = caller_factory(subject=token.subject)
    ids = {}
    for tier in ("sensitive", "sacred"):
        answer = httpx.post(
            f"{door.memory.url}/v1/memories",
            json={"text": f"A {tier} flamingo", "tier": tier},
            headers=person.headers,
            trust_env=False,
        )
        ids[tier] = answer.json()["id"]
    async with door.client(token) as client:
        assert (await client.call_tool("recall", {"query": "flamingo"})).structured_content[
            "results"
        ] == []
        with pytest.raises(ToolError, match=r"memory\.tier_denied"):
            await client.call_tool("recall", {"query": "flamingo", "tiers": ["sensitive"]})
        with pytest.raises(ToolError):
            await client.call_tool("recall", {"query": "flamingo", "tiers": ["sacred"]})
        for ident in ids.values():
            with pytest.raises(ToolError, match=r"memory\.not_found"):
                await client.call_tool("forget_memory", {"id": ident})
    async with door.client(wider) as client:
        found = (await client.call_tool("recall", {"query": "flamingo"})).structured_content[
            "results"
        ]
        assert [result["memory"]["id"] for result in found] == [ids["sensitive"]]


async def test_one_persons_token_finds_nothing_of_anothers(door: Any) -> None:
    ada, bob = await door.token(READ, WRITE), await door.token(READ, WRITE)
    kept = (await door.post(ada, call("remember", text="Ada's heron"))).json()["result"][
        "structuredContent"
    ]
    async with door.client(bob) as client:
        assert (await client.call_tool("recall", {"query": "heron"})).structured_content[
            "results"
        ] == []
        with pytest.raises(ToolError, match=r"memory\.not_found"):
            await client.call_tool("get_memory", {"id": kept["id"]})


@pytest.mark.parametrize("ident", ["../recall", "%2e%2e/recall", "x" * 36, "0" * 36, "{}"])
async def test_an_id_that_is_none_builds_no_path(door: Any, ident: str) -> None:
    answer = await door.post(await door.token(READ, WRITE), call("get_memory", id=ident))
    assert answer.json().get("error") or answer.json()["result"]["isError"]


async def test_the_clients_token_is_never_forwarded(door: Any, tmp_path: Any) -> None:
    token = await door.token(READ, WRITE)
    async with door.client(token) as client:
        await client.call_tool("remember", {"text": "Where does my token go"})
    assert token.secret not in door.gateway.log()
    assert token.secret not in door.memory.log()
    assert "Where does my token go" not in door.gateway.log()


async def test_an_oversized_message_is_refused(door: Any) -> None:
    token = await door.token(READ, WRITE)
    answer = await door.post(token, call("remember", text="x" * 200_000))
    assert answer.status_code == 413


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"[" * 5000, b"null", b'"x"', b"[]"])
async def test_what_is_no_message_is_refused(door: Any, body: bytes) -> None:
    answer = await door.post(await door.token(READ), body)
    assert 400 <= answer.status_code < 500


async def test_a_flood_of_one_token_is_limited_and_others_are_not(
    door: Any, memory_processes: Any, gateway: Any, tmp_path: Any
) -> None:
    limits = {"LARES_MCP_BURST": "5", "LARES_MCP_REQUESTS_PER_MINUTE": "6"}
    strict = memory_processes(["-m", "mcp_gateway"], {**gateway.env, **limits}, tmp_path)
    strict.start()
    try:
        behind = type(door)(strict, door.memory, door.pg)
        flooding, other = await door.token(READ), await door.token(READ)
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
        answers = [await behind.post(flooding, body) for _ in range(9)]
        assert [answer.status_code for answer in answers[:5]] == [200] * 5
        limited = [answer for answer in answers if answer.status_code == 429]
        assert limited
        assert limited[-1].json()["error"]["code"] == "mcp.rate_limited"
        assert 1 <= int(limited[-1].headers["retry-after"]) <= 10
        assert (await behind.post(other, body)).status_code == 200
    finally:
        strict.stop()
