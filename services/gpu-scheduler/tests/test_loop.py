"""The single writer: order, what is settled, the bound of the inbox, and that it wakes only when something may change."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from gpu_scheduler.core.actions import Action, Grant, Refuse, Start
from gpu_scheduler.core.events import Asked, NodeLost, Withdrawn
from gpu_scheduler.core.model import Request, ServiceClass, State
from gpu_scheduler.core.policy import household
from gpu_scheduler.errors import Busy
from gpu_scheduler.loop import BATCH_MAX, Loop, Turn
from gpu_scheduler.seeing import node_seen
from kit.clock import FakeClock

from .a_node import ANode, Running, model


class Noted:
    """Effects that are written down."""

    def __init__(self) -> None:
        self.done: list[tuple[Action, str | None]] = []

    def do(self, action: Action, request: Request | None, state: State) -> None:
        self.done.append((action, request.origin if request else None))

    def of(self, kind: type[Action]) -> list[Action]:
        return [action for action, _ in self.done if isinstance(action, kind)]


def ask(name: str, clock: FakeClock, wanted: str = "small", **changed: object) -> Asked:
    told: dict[str, object] = {
        "id": f"g:{name}", "origin": "gateway:g", "model": wanted, "service_class": ServiceClass.INTERACTIVE,
        "caller": "c", "arrived": clock.monotonic(), "seq": 0, **changed,
    }  # fmt: skip
    return Asked(Request(**told))  # type: ignore[arg-type]


class Bench:
    """A loop that is turned by hand or runs, a node that has spoken, effects that are noted."""

    def __init__(self, clock: FakeClock, inbox_max: int = 8192) -> None:
        self.clock, self.effects = clock, Noted()
        self.node = ANode().offer(model("small", slots=1), model("other"))
        self.state = State(policy=household(), epoch=3, fence=3_000_000_000)
        self.loop = Loop(self.state, self.effects, clock, inbox_max=inbox_max)

    async def hear(self) -> None:
        """The node says how it is."""
        await self.loop.put(node_seen(self.node.state(), self.clock.monotonic(), wakeable=False))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.loop.run())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def quiet(self) -> None:
        for _ in range(10):
            await asyncio.sleep(0)


@pytest.fixture
def bench(clock: FakeClock) -> Bench:
    return Bench(clock)


async def test_an_ask_leads_to_a_start_and_then_to_a_grant_with_growing_fences(
    bench: Bench,
) -> None:
    async with bench.running():
        await bench.hear()
        await bench.loop.settle(ask("a", bench.clock))
        (start,) = bench.effects.of(Start)
        assert isinstance(start, Start)
        bench.node.instances[start.instance_id] = Running(
            start.instance_id, bench.node.models["small"], start.cards, "ready", start.fence
        )
        await bench.clock.advance(1)
        await bench.hear()
        await bench.quiet()
        (grant,) = bench.effects.of(Grant)
        assert isinstance(grant, Grant)
        assert grant.fence > start.fence > 3_000_000_000


async def test_who_asked_is_known_to_the_effect_though_the_decision_forgets_it(
    bench: Bench,
) -> None:
    async with bench.running():
        await bench.hear()
        await bench.loop.settle(ask("a", bench.clock, "nothing"))
        assert [(type(action), origin) for action, origin in bench.effects.done] == [
            (Refuse, "gateway:g")
        ]
        assert bench.state.requests == {}


async def test_settling_waits_for_the_decision_and_not_for_its_effect(bench: Bench) -> None:
    async with bench.running():
        await bench.hear()
        task = asyncio.create_task(bench.loop.settle(ask("a", bench.clock)))
        await bench.quiet()
        assert task.done()
        assert bench.effects.of(Start), "decided"
        assert bench.state.requests["g:a"].queued, "and not yet carried out"


async def test_events_are_taken_in_the_order_in_which_they_came(bench: Bench) -> None:
    await bench.hear()
    await bench.loop.put(ask("a", bench.clock))
    await bench.loop.put(Withdrawn("g:a"))
    await bench.loop.put(ask("b", bench.clock))
    turn = bench.loop.turn()
    assert turn.events == 4
    assert list(bench.state.requests) == ["g:b"]


async def test_a_full_inbox_slows_down_who_brings_more_and_refuses_who_cannot_wait(
    clock: FakeClock,
) -> None:
    bench = Bench(clock, inbox_max=2)
    await bench.loop.put(NodeLost("x"))
    await bench.loop.put(NodeLost("x"))
    with pytest.raises(Busy):
        await bench.loop.settle(NodeLost("x"))
    held_up = asyncio.create_task(bench.loop.put(NodeLost("x")))
    await bench.quiet()
    assert not held_up.done()
    bench.loop.turn()
    await bench.quiet()
    assert held_up.done()


async def test_one_turn_takes_no_more_than_a_batch(bench: Bench) -> None:
    for _ in range(BATCH_MAX + 5):
        await bench.loop.put(NodeLost("x"))
    assert bench.loop.turn().events == BATCH_MAX
    assert bench.loop.turn().events == 5


async def test_with_nothing_to_wait_for_it_sleeps(bench: Bench) -> None:
    turns: list[Turn] = []

    def watch(_: State, turn: Turn) -> float | None:
        turns.append(turn)
        return None

    bench.loop.watch(watch)
    async with bench.running():
        await bench.loop.settle(NodeLost("x"))
        before = len(turns)
        await bench.clock.advance(3600)
        await bench.quiet()
        assert len(turns) == before


async def test_it_wakes_at_the_instant_that_a_watcher_names_and_not_before(bench: Bench) -> None:
    turns: list[float] = []

    def watch(_: State, turn: Turn) -> float | None:
        turns.append(turn.now)
        return 7.0 if turn.now < 7 else None

    bench.loop.watch(watch)
    async with bench.running():
        await bench.loop.settle(NodeLost("x"))
        await bench.clock.advance(6.9)
        await bench.quiet()
        assert turns == [0.0]
        await bench.clock.advance(0.2)
        await bench.quiet()
        assert turns == [0.0, 7.0]


async def test_a_wait_that_ends_by_itself_is_noticed_without_an_event(bench: Bench) -> None:
    async with bench.running():
        await bench.hear()
        bench.state.paused = True
        await bench.loop.settle(ask("a", bench.clock, deadline=bench.clock.monotonic() + 2))
        await bench.clock.advance(3)
        await bench.quiet()
        (refused,) = bench.effects.of(Refuse)
        assert isinstance(refused, Refuse)
        assert refused.code == "inference.deadline_passed"


async def test_a_watcher_may_hand_in_what_follows(bench: Bench) -> None:
    def watch(state: State, _: Turn) -> float | None:
        if "g:a" in state.requests:
            bench.loop.follow(Withdrawn("g:a"))
        return None

    bench.loop.watch(watch)
    async with bench.running():
        await bench.hear()
        await bench.loop.settle(ask("a", bench.clock))
        await bench.quiet()
        assert bench.state.requests == {}
