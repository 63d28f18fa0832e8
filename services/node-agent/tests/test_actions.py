"""What is taken down and what is refused: once by its id, never from the past, never what makes no sense."""

from __future__ import annotations

import dataclasses

import pytest

from .conftest import MODEL, House


async def test_an_action_that_comes_twice_is_done_once(house: House) -> None:
    async with house.agent():
        first = await house.act("start", action_id="one", fence=7_000_000_001)
        again = await house.act("start", action_id="one", fence=7_000_000_001)
        assert (first["repeated"], again["repeated"]) == (False, True)
        await house.until("ready")
        assert len(house.engine.containers) == 1


async def test_an_action_of_the_past_is_refused(house: House) -> None:
    async with house.agent():
        await house.ready(fence=7_000_000_005)
        refused = await house.act("stop", fence=7_000_000_004, status=409)
        assert refused["error"]["code"] == "node.fence_stale"
        assert house.node.instances["a"].phase == "ready"


async def test_a_start_that_was_overtaken_is_refused(house: House) -> None:
    async with house.agent():
        await house.ready(fence=7_000_000_005)
        refused = await house.act("start", "b", fence=7_000_000_004, status=409)
        assert refused["error"]["code"] == "node.fence_stale"
        assert "b" not in house.node.instances


async def test_a_scheduler_that_was_followed_by_another_is_refused_everywhere(house: House) -> None:
    async with house.agent():
        await house.ready(fence=8_000_000_001)
        refused = await house.act("start", "b", fence=7_999_999_999, status=409)
        assert refused["error"]["code"] == "node.fence_stale"
        assert "b" not in house.node.instances


@pytest.mark.parametrize(
    ("told", "status", "code"),
    [
        ({"model": "large"}, 404, "node.model_unknown"),
        ({"cards": ["sim-9"]}, 422, "node.card_unknown"),
        ({"cards": []}, 422, "node.card_unknown"),
        ({"cards": ["sim-0", "sim-0"]}, 422, "node.card_unknown"),
        ({"model": "absent"}, 422, "node.model_unfit"),
        ({"instance_id": None}, 409, "node.action_unfit"),
        ({"verb": "explode"}, 422, "kit.invalid_request"),
        ({"fence": -1}, 422, "kit.invalid_request"),
        ({"more": 1}, 422, "kit.invalid_request"),
    ],
)
async def test_a_start_that_makes_no_sense_is_refused(
    house: House, told: dict[str, object], status: int, code: str
) -> None:
    absent = {**MODEL, "engine": "llama.cpp", "image": "example/absent:1", "files": {"model": "a"}}
    house.write(small=MODEL, absent=absent)
    async with house.agent():
        refused = await house.act("start", status=status, **told)
        assert refused["error"]["code"] == code
        assert house.engine.containers == {}


async def test_an_instances_id_is_used_once(house: House) -> None:
    async with house.agent():
        await house.ready()
        refused = await house.act("start", status=409)
        assert refused["error"]["code"] == "node.instance_exists"


async def test_what_makes_no_sense_in_a_phase_is_refused_and_what_is_so_already_is_not(
    house: House,
) -> None:
    async with house.agent():
        assert (await house.act("stop", "ghost", status=404))["error"]["code"] == (
            "node.instance_unknown"
        )
        await house.ready()
        await house.act("wake")  # it is awake
        await house.act("stop")
        await house.act("stop")
        await house.until("stopped")
        assert (await house.act("wake", status=409))["error"]["code"] == "node.action_unfit"


async def test_a_model_that_cannot_sleep_is_not_told_to(house: House) -> None:
    house.write(small={**MODEL, "sleep": {"method": "none"}})
    async with house.agent():
        await house.ready()
        assert (await house.act("sleep", status=409))["error"]["code"] == "node.action_unfit"


async def test_only_the_scheduler_tells_and_hears_and_only_the_gateway_asks(house: House) -> None:
    async with house.agent():
        for method, path, role in (
            ("POST", "/v1/actions", "gateway"),
            ("GET", "/v1/state", "gateway"),
            ("GET", "/v1/events", "gateway"),
            ("GET", "/metrics", "gateway"),
            ("GET", "/v1/state", ""),
            ("POST", "/v1/instances/a/v1/chat/completions", "scheduler"),
            ("POST", "/v1/instances/a/v1/chat/completions", ""),
        ):
            reply = await house.client.request(method, path, headers={"role": role})
            assert reply.status == 403, (method, path, role)
            assert (await reply.json())["error"]["code"] == "node.role_refused"
        assert (await house.client.get("/metrics", headers={"role": "scheduler"})).status == 200
        assert (await house.client.get("/nowhere")).status == 404


async def test_the_off_switch_stops_what_runs_offers_nothing_and_takes_nothing(
    house: House,
) -> None:
    async with house.agent():
        await house.ready()
    house.settings = dataclasses.replace(house.settings, disabled=True)
    async with house.agent():
        state = await house.state()
        assert (state.models, state.instances) == ((), ())
        assert house.engine.containers == {}
        assert (await house.act("start", "b", status=503))["error"]["code"] == "node.disabled"
        assert (await house.ask()).status == 503


async def test_a_node_is_suspended_only_where_its_owner_allows_it(house: House) -> None:
    async with house.agent():
        refused = await house.act("suspend", status=409)
        assert refused["error"]["code"] == "node.suspend_refused"


async def test_a_node_says_that_it_leaves_before_the_host_is_asked_to_suspend(
    house: House, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node_agent.node.RESUME_SECONDS_MAX", 1)
    asked = tmp_path / "suspend"
    house.settings = dataclasses.replace(house.settings, suspend=True, suspend_path=asked)
    async with house.agent():
        await house.act("suspend")
        assert (await house.act("start", status=503))["error"]["code"] == "node.leaving"
        while not asked.exists():
            assert (await house.state()).leaving
        # The machine did not go to sleep: after a while it is one that can be used again.
        while house.node.leaving:
            await house.node.clock.sleep(0.05)
        await house.ready()


async def test_a_card_that_cannot_be_read_is_told_with_its_error(house: House) -> None:
    house.cards.error = "The driver does not answer."
    async with house.agent():
        assert (await house.state()).cards[0].error == "The driver does not answer."
