"""AI clients at the door: the real gateway, forward-auth, memory, Postgres, and the protocol's own client."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from fastmcp import Client
from fastmcp.client.transports import StreamableHttpTransport
from fastmcp.exceptions import ToolError

pytestmark = pytest.mark.integration
HOST = "lares.test"
READ, WRITE = "memory:read", "memory:write"


@dataclass(frozen=True)
class Token:
    """A personal access token of the test's person."""

    id: str
    secret: str
    subject: UUID

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.secret}"}


@dataclass(frozen=True)
class Door:
    """The running gateway, and tokens for it."""

    gateway: Any
    memory: Any
    pg: Any

    async def token(
        self, *scopes: str, tiers: tuple[str, ...] = ("convenience",), subject: UUID | None = None
    ) -> Token:
        """Make a token as identity would, straight in its table."""
        ident, secret = secrets.token_hex(8), secrets.token_hex(32)
        person = subject or uuid4()
        connection = await self.pg.connect()
        await connection.execute(
            "INSERT INTO edge.person (password, id, username, role, is_active, created_at)"
            " VALUES ('!', $1, $2, 'owner', true, now()) ON CONFLICT DO NOTHING",
            person,
            f"p{person.hex[:20]}",
        )
        await connection.execute(
            "INSERT INTO edge.access_token (id, name, secret_hash, scopes, tiers, created_at, expires_at, person_id)"
            " VALUES ($1, 'test', $2, $3::jsonb, $4::jsonb, now(), now() + interval '1 day', $5)",
            ident,
            hashlib.sha256(secret.encode()).hexdigest(),
            json.dumps(scopes),
            json.dumps(tiers),
            person,
        )
        await connection.close()
        return Token(ident, f"lares_pat_{ident}_{secret}", person)

    async def revoke(self, token: Token) -> None:
        connection = await self.pg.connect()
        await connection.execute(
            "UPDATE edge.access_token SET revoked_at = now() WHERE id = $1", token.id
        )
        await connection.close()

    @asynccontextmanager
    async def client(self, token: Token) -> Any:
        """The protocol's own client, as an AI client would use it."""
        transport = StreamableHttpTransport(f"{self.gateway.url}/mcp", headers=token.headers)
        async with Client(transport) as client:
            yield client

    async def post(self, token: Token | None, body: Any, **headers: str | bytes) -> httpx.Response:
        """One bare request, for what no honest client would send."""
        sent = {
            "accept": "application/json, text/event-stream",
            "content-type": "application/json",
            "host": HOST,
        }
        sent |= token.headers if token else {}
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        async with httpx.AsyncClient(
            base_url=self.gateway.url, trust_env=False, timeout=20
        ) as client:
            return await client.post("/mcp", content=content, headers={**sent, **headers})


def call(name: str, **arguments: Any) -> dict[str, Any]:
    params = {"name": name, "arguments": arguments}
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}


@pytest.fixture(scope="session")
def forward_auth(
    postgres_server: Any, caller_factory: Any, memory_processes: Any, tmp_path_factory: Any
) -> Iterator[Any]:
    folder: Path = tmp_path_factory.mktemp("forward-auth")
    (folder / "db_password").write_text(postgres_server.password("svc_forward_auth"))
    (folder / "caller_signing_key").write_text(caller_factory.private_key_pem)
    process = memory_processes(
        ["-m", "forward_auth"],
        {
            "LARES_HOST": HOST,
            "LARES_POSTGRES_HOST": postgres_server.host,
            "LARES_POSTGRES_PORT": str(postgres_server.port),
            "LARES_POLICY_FILE": str(Path(__file__).parents[3] / "edge" / "policy.yaml"),
            "LARES_SECRETS_DIR": str(folder),
        },
        folder,
    )
    process.start()
    yield process
    process.stop()


@pytest.fixture(scope="session")
def gateway(
    forward_auth: Any,
    memory_process: Any,
    caller_factory: Any,
    memory_processes: Any,
    tmp_path_factory: Any,
) -> Iterator[Any]:
    folder: Path = tmp_path_factory.mktemp("mcp-gateway")
    (folder / "caller_public_key").write_text(caller_factory.public_key_pem)
    process = memory_processes(
        ["-m", "mcp_gateway"],
        {
            "LARES_HOST": HOST,
            "LARES_FORWARD_AUTH_URL": forward_auth.url,
            "LARES_MEMORY_URL": memory_process.url,
            "LARES_SECRETS_DIR": str(folder),
        },
        folder,
    )
    process.start()
    yield process
    process.stop()


@pytest.fixture
def door(gateway: Any, memory_service: Any, pg: Any) -> Door:
    return Door(gateway, memory_service, pg)


async def test_what_a_client_remembers_it_recalls_lists_reads_and_forgets(door: Door) -> None:
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
    door: Door, caller_factory: Any
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


async def test_each_scope_shows_its_own_tools_and_no_others(door: Door) -> None:
    reading = {"recall", "list_memories", "get_memory"}
    writing = {"remember", "forget_memory"}
    for scopes, expected in (
        ((READ,), reading),
        ((WRITE,), writing),
        ((READ, WRITE), reading | writing),
        ((), set()),
    ):
        async with door.client(await door.token(*scopes)) as client:
            assert {tool.name for tool in await client.list_tools()} == expected
            templates = {
                str(template.uri_template) for template in await client.list_resource_templates()
            }
            assert templates == ({"memory://{id}"} if READ in scopes else set())


async def test_only_forgetting_is_marked_destructive(door: Door) -> None:
    async with door.client(await door.token(READ, WRITE)) as client:
        hints = {tool.name: tool.annotations for tool in await client.list_tools()}
        schemas = {tool.name: tool.output_schema for tool in await client.list_tools()}
    assert {name for name, hint in hints.items() if hint.destructive_hint} == {"forget_memory"}
    assert {name for name, hint in hints.items() if hint.read_only_hint} == {
        "recall",
        "list_memories",
        "get_memory",
    }
    assert all(schemas.values())


@pytest.mark.parametrize("name", ["remember", "forget_memory"])
async def test_a_reading_token_on_a_writing_tool_is_a_403_and_nothing_runs(
    door: Door, name: str
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


async def test_a_writing_token_cannot_read(door: Door) -> None:
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


async def test_without_a_token_there_is_a_challenge_and_nothing_is_read(door: Door) -> None:
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
async def test_a_guessed_token_is_refused(door: Door, bearer: str) -> None:
    header = f"Bearer {bearer}".encode("latin-1")
    answer = await door.post(None, call("recall", query="x"), authorization=header)
    assert answer.status_code == 401
    assert "www-authenticate" in answer.headers


async def test_a_token_in_the_query_is_no_token_and_is_not_logged(door: Door) -> None:
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
    door: Door, caller_factory: Any
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
async def test_a_foreign_host_is_misdirected(door: Door, host: str) -> None:
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
async def test_a_foreign_origin_is_forbidden(door: Door, origin: str) -> None:
    answer = await door.post(await door.token(READ), call("recall", query="x"), origin=origin)
    assert answer.status_code == 403


async def test_the_houses_own_origin_is_served(door: Door) -> None:
    answer = await door.post(
        await door.token(READ), call("recall", query="x"), origin=f"https://{HOST}"
    )
    assert answer.status_code == 200


async def test_a_revoked_token_ends_within_seconds(door: Door, until: Any) -> None:
    token = await door.token(READ)
    assert (await door.post(token, call("recall", query="x"))).status_code == 200
    await door.revoke(token)

    async def refused() -> bool:
        return (await door.post(token, call("recall", query="x"))).status_code == 401

    await until(refused, seconds=4.5)


async def test_a_token_never_sees_above_its_tier(door: Door, caller_factory: Any) -> None:
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


async def test_one_persons_token_finds_nothing_of_anothers(door: Door) -> None:
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
async def test_an_id_that_is_none_builds_no_path(door: Door, ident: str) -> None:
    answer = await door.post(await door.token(READ, WRITE), call("get_memory", id=ident))
    assert answer.json().get("error") or answer.json()["result"]["isError"]


async def test_the_clients_token_is_never_forwarded(door: Door, tmp_path: Any) -> None:
    token = await door.token(READ, WRITE)
    async with door.client(token) as client:
        await client.call_tool("remember", {"text": "Where does my token go"})
    assert token.secret not in door.gateway.log()
    assert token.secret not in door.memory.log()
    assert "Where does my token go" not in door.gateway.log()


async def test_an_oversized_message_is_refused(door: Door) -> None:
    token = await door.token(READ, WRITE)
    answer = await door.post(token, call("remember", text="x" * 200_000))
    assert answer.status_code == 413


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"[" * 5000, b"null", b'"x"', b"[]"])
async def test_what_is_no_message_is_refused(door: Door, body: bytes) -> None:
    answer = await door.post(await door.token(READ), body)
    assert 400 <= answer.status_code < 500


async def test_a_flood_of_one_token_is_limited_and_others_are_not(door: Door) -> None:
    flooding, other = await door.token(READ), await door.token(READ)
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    codes = [(await door.post(flooding, body)).status_code for _ in range(75)]
    assert codes[0] == 200
    assert 429 in codes
    limited = await door.post(flooding, body)
    if limited.status_code == 429:
        assert int(limited.headers["retry-after"]) >= 1
        assert limited.json()["error"]["code"] == "mcp.rate_limited"
    assert (await door.post(other, body)).status_code == 200


async def test_an_older_client_with_a_handshake_is_served(door: Door) -> None:
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
    assert {tool["name"] for tool in listed.json()["result"]["tools"]} == {
        "recall",
        "list_memories",
        "get_memory",
    }


async def test_while_memory_is_away_the_client_is_told_so(
    door: Door, memory_processes: Any, gateway: Any, tmp_path: Any
) -> None:
    away = memory_processes(
        ["-m", "mcp_gateway"], {**gateway.env, "LARES_MEMORY_URL": "http://127.0.0.1:9"}, tmp_path
    )
    away.start()
    try:
        token = await door.token(READ)
        answer = await Door(away, door.memory, door.pg).post(token, call("recall", query="x"))
        said = answer.json()["result"]
        assert said["isError"]
        assert "memory.unavailable" in said["content"][0]["text"]
    finally:
        away.stop()


async def test_while_the_verifier_is_away_nobody_is_let_in(
    door: Door, memory_processes: Any, gateway: Any, tmp_path: Any
) -> None:
    away = memory_processes(
        ["-m", "mcp_gateway"],
        {**gateway.env, "LARES_FORWARD_AUTH_URL": "http://127.0.0.1:9"},
        tmp_path,
    )
    away.start()
    try:
        token = await door.token(READ)
        answer = await Door(away, door.memory, door.pg).post(token, call("recall", query="x"))
        assert (answer.status_code, answer.json()["error"]["code"]) == (
            503,
            "mcp.verifier_unavailable",
        )
    finally:
        away.stop()
