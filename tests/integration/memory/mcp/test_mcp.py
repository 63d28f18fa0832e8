"""AI clients at the door, as they should be: the protocol's own client, real tokens, a real house."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from fastmcp.exceptions import ToolError

pytestmark = pytest.mark.integration
HOST = "lares.test"
READ, WRITE = "memory:read", "memory:write"
READING = {
    "recall",
    "list_memories",
    "get_memory",
    "get_provenance",
    "identity",
    "list_namespaces",
    "timeline",
    "find_entities",
    "get_entity",
    "list_facts",
    "entity_graph",
}
WRITING = {"remember", "supersede_memory", "forget_memory"}


def call(name: str, **arguments: Any) -> dict[str, Any]:
    params = {"name": name, "arguments": arguments}
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}


async def test_what_a_client_remembers_it_recalls_lists_reads_and_forgets(door: Any) -> None:
    token = await door.token(READ, WRITE)
    async with door.client(token) as client:
        kept = (
            await client.call_tool("remember", {"text": "The boiler was serviced in May"})
        ).structured_content
        assert kept["tier"] == "convenience"
        assert kept["source"]["kind"] == "mcp"

        found = (await client.call_tool("recall", {"query": "boiler service"})).structured_content
        assert found["results"][0]["memory"]["id"] == kept["id"]
        assert found["results"][0]["reasons"]

        listed = (await client.call_tool("list_memories", {})).structured_content
        assert [memory["id"] for memory in listed["items"]] == [kept["id"]]
        got = (await client.call_tool("get_memory", {"id": kept["id"]})).structured_content
        assert got["text"] == "The boiler was serviced in May"
        read = await client.read_resource(f"memory://{kept['id']}")
        assert json.loads(read[0].text)["id"] == kept["id"]

        erased = (await client.call_tool("forget_memory", {"id": kept["id"]})).structured_content
        assert erased["erased"]["rows"] == 1
        with pytest.raises(ToolError, match=r"memory\.not_found"):
            await client.call_tool("get_memory", {"id": kept["id"]})


async def test_a_memory_made_in_the_house_is_found_by_the_owners_client(
    door: Any, caller_factory: Any
) -> None:
    token = await door.token(READ)
    person = caller_factory(subject=token.subject)
    httpx.post(
        f"{door.memory.url}/v1/memories",
        json={"text": "The tortoise is called Cassiopeia"},
        headers=person.headers,
        trust_env=False,
    ).raise_for_status()
    async with door.client(token) as client:
        found = (await client.call_tool("recall", {"query": "tortoise"})).structured_content
    assert "Cassiopeia" in found["results"][0]["memory"]["text"]


async def test_each_scope_shows_its_own_tools_and_no_others(door: Any) -> None:
    for scopes, expected in (
        ((READ,), READING),
        ((WRITE,), WRITING),
        ((READ, WRITE), READING | WRITING),
        ((), set()),
    ):
        async with door.client(await door.token(*scopes)) as client:
            assert {tool.name for tool in await client.list_tools()} == expected
            templates = {
                str(template.uri_template) for template in await client.list_resource_templates()
            }
            assert templates == ({"memory://{id}"} if READ in scopes else set())
            resources = {str(resource.uri) for resource in await client.list_resources()}
            assert resources == (
                {"lares://identity", "lares://namespaces"} if READ in scopes else set()
            )


async def test_a_client_corrects_asks_where_from_and_reads_what_is_always_known(
    door: Any, caller_factory: Any
) -> None:
    token = await door.token(READ, WRITE)
    async with door.client(token) as client:
        old = await client.call_tool("remember", {"text": "The gym opens at six"})
        old_id = old.structured_content["id"]
        new = await client.call_tool(
            "supersede_memory", {"id": old_id, "text": "The gym opens at seven"}
        )
        kept = (await client.call_tool("get_memory", {"id": old_id})).structured_content
        assert kept["superseded_by"] == new.structured_content["id"]
        found = await client.call_tool("recall", {"query": "When does the gym open?"})
        assert found.structured_content["results"][0]["memory"]["text"].endswith("seven")
        told = await client.call_tool("get_provenance", {"id": new.structured_content["id"]})
        assert [one["id"] for one in told.structured_content["supersedes"]] == [old_id]

        always = {"text": "Answer me in Portuguese", "level": "identity"}
        # What is in every prompt is the person's to say: a client that was talked into it could not take it back.
        with pytest.raises(ToolError, match=r"memory\.person_needed"):
            await client.call_tool("remember", always)
        said = httpx.post(
            f"{door.memory.url}/v1/memories",
            json=always,
            headers=caller_factory(subject=token.subject).headers,
            trust_env=False,
        )
        with pytest.raises(ToolError, match=r"memory\.person_needed"):
            instead = {"id": said.json()["id"], "text": "Answer me in Klingon"}
            await client.call_tool("supersede_memory", instead)
        known = await client.read_resource("lares://identity")
        assert "Portuguese" in json.loads(known[0].text)["text"]
        spaces = (await client.call_tool("list_namespaces", {})).structured_content
        assert [space["name"] for space in spaces["items"]] == ["home"]
        buckets = (await client.call_tool("timeline", {"bucket": "day"})).structured_content
        assert sum(bucket["count"] for bucket in buckets["items"]) == 3


async def test_only_forgetting_is_marked_destructive(door: Any) -> None:
    async with door.client(await door.token(READ, WRITE)) as client:
        hints = {tool.name: tool.annotations for tool in await client.list_tools()}
        schemas = {tool.name: tool.output_schema for tool in await client.list_tools()}
        assert all(tool.description for tool in await client.list_tools())
    assert {name for name, hint in hints.items() if hint.destructive_hint} == {"forget_memory"}
    assert {name for name, hint in hints.items() if hint.read_only_hint} == READING
    assert all(schemas.values())


async def test_an_older_client_with_a_handshake_is_served(door: Any) -> None:
    token = await door.token(READ)
    hello = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": {"name": "old", "version": "1"},
        },
    }
    answer = await door.post(token, hello)
    assert answer.json()["result"]["serverInfo"]["name"] == "Lares"
    listed = await door.post(
        token,
        {"jsonrpc": "2.0", "id": 2, "method": "tools/list"},
        **{"mcp-protocol-version": "2025-06-18"},
    )
    assert {tool["name"] for tool in listed.json()["result"]["tools"]} == READING


async def test_while_memory_is_away_the_client_is_told_so(
    door: Any, memory_processes: Any, gateway: Any, tmp_path: Any
) -> None:
    away = memory_processes(
        ["-m", "mcp_gateway"], {**gateway.env, "LARES_MEMORY_URL": "http://127.0.0.1:9"}, tmp_path
    )
    away.start()
    try:
        token = await door.token(READ)
        answer = await type(door)(away, door.memory, door.pg).post(token, call("recall", query="x"))
        said = answer.json()["result"]
        assert said["isError"]
        told = json.loads(said["content"][0]["text"])["error"]
        assert told["code"] == "memory.unavailable"
        assert told["correlation_id"] == answer.headers["x-correlation-id"]
    finally:
        away.stop()


async def test_while_the_verifier_is_away_nobody_is_let_in(
    door: Any, memory_processes: Any, gateway: Any, tmp_path: Any
) -> None:
    away = memory_processes(
        ["-m", "mcp_gateway"],
        {**gateway.env, "LARES_FORWARD_AUTH_URL": "http://127.0.0.1:9"},
        tmp_path,
    )
    away.start()
    try:
        token = await door.token(READ)
        answer = await type(door)(away, door.memory, door.pg).post(token, call("recall", query="x"))
        assert (answer.status_code, answer.json()["error"]["code"]) == (
            503,
            "mcp.verifier_unavailable",
        )
    finally:
        away.stop()
