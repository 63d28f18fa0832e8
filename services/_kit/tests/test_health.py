"""Ready means that the dependencies answer; the heartbeat is what the engine's healthcheck believes."""

import asyncio
from pathlib import Path

import pytest
from kit.clock import FakeClock
from kit.errors import KitError
from kit.health import PINGS_MAX, Health


class DataUnavailable(KitError):
    code = "data.unavailable"
    status = 503


class Dependency:
    def __init__(self) -> None:
        self.error: BaseException | None = None
        self.asked = 0

    async def ping(self) -> None:
        self.asked += 1
        if self.error:
            raise self.error


@pytest.fixture
def postgres() -> Dependency:
    return Dependency()


@pytest.fixture
def health(tmp_path: Path, clock: FakeClock, postgres: Dependency) -> Health:
    made = Health("memory", tmp_path / "heartbeat", clock)
    made.register("postgres", postgres.ping)
    return made


async def test_ready_touches_the_heartbeat(health: Health, tmp_path: Path) -> None:
    assert await health.beat()
    assert (tmp_path / "heartbeat").exists()


async def test_not_ready_leaves_the_heartbeat_to_grow_old(
    health: Health, tmp_path: Path, postgres: Dependency
) -> None:
    postgres.error = DataUnavailable()
    assert not await health.beat()
    assert not (tmp_path / "heartbeat").exists()


async def test_the_report_carries_the_code_of_what_is_wrong(
    health: Health, postgres: Dependency
) -> None:
    postgres.error = DataUnavailable()
    report = await health.report()
    assert report.checks == {"postgres": "data.unavailable"}
    assert not report.ready


async def test_an_uncoded_failure_is_named_by_its_type_alone(
    health: Health, postgres: Dependency
) -> None:
    postgres.error = RuntimeError("password=hunter2")
    assert (await health.report()).checks == {"postgres": "RuntimeError"}


async def test_a_ping_that_hangs_counts_as_a_timeout(
    health: Health, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kit.health.PING_SECONDS_MAX", 0.05)
    health.register("valkey", lambda: asyncio.sleep(60))
    report = await health.report()
    assert report.checks == {"postgres": "ok", "valkey": "timeout"}


async def test_reports_within_a_second_ask_the_dependencies_once(
    health: Health, postgres: Dependency, clock: FakeClock
) -> None:
    await asyncio.gather(*(health.report() for _ in range(20)))
    assert postgres.asked == 1
    await clock.advance(1)
    await health.report()
    assert postgres.asked == 2


async def test_the_heart_beats_every_ten_seconds_and_looks_sooner_while_something_is_down(
    health: Health, postgres: Dependency, clock: FakeClock
) -> None:
    postgres.error = DataUnavailable()
    task = asyncio.create_task(health.run())
    await clock.advance(3.5)
    assert postgres.asked == 4
    postgres.error = None
    await clock.advance(20)
    # Ready at second 4, then at 14.
    assert postgres.asked == 6
    task.cancel()


async def test_the_heartbeat_file_goes_with_the_process(health: Health, tmp_path: Path) -> None:
    async with health.beating():
        for _ in range(20):
            await asyncio.sleep(0)
        assert (tmp_path / "heartbeat").exists()
    assert not (tmp_path / "heartbeat").exists()


async def test_an_unwritable_heartbeat_is_survived_and_not_ready(clock: FakeClock) -> None:
    health = Health("memory", Path("/proc/nowhere/heartbeat"), clock)
    assert not await health.beat()


async def test_readyz_says_503_with_a_code_and_each_check(
    health: Health, postgres: Dependency
) -> None:
    postgres.error = DataUnavailable()
    reply = await health.readyz(None)  # type: ignore[arg-type]
    assert reply.status_code == 503
    assert b"kit.not_ready" in reply.body
    assert b"data.unavailable" in reply.body


def test_the_number_of_pings_is_bounded(health: Health, postgres: Dependency) -> None:
    with pytest.raises(ValueError, match="pings"):
        for n in range(PINGS_MAX + 1):
            health.register(f"p{n}", postgres.ping)
