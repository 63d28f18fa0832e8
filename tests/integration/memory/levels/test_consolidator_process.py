"""The consolidator as it runs: one leader at a time, killed in the middle of a round, and switched off."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

pytestmark = pytest.mark.integration
HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def real_time(house: Any) -> None:
    """The processes know no other clock."""
    house.now = datetime.now(UTC)


async def leader(house: Any) -> str | None:
    rows = await house.fetch("SELECT leader FROM memory.consolidation")
    return rows[0]["leader"] if rows else None


async def led_by(house: Any, process: Any) -> bool:
    return str(await leader(house)).endswith(f"-{process.pid}")


async def test_one_leads_and_the_other_waits_until_the_first_is_gone(
    house: Any, consolidators: Any, eventually: Any
) -> None:
    first = consolidators()
    await eventually(lambda: led_by(house, first), first.log)
    second = consolidators()
    moved = await house.put("session", accesses=2)

    async def promoted() -> bool:
        return (await house.row(moved))["level"] == "working"

    await eventually(promoted, first.log)
    await asyncio.sleep(1.5)
    assert "consolidation.leading" not in second.log()

    first.stop(signal.SIGKILL)

    await eventually(lambda: led_by(house, second), second.log)
    another = await house.put("session", accesses=2)

    async def promoted_too() -> bool:
        return (await house.row(another))["level"] == "working"

    await eventually(promoted_too, second.log)
    assert len(await house.journal()) == 2


async def test_killed_again_and_again_in_mid_round_it_loses_and_doubles_nothing(
    house: Any, consolidators: Any, eventually: Any
) -> None:
    chains = [await house.put("session", accesses=7) for _ in range(60)]
    ended = [
        await house.put("working", tier, expires_at=house.now - HOUR)
        for tier in ("convenience", "sensitive", "sacred")
        for _ in range(40)
    ]
    wanted = 2 * len(chains) + len(ended)

    async def journalled() -> int:
        return len(await house.journal()) + len(await house.journal("sacred"))

    kills = 0
    for _ in range(12):
        before = await journalled()
        if before == wanted:
            break
        process = consolidators()

        async def begun(at: int = before) -> bool:
            return await journalled() > at

        await eventually(begun, process.log)
        process.stop(signal.SIGKILL)
        kills += int(await journalled() < wanted)
    assert kills >= 1, "it was never in the middle of a round"
    last = consolidators()

    async def whole() -> bool:
        return await journalled() == wanted

    await eventually(whole, last.log)
    rows = {
        ident: row
        for tier in ("convenience", "sensitive", "sacred")
        for ident, row in (await house.rows(tier)).items()
    }
    assert set(rows) == {*chains, *ended}
    assert {rows[ident]["level"] for ident in chains} == {"episodic"}
    assert all(rows[ident]["archived_at"] for ident in ended)
    entries = [*await house.journal(), *await house.journal("sacred")]
    seen = Counter((entry["memory_id"], entry["kind"], entry["to_level"]) for entry in entries)
    assert set(seen.values()) == {1}
    counted = await house.fetch("SELECT sum(moves) AS moves FROM memory.consolidation_count")
    sealed = await house.fetch(
        "SELECT sum(moves) AS moves FROM sacred.consolidation_count", database="lares_sacred"
    )
    assert counted[0]["moves"] + sealed[0]["moves"] == wanted


@pytest.mark.parametrize("mode", ["off", "dry_run"])
async def test_switched_off_or_dry_in_compose_it_moves_nothing(
    house: Any, consolidators: Any, eventually: Any, mode: str
) -> None:
    await house.put("session", accesses=2)
    before = await house.rows()
    process = consolidators(LARES_MEMORY_CONSOLIDATION=mode)

    async def ran() -> bool:
        rows = await house.fetch("SELECT mode FROM memory.consolidation")
        return bool(rows) and rows[0]["mode"] == mode

    await eventually(ran, process.log)
    await asyncio.sleep(1.2)
    assert await house.rows() == before
    assert await house.journal() == []


async def test_it_waits_for_postgres_and_goes_on(
    house: Any, consolidators: Any, eventually: Any
) -> None:
    process = consolidators()
    await eventually(lambda: led_by(house, process), process.log)
    await house.fetch(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'svc_memory'"
    )
    moved = await house.put("session", accesses=2)

    async def promoted() -> bool:
        return (await house.row(moved))["level"] == "working"

    await eventually(promoted, process.log)


async def test_it_stops_when_it_is_told_to(house: Any, consolidators: Any, eventually: Any) -> None:
    process = consolidators()
    await eventually(lambda: led_by(house, process), process.log)
    assert process.stop() == 0
    assert "Traceback" not in process.log()
