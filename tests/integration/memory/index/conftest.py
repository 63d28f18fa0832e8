"""A house with one person in it, for searches over a real Postgres."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
from kit.pool import Pool

from tests.integration.memory.index.rows import Shelves


@pytest.fixture
async def shelves(pg: Any) -> AsyncIterator[Shelves]:
    """An empty house and one person in it."""
    async with await Pool.open(pg.database("svc_memory"), max_size=6) as pool:
        yield Shelves(pool, uuid4())
