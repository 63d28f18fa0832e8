"""A real vLLM on the processor, started, asked, put to sleep and stopped by a real node-agent, as a GPU node does it.

Not in CI: it needs 3.2 GB (tests/bench/vllm_cpu/venv.sh), and some minutes. The model is a small Llama of random weights.
What a processor cannot show: memory of a card, and a sleep that frees it. Writes results/vllm.json.
"""

from __future__ import annotations

import asyncio
import importlib.util
import itertools
import json
import os
import re
import secrets
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from contracts.gpunode import InstanceState

from . import tiny_llama
from .report import percentile, record
from .vllm_cpu import image

ROOT = Path(__file__).resolve().parents[2]
PYTHON = os.environ.get("LARES_VLLM_PYTHON", "")
pytestmark = [
    pytest.mark.bench,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(
        not PYTHON,
        reason="LARES_VLLM_PYTHON names no Python with vLLM: tests/bench/vllm_cpu/venv.sh makes one",
    ),
]
CONTEXT, SLOTS = 1024, 4
# Keys and values of one token, 16 bits each, in every layer.
TOKEN_BYTES = 2 * 2 * tiny_llama.LAYERS * tiny_llama.KEY_HEADS * tiny_llama.HEAD
# Its container bears this name: other tests on this engine have theirs.
INSTANCE = f"vllm-{secrets.token_hex(3)}"
PATHS = ["/v1/chat/completions", "/v1/completions", "/v1/models", "/metrics"]
# What the processor's server asks of the machine; the rest is as an owner would write it.
TINY = {
    "kind": "chat", "engine": "vllm", "image": image.IMAGE, "files": {"model": "tiny"}, "context_tokens": CONTEXT,
    "slots": SLOTS, "paths": PATHS, "memory_limit_mib": 5000, "tmp_mib": 1024, "shm_mib": 256, "pids_max": 1024,
    "start_seconds_max": 900, "stop_seconds_max": 15, "drain_seconds_max": 60,
}  # fmt: skip
SLEEPER = {**TINY, "sleep": {"method": "vllm", "level": 1}, "asleep_mib": 300}
# On a processor vLLM refuses to be able to sleep; told so afterwards, it takes the words and does nothing.
PRETENDER = {**SLEEPER, "command": ["--no-enable-sleep-mode", "--enforce-eager"]}
MAY_HOLD_MIB = 556  # asleep_mib, and what the agent allows beyond it


def _real() -> ModuleType:
    """node-agent's own means of playing a GPU node."""
    path = ROOT / "services/node-agent/tests/real.py"
    spec = importlib.util.spec_from_file_location("node_agent_real", path)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = made
    spec.loader.exec_module(made)
    return made


@pytest.fixture(scope="module")
def results() -> Iterator[dict[str, Any]]:
    told: dict[str, Any] = {"rows": [], "floors": {}}
    yield told
    if len(told["floors"]) == 5:
        rows = [{"what": "", "predicted": "", **row} for row in told["rows"]]
        record("vllm", told["floors"], rows)


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Any]:
    image.built(PYTHON)
    made = _real().RealNode(tmp_path)
    made.environment["LARES_NODE_SIMULATED_CARDS"] = "sim-0:24000"
    # The card holds what the processes hold: so it is seen what stays when vLLM says that it sleeps.
    made.environment["LARES_NODE_SIMULATED_USE"] = "measured"
    await made.open()
    tiny_llama.write(tmp_path / "weights" / "tiny")
    for path in (tmp_path, *tmp_path.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    made.write(tiny=TINY, sleeper=SLEEPER, pretender=PRETENDER,
               deep={**PRETENDER, "sleep": {"method": "vllm", "level": 2}})  # fmt: skip
    try:
        await made.start()
        yield made
    finally:
        await made.close()


async def until(node: Any, *phases: str, seconds: float = 900) -> InstanceState:
    """Return the instance once it is in one of these phases, or has failed."""
    async with asyncio.timeout(seconds):
        while True:
            (one,) = (await node.state()).instances
            if one.phase in (*phases, "failed"):
                return one
            await asyncio.sleep(0.2)


async def started(node: Any, model: str) -> InstanceState:
    taken = await node.act("start", INSTANCE, model=model)
    assert taken["status"] == 202, taken
    one = await until(node, "ready")
    assert one.phase == "ready", one.error
    return one


def ask(node: Any, path: str, body: dict[str, Any] | None = None) -> Any:
    """A request as the gateway makes it, through node-agent."""
    headers = {
        "X-Lares-Fence": str(next(node.fences)),
        "X-Lares-Request": secrets.token_hex(8),
    }
    verb = "GET" if body is None else "POST"
    return node.sessions["gateway"].request(
        verb, f"/v1/instances/{INSTANCE}{path}", json=body, headers=headers
    )


async def metrics(node: Any) -> str:
    async with ask(node, "/metrics") as reply:
        assert reply.status == 200
        return await reply.text()


def number(text: str, name: str) -> float:
    return sum(
        float(found) for found in re.findall(rf"^{name}(?:{{[^}}]*}})? ([0-9.e+]+)$", text, re.M)
    )


def label(text: str, name: str) -> float:
    found = re.search(rf'vllm:cache_config_info{{[^}}]*\b{name}="([0-9.]+)"', text)
    assert found, f"{name} is not told"
    return float(found[1])


def chat(model: str, tokens: int, **more: Any) -> dict[str, Any]:
    words = [{"role": "user", "content": "Is the window in the kitchen open?"}]
    # Random weights say their end as readily as anything else.
    told = {"model": model, "messages": words, "max_tokens": tokens, "ignore_eos": True}
    return {**told, "temperature": 0.0, **more}


async def stream(node: Any, tokens: int) -> tuple[float, float, int]:
    """Return when the first piece came, how long all of it took, and how many tokens the server counted."""
    begun, first, counted = time.monotonic(), 0.0, 0
    body = chat("tiny", tokens, stream=True, stream_options={"include_usage": True})
    async with ask(node, "/v1/chat/completions", body) as reply:
        assert reply.status == 200, await reply.text()
        async for line in reply.content:
            if not line.startswith(b"data: {"):
                continue
            told = json.loads(line[6:])
            if told["choices"] and not first:
                first = time.monotonic() - begun
            if told.get("usage"):
                counted = told["usage"]["completion_tokens"]
    return first, time.monotonic() - begun, counted


async def speeds(node: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    await stream(node, 16)
    for streams, tokens in ((1, 200), (SLOTS, 200)):
        begun = time.monotonic()
        seen = await asyncio.gather(*(stream(node, tokens) for _ in range(streams)))
        seconds = time.monotonic() - begun
        assert all(counted == tokens for _, _, counted in seen)
        rows += [
            {"what": f"tokens/s, {streams} at once", "measured": round(streams * tokens / seconds, 1)},
            {"what": f"first piece, ms, {streams} at once", "measured": round(percentile([first for first, _, _ in seen], 0.5) * 1000, 1)},
        ]  # fmt: skip
    return rows


async def whole_contexts(node: Any) -> float:
    """Every slot uses its whole context at once: return the seconds. The cache that was told must hold them."""
    words = list(itertools.islice(itertools.cycle(range(10, 250)), CONTEXT - 200))
    begun = time.monotonic()

    async def one(turn: int) -> int:
        body = {"model": "tiny", "prompt": [100 + turn, *words[1:]], "max_tokens": 200,
                "ignore_eos": True, "temperature": 0.0}  # fmt: skip
        async with ask(node, "/v1/completions", body) as reply:
            assert reply.status == 200, await reply.text()
            return (await reply.json())["usage"]["total_tokens"]

    assert await asyncio.gather(*(one(turn) for turn in range(SLOTS))) == [CONTEXT] * SLOTS
    return time.monotonic() - begun


async def test_it_lives_from_its_start_to_its_stop_with_what_the_catalogue_says(
    node: Any, results: dict[str, Any]
) -> None:
    declared = next(one for one in (await node.state()).models if one.model == "tiny")
    footprint = declared.footprint
    assert declared.error is None
    assert footprint is not None
    assert footprint.source == "safetensors"
    ready = await started(node, "tiny")
    told = await metrics(node)
    cache_tokens = label(told, "num_gpu_blocks") * label(told, "block_size")
    weights = (node.folder / "weights/tiny/model.safetensors").stat().st_size
    rows = results["rows"]
    rows += [
        {"what": "ready after, s", "measured": ready.took_seconds},
        {"what": "weights, MiB", "predicted": footprint.weights_mib, "measured": round(weights / 2**20, 1)},
        {"what": "tokens in the cache", "predicted": SLOTS * CONTEXT, "measured": int(cache_tokens)},
        {"what": "cache, MiB", "predicted": footprint.cache_mib, "measured": cache_tokens * TOKEN_BYTES / 2**20},
    ]  # fmt: skip
    # One block is never given out.
    assert cache_tokens - label(told, "block_size") >= SLOTS * CONTEXT
    rows += await speeds(node)
    rows.append({"what": "all slots to their last token, s", "measured": round(await whole_contexts(node), 1)})  # fmt: skip
    async with ask(node, "/v1/chat/completions", chat("tiny", 900, stream=True)) as reply:
        await reply.content.readline()
    async with asyncio.timeout(20):  # the client has gone: vLLM stops
        while number(await metrics(node), "vllm:num_requests_running"):
            await asyncio.sleep(0.2)
    (one,) = (await node.state()).instances
    rows.append({"what": "host memory, MiB", "predicted": declared.ram_mib, "measured": one.ram_mib})  # fmt: skip
    running = asyncio.create_task(stream(node, 300))
    await asyncio.sleep(0.3)
    await node.act("drain", INSTANCE)
    async with ask(node, "/v1/chat/completions", chat("tiny", 1)) as reply:
        assert reply.status == 409
    assert (await running)[2] == 300
    await node.act("stop", INSTANCE)
    stopped = await until(node, "stopped")
    rows.append({"what": "stopped after, s", "measured": stopped.took_seconds})
    assert node.containers(everything=True) == []
    floors = results["floors"]
    floors["every slot has its whole context in the cache that was predicted"] = "met"
    assert one.ram_mib is not None
    met = one.ram_mib <= declared.ram_mib
    floors["host memory is not more than was predicted"] = "met" if met else "MISSED"
    assert met


async def test_where_it_cannot_sleep_it_says_so_and_does_not_start(
    node: Any, results: dict[str, Any]
) -> None:
    await node.act("start", INSTANCE, model="sleeper")
    one = await until(node, "ready")
    assert one.phase == "failed"
    assert "Sleep mode is not supported on current platform" in (one.error or "")
    assert not one.out_of_memory
    async with asyncio.timeout(30):  # it is told at once; the engine clears up after
        while node.containers(everything=True):
            await asyncio.sleep(0.2)
    results["floors"]["a start that vLLM refuses has failed, with vLLM's own reason"] = "met"


@pytest.mark.parametrize(("model", "level"), [("pretender", 1), ("deep", 2)])
async def test_a_sleep_that_is_answered_well_and_frees_nothing_is_seen_on_the_card(
    node: Any, results: dict[str, Any], model: str, level: int
) -> None:
    await started(node, model)
    awake = (await node.state()).cards[0].used_mib
    await node.act("sleep", INSTANCE)
    asleep = await until(node, "asleep")
    assert asleep.phase == "asleep", asleep.error
    async with ask(node, "/v1/chat/completions", chat(model, 1)) as reply:
        assert reply.status == 409  # vLLM would keep it waiting
    node.kill()  # an agent that comes back asks vLLM itself
    await node.start()
    assert (await until(node, "asleep", "ready")).phase == "asleep"
    async with asyncio.timeout(15):
        while not (state := await node.state()).instances[0].error:
            await asyncio.sleep(0.2)
    held = state.cards[0].used_mib
    assert held > max(MAY_HOLD_MIB, awake * 0.9)
    assert f"still holds {held} MiB" in state.instances[0].error
    await node.act("wake", INSTANCE)
    woken = await until(node, "ready")
    assert (woken.phase, woken.error) == ("ready", None)
    async with ask(node, "/v1/chat/completions", chat(model, 8)) as reply:
        assert reply.status == 200, await reply.text()
        assert (await reply.json())["usage"]["completion_tokens"] == 8
    results["rows"].append({"what": f"held while it says that it sleeps at level {level}, MiB", "predicted": SLEEPER["asleep_mib"], "measured": held})  # fmt: skip
    results["floors"][f"a sleep of level {level} that frees nothing is told of"] = "met"
    await node.act("stop", INSTANCE)
    await until(node, "stopped")
