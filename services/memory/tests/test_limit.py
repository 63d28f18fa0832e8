"""The write limit: what passes in any stretch of time, and that clients do not pay for each other."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit.clock import FakeClock
from memory.writing.errors import TooManyWrites
from memory.writing.limit import BURST_SECONDS, CLIENTS_MAX, WriteLimit, cost


def passed(limit: WriteLimit, client: str, memories: int = 1) -> bool:
    try:
        limit.spend(client, memories)
    except TooManyWrites as error:
        return int(error.headers["Retry-After"]) < 1
    return True


@given(
    st.integers(60, 6000),
    st.lists(st.tuples(st.floats(0, 10), st.integers(1, 256)), min_size=1, max_size=60),
)
def test_no_stretch_of_time_lets_more_through_than_its_allowance(
    per_minute: int, requests: list[tuple[float, int]]
) -> None:
    clock = FakeClock()
    limit = WriteLimit(per_minute, clock)
    spent = 0.0
    for pause, memories in requests:
        asyncio.run(clock.advance(pause))
        if passed(limit, "ada", memories):
            spent += cost(memories)
    full = max(per_minute / 60 * BURST_SECONDS, 20.0)
    assert spent <= full + clock.monotonic() * per_minute / 60 + 1e-6


async def test_a_flood_is_refused_and_told_when_to_come_back() -> None:
    clock = FakeClock()
    limit = WriteLimit(6000, clock)
    assert sum(passed(limit, "flood") for _ in range(10_000)) == 3000
    with pytest.raises(TooManyWrites) as refused:
        limit.spend("flood", 256)
    await clock.advance(float(refused.value.headers["Retry-After"]))
    assert passed(limit, "flood", 256)


def test_one_clients_flood_costs_another_nothing() -> None:
    limit = WriteLimit(60, FakeClock())
    while passed(limit, "flood"):
        pass
    assert passed(limit, "ada")


def test_nought_means_no_limit() -> None:
    limit = WriteLimit(0, FakeClock())
    assert all(passed(limit, "bench") for _ in range(20_000))


def test_the_clients_remembered_are_bounded() -> None:
    limit = WriteLimit(60, FakeClock())
    for number in range(CLIENTS_MAX + 100):
        limit.spend(str(number))
    assert len(limit._buckets) == CLIENTS_MAX  # pyright: ignore[reportPrivateUsage]
