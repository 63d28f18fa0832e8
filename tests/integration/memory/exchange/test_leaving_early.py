"""A reader who goes amid an export leaves nothing behind: no turn taken, no open transaction, no complaint in the log."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.integration.memory.exchange.test_bounds import SEED

pytestmark = pytest.mark.integration
ROWS = 6000


async def leave_after(port: int, headers: dict[str, str], kind: str, seconds: float) -> None:
    """Ask for an export, and cut the connection."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    writer.write(f"GET /v1/export?format={kind} HTTP/1.1\r\nhost: memory\r\n{lines}\r\n".encode())
    await writer.drain()
    await asyncio.sleep(seconds)
    writer.transport.abort()


@pytest.mark.parametrize("kind", ["markdown", "jsonl"])
async def test_a_reader_who_goes_amid_an_export_leaves_nothing_behind(
    api: Any, memory_service: Any, caller_factory: Any, pg: Any, until: Any, kind: str
) -> None:
    ada = caller_factory()
    connection = await pg.connect()
    await connection.execute(
        "SELECT set_config('lares.subject', $1, false)", str(ada.caller.subject)
    )
    await connection.execute("SET lares.client = 'person'")
    await connection.execute(SEED, ada.caller.subject, 1, ROWS)
    await connection.execute("TRUNCATE memory.pending_extraction")
    before = len(memory_service.log())
    for step in range(20):
        await leave_after(memory_service.port, ada.headers, kind, step * 0.03)
        await asyncio.sleep(0.1)

    async def free() -> bool:
        answer = await api.get("/v1/export", params={"format": kind}, headers=ada.headers)
        return answer.status_code == 200

    await until(free, why="its turn was never given back")
    open_ = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'svc_memory' AND state LIKE 'idle in%'"
    assert await connection.fetchval(open_) == 0
    await connection.close()
    said = [json.loads(line) for line in memory_service.log()[before:].splitlines()]
    # Who asks while two are at it already is told so; nothing else may go wrong.
    assert [line for line in said if line.get("code") != "memory.exchange_busy"] == []
