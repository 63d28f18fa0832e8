"""The events: all of the node in each line, one at once, one when something changes, one a second at least."""

from __future__ import annotations

import asyncio

from .conftest import House

HEARS = {"role": "scheduler"}


async def test_a_line_comes_at_once_then_with_each_change_and_each_second(
    house: House, lines
) -> None:
    async with house.agent():
        reply = await house.client.get("/v1/events", headers=HEARS)
        first = await lines(reply)
        assert [model.model for model in first.models] == ["small"]
        assert first.instances == ()
        await house.act("start")
        phases: list[str] = []
        async with asyncio.timeout(5):
            while "ready" not in phases:
                told = await lines(reply)
                phases += [one.phase for one in told.instances]
        seqs = [first.seq, told.seq]
        async with asyncio.timeout(5):
            seqs += [(await lines(reply)).seq for _ in range(2)]
        assert seqs == sorted(set(seqs))
        reply.close()


async def test_changes_close_together_share_a_line(house: House, lines) -> None:
    async with house.agent():
        reply = await house.client.get("/v1/events", headers=HEARS)
        await lines(reply)
        before = house.node.hub.latest
        for _ in range(500):
            house.node.hub.changed()
        seq = (await lines(reply)).seq
        for _ in range(500):
            house.node.hub.changed()
            await asyncio.sleep(0)
        assert (await lines(reply)).seq <= seq + 2
        assert before is not None
        reply.close()


async def test_a_reader_that_does_not_read_holds_nobody_up_and_misses_only_old_lines(
    house: House,
) -> None:
    async with house.agent():
        slow = house.node.hub.lines()
        await anext(slow)
        for _ in range(5):
            await house.node.hub.publish()
        assert await anext(slow) == house.node.hub.latest
        await slow.aclose()


async def test_readers_are_bounded_and_those_who_go_make_room(house: House) -> None:
    async with house.agent():
        held = [await house.client.get("/v1/events", headers=HEARS) for _ in range(8)]
        refused = await house.client.get("/v1/events", headers=HEARS)
        assert (refused.status, refused.headers["X-Lares-Node-Error"]) == (503, "node.busy")
        held.pop().close()
        async with asyncio.timeout(5):
            while house.node.hub.readers == 8:
                await asyncio.sleep(0.02)
        assert (await house.client.get("/v1/events", headers=HEARS)).status == 200
        for reply in held:
            reply.close()


async def test_one_reading_that_fails_does_not_end_the_events(house: House, lines) -> None:
    async with house.agent():
        read = house.cards.read

        async def broken(_: object) -> tuple[()]:
            house.cards.read = read
            raise RuntimeError

        house.cards.read = broken  # type: ignore[method-assign]
        reply = await house.client.get("/v1/events", headers=HEARS)
        async with asyncio.timeout(5):
            assert (await lines(reply)).cards
        reply.close()


async def test_phases_are_taken_after_the_reading_that_the_lines_time_is_of(house: House) -> None:
    async with house.agent():
        await house.ready()
        read = house.cards.read
        began = []

        async def slow(residents):
            began.append(house.node.clock.now())
            readings = await read(residents)
            house.node.instances["a"].told("drain")
            return readings

        house.cards.read = slow  # type: ignore[method-assign]
        state = await house.node.state()
        assert state.at <= began[0]
        assert state.instances[0].phase == "draining"
