"""An agent that was killed finds what runs, goes on with it, and removes what it cannot account for."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from .conftest import LLM, MODEL, House


async def test_what_runs_is_taken_over_with_its_fence_and_answers(house: House) -> None:
    async with house.agent():
        await house.ready(fence=7_000_000_007)
        boot = house.node.boot
    async with house.agent():
        instance = await house.until("ready", seconds=5)
        assert house.node.boot != boot
        assert instance.fence == 7_000_000_007
        assert (await house.state()).fence == 7_000_000_007
        assert (await house.ask(headers={"X-Lares-Fence": "7000000008"})).status == 200
        assert (await house.ask(headers={"X-Lares-Fence": "7000000006"})).status == 409
        assert len(house.engine.containers) == 1


async def test_an_agent_in_a_container_joins_each_models_network_also_when_it_is_a_new_one(
    house: House,
) -> None:
    house.settings = dataclasses.replace(house.settings, own_container="lares-node-agent")
    joins = "POST /networks/lares-model-forge-0/connect"
    async with house.agent():
        await house.ready()
        assert house.engine.calls.count(joins) == 1
    async with house.agent():
        await house.until("ready")
        assert house.engine.calls.count(joins) == 2
        await house.act("stop")
        await house.until("stopped")
        assert "POST /networks/lares-model-forge-0/disconnect" in house.engine.calls
        assert house.engine.networks == {}


async def test_a_start_that_was_broken_off_is_gone_on_with(house: House) -> None:
    house.engine.model(LLM).ready = False
    async with house.agent():
        await house.act("start")
        while not house.engine.containers or house.engine.named("a").state != "running":
            await asyncio.sleep(0.01)
    async with house.agent():
        assert (await house.state()).instances[0].phase == "starting"
        house.engine.model(LLM).ready = True
        await house.until("ready")


async def test_a_container_that_was_made_and_not_started_is_removed(house: House) -> None:
    async with house.agent():
        await house.ready()
    house.engine.named("a").state = "created"
    async with house.agent():
        assert (await house.state()).instances == ()
        assert house.engine.containers == {}
        assert house.engine.networks == {}


async def test_one_that_fell_asleep_while_nobody_kept_it_awake_is_found_asleep(
    house: House,
) -> None:
    async with house.agent():
        await house.ready()
    house.engine.model(LLM).asleep = True
    async with house.agent():
        await house.until("asleep")
        # It was not touched: waking it would take memory that nobody has booked.
        assert house.engine.model(LLM).asleep


async def test_strays_are_removed(house: House) -> None:
    async with house.agent():
        await house.ready()
        await house.ready("b")
        await house.ready("c")
    house.engine.named("a").body["Labels"]["house.lares.fence"] = "none"
    house.engine.named("b").body["Labels"]["house.lares.model"] = "forgotten"
    house.engine.networks["lares-model-forge-9"] = {
        "Name": "lares-model-forge-9",
        "Labels": {"house.lares.net": "9"},
    }
    async with house.agent():
        await house.until("ready", "c")
        assert [one.name for one in house.engine.containers.values()] == ["lares-model-c"]
        assert len(house.engine.networks) == 1


async def test_a_container_that_appears_from_nowhere_is_removed_while_the_agent_runs(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node_agent.watch.RECONCILE_SECONDS", 0.1)
    async with house.agent():
        await house.ready()
        stray = house.engine.named("a").body
        async with asyncio.timeout(5):
            await house.node.engine.create("lares-model-ghost", stray)
            while house.engine.named("ghost") is not None:
                await asyncio.sleep(0.02)
        assert house.node.instances["a"].phase == "ready"


async def test_a_death_that_no_event_told_of_is_noticed(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node_agent.watch.RECONCILE_SECONDS", 0.1)
    async with house.agent():
        await house.ready()
        house.engine.containers.clear()
        instance = await house.until("failed")
        assert instance.error == "It has vanished."


async def test_deaths_are_heard_of_again_after_the_engine_was_started_anew(house: House) -> None:
    async with house.agent():
        await house.ready()
        house.engine.hang_up()
        before = [call for call in house.engine.calls if call.startswith("GET /events")]
        async with asyncio.timeout(5):
            while len([c for c in house.engine.calls if c.startswith("GET /events")]) == len(
                before
            ):
                await asyncio.sleep(0.02)
        await house.engine.die(house.engine.named("a"), 1)
        await house.until("failed", seconds=3)  # sooner than the next comparison


async def test_an_agent_whose_engine_hangs_says_nothing_rather_than_that_nothing_runs(
    house: House,
) -> None:
    async with house.agent():
        await house.ready()
    house.engine.hangs = True
    async with house.agent():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await house.state()
        assert house.node.hub.latest is None
        house.engine.hangs = False
        await house.until("ready")


async def test_an_engine_that_falls_silent_is_told_of_and_requests_go_on(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node_agent.watch.RECONCILE_SECONDS", 0.1)
    async with house.agent():
        await house.ready()
        house.engine.hangs = True
        async with asyncio.timeout(5):
            while "did not answer" not in ((await house.state()).error or ""):
                await asyncio.sleep(0.05)
        assert (await house.ask()).status == 200
        house.engine.hangs = False
        async with asyncio.timeout(5):
            while (await house.state()).error is not None:
                await asyncio.sleep(0.05)


async def test_a_catalogue_that_is_wrong_when_the_agent_starts_condemns_nobody(
    house: House,
) -> None:
    async with house.agent():
        await house.ready()
    house.catalogue.write_text("version: 1\nmodels: {small: {kind: cat}}")
    async with house.agent():
        await house.until("ready")
        state = await house.state()
        assert state.models == ()
        assert "models.small.kind" in (state.error or "")
        assert (await house.ask()).status == 200


async def test_a_model_that_left_the_catalogue_runs_on_and_goes_with_the_next_agent(
    house: House,
) -> None:
    async with house.agent():
        await house.ready()
        house.write(other=MODEL)
        await house.node.shelf.look()
        assert (await house.ask()).status == 200
    async with house.agent():
        assert (await house.state()).instances == ()
        assert house.engine.containers == {}
