"""Django against the real tables, configured once: it can be no more than once in a process."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(scope="session")
def django_house(postgres_server: Any) -> Any:
    """Identity's Django, logged in as svc_identity. Returns its settings."""
    from identity import config
    from identity.settings import Settings

    settings = Settings(
        bind="127.0.0.1",
        host="lares.test",
        https_port=8443,
        proxies=("10.89.1.3", "fd00::/64"),
        postgres_host=postgres_server.host,
        postgres_port=postgres_server.port,
        db_password=postgres_server.password("svc_identity"),
        django_secret_key="a key for tests that signs nothing anybody keeps",
        setup_token="a set-up token",
    )
    config.configure(settings)
    return settings


@pytest.fixture
def house(django_house: Any, pg: Any) -> Iterator[Any]:
    """The same, with empty tables."""
    from django.db import connections

    yield django_house
    connections.close_all()
