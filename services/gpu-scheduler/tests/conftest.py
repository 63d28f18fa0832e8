"""The scheduler between real neighbours: Postgres and Valkey in containers, a node behind mutual TLS and a proxy."""

from __future__ import annotations

import socket
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from gpu_scheduler.settings import Settings
from kit.settings import read

from .a_house import ROOT, TLS_NAME, Certificates, Gateway, House, Process, in_this_loop
from .a_node import ANode, Proxy, model


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """One authority for the run."""
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def environment(
    pg: Any, valkey: Any, certificates: Certificates, caller_factory: Any, tmp_path: Path
) -> dict[str, str]:
    """What the container would be started with; secrets lie in files."""
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    for name, value in {
        "db_password": pg.password("svc_gpu_scheduler"),
        "valkey_password": valkey.password("gpu_scheduler"),
        "caller_public_key": caller_factory.public_key_pem,
        "node_authority": certificates.authority,
        "node_authority_key": certificates.authority_key,
        "node_client_certificate": certificates.client,
        "node_client_key": certificates.client_key,
    }.items():
        (secrets / name).write_text(value)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / "wake").mkdir()
    return {
        "LARES_SECRETS_DIR": str(secrets),
        "LARES_BIND": "127.0.0.1",
        "LARES_PORT": str(port),
        "LARES_HEARTBEAT": str(tmp_path / "heartbeat"),
        "LARES_POSTGRES_HOST": pg.host,
        "LARES_POSTGRES_PORT": str(pg.port),
        "LARES_VALKEY_HOST": valkey.host,
        "LARES_VALKEY_PORT": str(valkey.port),
        "LARES_SCHEDULING_FILE": str(ROOT / "inference" / "scheduling.yaml"),
        "LARES_CADDY_ADDRESS": "10.89.32.3",
        "LARES_WAKE_DIR": str(tmp_path / "wake"),
        "LARES_GATEWAY_GRACE_SECONDS": "1.0",
    }


async def join_node(pg: Any, node: ANode, tls_name: str = TLS_NAME) -> None:
    """Write a node into the books, as its joining would."""
    now = datetime.now(UTC)
    connection = await pg.connect()
    try:
        await connection.execute(
            "INSERT INTO inference.node (tls_name, name, address, port, serial, fingerprint, signed_at, expires_at,"
            " joined_at) VALUES ($1, $2, $6, $3, '1', repeat('a', 64), $4, $5, $4)",
            tls_name, node.name, node.port, now, now + timedelta(days=30), node.address,
        )  # fmt: skip
    finally:
        await connection.close()


@pytest_asyncio.fixture
async def surroundings(
    pg: Any, certificates: Certificates, environment: dict[str, str]
) -> AsyncGenerator[House]:
    """A node that has joined, with a small and a large model, and the proxy before it; no scheduler yet."""
    node = ANode().offer(model("small", 4000), model("other", 4000), model("huge", 30_000))
    async with node.serving(certificates.server()), Proxy().serving() as proxy:
        await join_node(pg, node)
        environment["LARES_EGRESS_PROXY_URL"] = f"http://127.0.0.1:{proxy.port}"
        url = f"http://127.0.0.1:{environment['LARES_PORT']}"
        yield House(url, node, proxy, environment, certificates)


@asynccontextmanager
async def scheduling(house: House, **changed: str) -> AsyncGenerator[House]:
    """Run a scheduler in this loop."""
    settings = read(Settings, {**house.environment, **changed})
    async with in_this_loop(settings) as (url, scheduler):
        house.url, house.scheduler = url, scheduler
        yield house


@pytest.fixture
def start(surroundings: House) -> Callable[..., Any]:
    """`async with start(LARES_X="1") as house`: a scheduler with settings of its own."""
    return lambda **changed: scheduling(surroundings, **changed)


@pytest_asyncio.fixture
async def house(surroundings: House) -> AsyncGenerator[House]:
    """A scheduler that runs in this loop."""
    async with scheduling(surroundings) as running:
        yield running


@pytest_asyncio.fixture
async def process(surroundings: House, tmp_path: Path) -> AsyncGenerator[Process]:
    """A scheduler in a process of its own, as the container starts it."""
    made = await Process(surroundings.environment, tmp_path / "log").start()
    try:
        yield made
    finally:
        await made.kill()


@pytest_asyncio.fixture
async def gateways() -> AsyncIterator[Callable[..., Gateway]]:
    """`gateways(url, name)` makes one; all go at the end."""
    async with AsyncExitStack() as stack:

        def make(url: str, name: str = "gateway-1") -> Gateway:
            gateway = Gateway(url, name)
            stack.push_async_callback(gateway.close)
            return gateway

        yield make
