"""The life of an instance, told over HTTP to a node whose engine is played."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import ClientPayloadError

from .conftest import LLM, MODEL, House

VLLM = "example/vllm:1"
SLEEPER = {"kind": "chat", "engine": "vllm", "image": VLLM, "vram_mib": 4000, "kv_cache_mib": 900, "asleep_mib": 500,
           "files": {"model": "tiny"}, "port": 8000, "stop_seconds_max": 1, "sleep_seconds_max": 1,
           "sleep": {"method": "vllm", "level": 1}}  # fmt: skip


@pytest.fixture
def vllm(house: House) -> House:
    """A node whose model `small` is one of vLLM."""
    house.engine.images[VLLM] = "sha256:2"
    (house.settings.weights_path / "tiny").mkdir(parents=True)
    house.write(small=SLEEPER)
    return house


async def test_a_model_starts_answers_sleeps_wakes_and_stops(house: House) -> None:
    async with house.agent():
        instance = await house.ready()
        reply = await house.ask()
        assert await reply.text() == "data: 0\n\ndata: 1\n\ndata: 2\n\n"
        await house.act("sleep")
        house.engine.model(LLM).asleep = True  # llama.cpp goes by itself once it is idle
        await house.until("asleep")
        await house.act("wake")
        await house.until("ready")
        assert not house.engine.model(LLM).asleep
        await house.act("stop")
        await house.until("stopped")
        assert house.engine.containers == {}
        assert house.engine.networks == {}
        assert instance.took_seconds is not None


async def test_a_server_that_says_of_itself_in_two_pieces_is_understood(house: House) -> None:
    async with house.agent():
        await house.ready()
        model = house.engine.model(LLM)
        model.halves = True
        await house.act("sleep")
        model.asleep = True
        await house.until("asleep")
        await house.act("wake")
        await house.until("ready")


async def test_what_is_meant_to_be_ready_is_kept_awake_and_what_sleeps_is_left_alone(
    house: House,
) -> None:
    async with house.agent():
        await house.ready()
        model = house.engine.model(LLM)
        while model.touched < 2:
            await asyncio.sleep(0.02)
        await house.act("sleep")
        model.asleep = True
        await house.until("asleep")
        touched = model.touched
        await asyncio.sleep(0.8)
        assert model.touched == touched


async def test_a_start_that_is_never_ready_fails_and_leaves_nothing(house: House) -> None:
    house.engine.model(LLM).ready = False
    house.write(small={**MODEL, "start_seconds_max": 0.3})
    async with house.agent():
        await house.act("start")
        instance = await house.until("failed")
        assert instance.error == "It was not ready after 0.3 s."
        assert not instance.out_of_memory
        assert house.engine.containers == {}
        assert house.engine.networks == {}


async def test_what_the_engine_says_of_a_start_that_it_refuses_is_told(house: House) -> None:
    house.engine.starts_refused = "Address already in use"
    async with house.agent():
        await house.act("start")
        instance = await house.until("failed")
        assert instance.error == "The engine refused: Address already in use"
        assert house.engine.containers == {}


@pytest.mark.parametrize(
    "log",
    [
        "ggml_backend_cuda_buffer_type_alloc_buffer: allocating 4096.00 MiB on device 0: cudaMalloc failed: out of memory",
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.",
        "ValueError: No available memory for the cache blocks.",
    ],
)
async def test_a_start_that_runs_out_of_memory_says_so(house: House, log: str) -> None:
    house.engine.dies_at_start = (1, f"loading\n{log}\nexiting")
    async with house.agent():
        await house.act("start")
        instance = await house.until("failed")
        assert instance.out_of_memory
        assert log[:100] in instance.error
        await instance.settled()
        assert house.engine.containers == {}


async def test_a_container_killed_beyond_its_host_memory_is_out_of_memory(house: House) -> None:
    async with house.agent():
        await house.ready()
        container = house.engine.named("a")
        assert container is not None
        await house.engine.die(container, 137, oom=True)
        instance = await house.until("failed")
        assert instance.out_of_memory
        assert "memory_limit_mib" in instance.error


async def test_a_model_killed_by_hand_has_failed_and_is_not_out_of_memory(house: House) -> None:
    async with house.agent():
        await house.ready()
        container = house.engine.named("a")
        assert container is not None
        await house.engine.die(container, 137)
        instance = await house.until("failed")
        assert not instance.out_of_memory
        assert "killed (137)" in instance.error
        # The scheduler decides whether it comes back.
        await asyncio.sleep(0.2)
        assert house.engine.containers == {}


async def test_a_crash_ends_its_requests_at_once(house: House) -> None:
    house.engine.model(LLM).tokens, house.engine.model(LLM).token_seconds = 1000, 0.05
    async with house.agent():
        await house.ready()
        reply = await house.ask()
        assert await reply.content.readline() == b"data: 0\n"
        container = house.engine.named("a")
        assert container is not None
        await house.engine.die(container, 139, log="Segmentation fault\n")
        instance = await house.until("failed")
        with pytest.raises(ClientPayloadError):
            await reply.read()
        assert "139" in instance.error
        assert house.node.in_flight == 0


async def test_a_stop_during_a_start_leaves_nothing_half_made(house: House) -> None:
    house.engine.create_seconds = 0.3
    house.engine.model(LLM).ready = False
    async with house.agent():
        await house.act("start")
        await asyncio.sleep(0.05)  # the engine is making it
        await house.act("stop")
        instance = await house.until("stopped")
        await instance.settled()
        assert house.engine.containers == {}
        assert house.engine.networks == {}


async def test_a_stop_waits_for_what_runs_and_takes_nothing_new(house: House) -> None:
    house.engine.model(LLM).tokens, house.engine.model(LLM).token_seconds = 5, 0.1
    async with house.agent():
        await house.ready()
        running = await house.ask()
        await house.act("stop")
        late = await house.ask()
        assert late.status == 409
        assert (await late.json())["error"]["code"] == "node.instance_not_ready"
        assert (await running.text()).count("data:") == 5
        await house.until("stopped")


async def test_a_request_that_does_not_end_is_cut_after_the_models_limit(house: House) -> None:
    house.engine.model(LLM).tokens, house.engine.model(LLM).token_seconds = 10_000, 0.05
    house.write(small={**MODEL, "drain_seconds_max": 0.3})
    async with house.agent():
        await house.ready()
        reply = await house.ask()
        await house.act("stop")
        with pytest.raises(ClientPayloadError):
            await reply.read()
        await house.until("stopped")


async def test_a_request_that_is_cut_before_its_first_byte_is_told_why(house: House) -> None:
    house.write(small={**MODEL, "drain_seconds_max": 0.2})
    async with house.agent():
        await house.ready()
        house.engine.model(LLM).hangs = True
        waiting = asyncio.create_task(house.ask())
        while not house.node.in_flight:
            await asyncio.sleep(0.01)
        await house.act("stop")
        reply = await waiting
        assert (reply.status, reply.headers["X-Lares-Node-Error"]) == (503, "node.request_cut")
        await house.until("stopped")


async def test_a_draining_instance_takes_nothing_new_until_it_is_woken(house: House) -> None:
    async with house.agent():
        await house.ready()
        await house.act("drain")
        assert (await house.ask()).status == 409
        await house.act("wake")
        assert (await house.ask()).status == 200


async def test_vllm_sleeps_and_wakes_through_its_development_addresses(vllm: House) -> None:
    async with vllm.agent():
        await vllm.ready()
        await vllm.act("sleep")
        await vllm.until("asleep")
        await vllm.act("wake")
        await vllm.until("ready")
        told = [one for one in vllm.engine.model(VLLM).asked if one.startswith("POST")]
        assert told == ["POST /sleep?level=1", "POST /wake_up"]


async def test_level_two_reads_the_weights_again_before_the_cache_is_made(vllm: House) -> None:
    vllm.write(small={**SLEEPER, "sleep": {"method": "vllm", "level": 2}})
    async with vllm.agent():
        await vllm.ready()
        await vllm.act("sleep")
        await vllm.until("asleep")
        await vllm.act("wake")
        await vllm.until("ready")
        told = [one for one in vllm.engine.model(VLLM).asked if one.startswith("POST")]
        assert told == [
            "POST /sleep?level=2",
            "POST /wake_up?tags=weights",
            "POST /collective_rpc",
            "POST /wake_up?tags=kv_cache",
        ]


async def test_a_sleep_that_answers_well_and_does_not_sleep_ends_the_container(vllm: House) -> None:
    vllm.engine.model(VLLM).sleeps = False
    async with vllm.agent():
        await vllm.ready()
        await vllm.act("sleep")
        instance = await vllm.until("failed")
        assert "did not fall asleep" in instance.error
        assert vllm.engine.containers == {}


async def test_a_sleep_that_leaves_its_memory_on_the_card_is_told_as_it_is_read(
    vllm: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node_agent.instance.ASLEEP_SETTLES_SECONDS", 0.0)
    vllm.cards.left = 3900
    async with vllm.agent():
        await vllm.ready()
        await vllm.act("sleep")
        await vllm.until("asleep")
        state = await vllm.state()
        assert state.cards[0].ours[0].used_mib == 3900
        assert "still holds 3900 MiB" in (state.instances[0].error or "")
        vllm.cards.left = 500
        assert (await vllm.state()).instances[0].error is None


async def test_the_peak_is_the_most_that_was_read_while_it_was_awake(house: House) -> None:
    async with house.agent():
        await house.ready()
        assert (await house.state()).instances[0].peak_mib == {"sim-0": 1000}
        house.write(small={**MODEL, "vram_mib": 1500})
        await house.node.shelf.look()
        assert (await house.state()).instances[0].peak_mib == {"sim-0": 1500}
        house.write(small={**MODEL, "vram_mib": 900})
        await house.node.shelf.look()
        assert (await house.state()).instances[0].peak_mib == {"sim-0": 1500}


async def test_a_server_that_hangs_is_ended(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node_agent.instance.LOOKS_MISSED_MAX", 0.1)
    monkeypatch.setattr("node_agent.talk.LOOK_SECONDS_MAX", 0.1)
    async with house.agent():
        await house.ready()
        house.engine.model(LLM).hangs = True
        instance = await house.until("failed")
        assert "has not answered" in instance.error


async def test_an_engine_that_hangs_during_a_stop_is_asked_until_it_answers(house: House) -> None:
    async with house.agent():
        await house.ready()
        house.engine.refuses["POST /containers"] = "device or resource busy"
        await house.act("stop")
        await asyncio.sleep(0.3)
        assert house.node.instances["a"].phase == "stopping"
        house.engine.refuses.clear()
        await house.until("stopped")
        assert house.engine.containers == {}


async def test_an_instance_that_ended_is_told_of_for_a_minute_and_then_forgotten(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with house.agent():
        await house.ready()
        await house.act("stop")
        await house.until("stopped")
        assert [one.phase for one in (await house.state()).instances] == ["stopped"]
        monkeypatch.setattr("node_agent.node.ENDED_SECONDS", -1.0)
        assert (await house.state()).instances == ()
