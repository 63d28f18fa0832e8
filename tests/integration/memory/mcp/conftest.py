"""The door for AI clients: the real gateway and forward-auth in front of the real memory, and tokens for it."""

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
            base_url=self.gateway.url, trust_env=False, timeout=20, verify=False
        ) as client:
            return await client.post("/mcp", content=content, headers={**sent, **headers})


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
            "LARES_POLICY_FILE": str(Path(__file__).parents[4] / "edge" / "policy.yaml"),
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
            # Nobody: tests/gpu has the tools that ask it.
            "LARES_GPU_SCHEDULER_URL": "http://127.0.0.1:9",
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
