"""gpu-scheduler answers, says how it is, and codes its errors."""

from collections.abc import Callable

import httpx
import pytest
from gpu_scheduler.__main__ import build
from gpu_scheduler.settings import Settings


@pytest.fixture
def client(make_settings: Callable[..., Settings]) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(build(make_settings(Settings)))
    return httpx.AsyncClient(transport=transport, base_url="http://gpu-scheduler")


async def test_it_says_who_it_is(client: httpx.AsyncClient) -> None:
    reply = await client.get("/v1/about")
    assert reply.json() == {"service": "gpu-scheduler", "domain": "inference"}


async def test_it_is_ready_without_dependencies(client: httpx.AsyncClient) -> None:
    assert (await client.get("/readyz")).json() == {"status": "ready", "checks": {}}


async def test_its_errors_have_a_code(client: httpx.AsyncClient) -> None:
    reply = await client.get("/nowhere")
    assert reply.status_code == 404
    assert reply.json()["error"]["code"] == "kit.not_found"
