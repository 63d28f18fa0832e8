"""`house`: the running test stack when there is one, else the edge alone. `edge`: always the edge alone.

The edge alone is Caddy, forward-auth, identity and Postgres as they are, with recorders in the place of the services
behind: what arrives there can be looked at.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.hostile.house import HOST, House
from tests.hostile.parts import local_house
from tests.hostile.stack import stack_command

STACK_URL = "LARES_TEST_URL"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder attacks something that runs."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.hostile)


@pytest.fixture(scope="session")
def edge_parts(postgres_server: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """The edge on loopback, started once."""
    with local_house(postgres_server, tmp_path_factory.mktemp("edge")) as house:
        yield house


@pytest.fixture
def edge(edge_parts: House) -> House:
    """The edge on loopback."""
    return edge_parts


@pytest.fixture(scope="session")
def house_parts(request: pytest.FixtureRequest) -> House:
    """The running stack at LARES_TEST_URL, or the edge on loopback."""
    url = os.environ.get(STACK_URL)
    if not url:
        return request.getfixturevalue("edge_parts")
    http_port = int(os.environ.get("LARES_TEST_HTTP_PORT", "8480"))
    certificate = httpx.get(
        f"http://127.0.0.1:{http_port}/lares-ca.crt",
        headers={"host": f"{HOST}:{http_port}"},
        trust_env=False,
    )
    certificate.raise_for_status()
    tls = ssl.create_default_context(cadata=certificate.text)
    return House(urlsplit(url).port or 443, http_port, tls, stack_command)


@pytest.fixture
def house(house_parts: House) -> House:
    """The house under attack."""
    return house_parts


@pytest.fixture
def unslowed(house_parts: House) -> None:
    """Empty every bucket first: the test fills some, or needs them empty."""
    house_parts.forgive()


@pytest.fixture(autouse=True, scope="module")
def nobody_is_slowed_by_the_module_before(request: pytest.FixtureRequest) -> None:
    """Empty every bucket once per file of attacks on sign-in."""
    if request.module.__name__.rpartition(".")[2].startswith("test_login"):
        request.getfixturevalue("house_parts").forgive()
