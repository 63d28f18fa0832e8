"""A way over the GPU nodes: asked, queued, granted, sent, taken back, lost; and the ways after it."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import openai
import pytest
from contracts.scheduling import Ended
from model_gateway.app import build
from model_gateway.settings import Settings

from .conftest import WORDS, Outsider, Served, book, listen, serving
from .house_of_gpus import Scheduler, eventually, node_behind_proxy, write_certificates
from .test_outside import Proxy

HELLO: list[Any] = [{"role": "user", "content": "hello"}]
SettingsFor = Callable[..., Settings]
SAID = "".join(WORDS)


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Outsider]:
    """A node's proxy and the model behind it."""
    script = Outsider()
    async for _ in listen(script, write_certificates(tmp_path)):
        yield script


@pytest.fixture
async def proxy(node: Outsider) -> AsyncIterator[tuple[Proxy, str]]:
    async with node_behind_proxy(node) as made:
        yield made


@pytest.fixture
async def scheduler(node: Outsider) -> AsyncIterator[Scheduler]:
    made = Scheduler()
    made.node_url = f"https://10.9.8.7:{node.port}"
    await made.start()
    yield made
    await made.stop()


def routed(home: Outsider, *ways: dict[str, Any]) -> dict[str, Any]:
    content = book(home.url, queue_max=8, max_concurrency=8)
    talker = {"kind": "chat", "context_tokens": 100, "output_tokens_max": 50, "routes": list(ways)}
    return {**content, "models": {"talker": talker}}


GPU, HOME = {"gpu": "qwen", "silence_seconds": 15}, {"backend": "outsider"}


@pytest.fixture
def gateway(
    outsider: Outsider,
    scheduler: Scheduler,
    proxy: tuple[Proxy, str],
    settings_for: SettingsFor,
) -> Iterator[Served]:
    """A gateway whose model runs on a GPU node, and on the house's own backend where that fails."""
    yield from with_ways(outsider, scheduler, proxy[1], settings_for, GPU, HOME)


@pytest.fixture
def gpu_only(
    outsider: Outsider,
    scheduler: Scheduler,
    proxy: tuple[Proxy, str],
    settings_for: SettingsFor,
) -> Iterator[Served]:
    yield from with_ways(outsider, scheduler, proxy[1], settings_for, GPU)


def with_ways(
    home: Outsider, scheduler: Scheduler, proxy: str, settings_for: SettingsFor, *ways: Any
) -> Iterator[Served]:
    settings = settings_for(
        routed(home, *ways),
        LARES_EGRESS_PROXY_URL=proxy,
        LARES_GPU_SCHEDULER_URL=scheduler.url,
        LARES_INFERENCE_KEEP_ALIVE_SECONDS="0.1",
    )
    with serving(build(settings)) as served:
        yield served


async def offered(gateway: Served) -> None:
    await eventually(lambda: gateway.numbers()["lares_inference_gpu_scheduler_up"] == 1)


async def ask(gateway: Served, **more: Any) -> Any:
    return await gateway.client.chat.completions.create(model="talker", messages=HELLO, **more)


async def test_a_granted_request_goes_to_the_node_through_the_proxy_with_its_fence(
    gateway: Served, scheduler: Scheduler, node: Outsider, proxy: tuple[Proxy, str]
) -> None:
    await offered(gateway)
    headers = {"X-Lares-Class": "voice", "X-Lares-Agent": "a-7", "X-Lares-Service": "orchestrator"}
    reply = await ask(gateway, extra_headers=headers)
    assert reply.choices[0].message.content == SAID
    assert reply.model == "talker"
    [asked] = scheduler.asks()
    assert (asked.model, asked.service_class, asked.agent) == ("qwen", "voice", "a-7")
    assert (asked.caller, asked.tier) == ("service:orchestrator", "sacred")
    assert asked.prompt_tokens == len("hello") // 4
    sent = {name.lower(): value for name, value in node.headers[0].items()}
    assert sent["x-lares-request"] == asked.request_id
    await eventually(lambda: scheduler.ended() == ["ok"])
    [ended] = [heard for heard in scheduler.heard if isinstance(heard, Ended)]
    assert sent["x-lares-fence"] == str(ended.fence)
    assert proxy[0].asked == [f"CONNECT 10.9.8.7:{node.port} HTTP/1.1"]
    assert node.asked[0]["model"] == "qwen"


async def test_a_picture_goes_to_the_node_and_is_estimated_as_one(
    gateway: Served, scheduler: Scheduler, node: Outsider
) -> None:
    await offered(gateway)
    url = "data:image/png;base64," + "iVBORw0K" * 20_000
    parts = [{"type": "text", "text": "hello"}, {"type": "image_url", "image_url": {"url": url}}]
    node.mode = "drops once"
    shown: Any = [{"role": "user", "content": parts}]
    await gateway.client.chat.completions.create(model="talker", messages=shown)
    assert [sent["messages"] for sent in node.asked] == [shown, shown]
    assert scheduler.asks()[0].prompt_tokens == 1024 + len("hello") // 4


async def test_the_next_request_uses_the_same_connection(
    gateway: Served, proxy: tuple[Proxy, str]
) -> None:
    await offered(gateway)
    await ask(gateway)
    stream = await ask(gateway, stream=True)
    assert "".join([chunk.choices[0].delta.content or "" async for chunk in stream]) == SAID
    await ask(gateway)
    assert len(proxy[0].asked) == 1


async def test_a_node_under_another_name_is_not_believed(
    gateway: Served, scheduler: Scheduler, node: Outsider
) -> None:
    await offered(gateway)
    scheduler.tls_name = "forge-00000000.node.lares"
    reply = await ask(gateway)
    assert reply.choices[0].message.content == SAID
    assert not node.asked  # the house's own backend answered
    await eventually(lambda: scheduler.ended() == ["failed"])


async def test_a_queued_stream_is_told_where_it_stands(
    gateway: Served, scheduler: Scheduler, node: Outsider
) -> None:
    await offered(gateway)
    scheduler.grants = False
    body = {"model": "talker", "messages": HELLO, "stream": True}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{gateway.url}/v1/chat/completions", json=body) as answer,
    ):
        await eventually(scheduler.asks)
        request_id = scheduler.asks()[0].request_id
        await scheduler.queue(request_id, 3)
        first = await answer.content.readuntil(b"\n\n")
        while b"position=3" not in first:
            first = await answer.content.readuntil(b"\n\n")
        assert first.startswith(b": queued position=3 expected_start_seconds=4.0 ")
        assert not node.asked
        await scheduler.grant(request_id)
        rest = (await answer.read()).decode()
    assert rest.rstrip().endswith("data: [DONE]")
    await eventually(lambda: scheduler.began() == [request_id])


async def test_a_request_that_is_set_back_before_its_first_byte_waits_and_is_sent_again(
    gateway: Served, scheduler: Scheduler, node: Outsider
) -> None:
    await offered(gateway)
    node.mode = "held"
    asking = asyncio.create_task(ask(gateway))
    await eventually(lambda: node.asked)
    request_id = scheduler.asks()[0].request_id
    await scheduler.preempt(request_id)
    await eventually(lambda: scheduler.ended() == ["preempted"])
    await eventually(node.left.is_set)
    node.mode = "well"
    await scheduler.grant(request_id)
    assert (await asking).choices[0].message.content == SAID
    assert [sent["X-Lares-Request"] for sent in node.headers] == [request_id] * 2
    assert len({sent["X-Lares-Fence"] for sent in node.headers}) == 2
    await eventually(lambda: scheduler.ended() == ["preempted", "ok"])
    assert len(scheduler.asks()) == 1


async def test_a_request_that_has_begun_is_not_set_back(
    gateway: Served, scheduler: Scheduler, node: Outsider
) -> None:
    await offered(gateway)
    node.mode = "endless"
    stream = await ask(gateway, stream=True)
    await eventually(scheduler.began)
    await scheduler.preempt(scheduler.began()[0])
    words = 0
    async for chunk in stream:
        words += bool(chunk.choices[0].delta.content)
        if words > 30:
            break
    await stream.close()
    await eventually(lambda: scheduler.ended() == ["cancelled"])
    assert len(node.asked) == 1


async def test_a_queued_request_passes_to_the_next_way_when_its_node_goes(
    gateway: Served, scheduler: Scheduler, node: Outsider, outsider: Outsider
) -> None:
    await offered(gateway)
    scheduler.grants = False
    asking = asyncio.create_task(ask(gateway))
    await eventually(scheduler.asks)
    await scheduler.refuse(scheduler.asks()[0].request_id)
    assert (await asking).choices[0].message.content == SAID
    assert not node.asked
    assert len(outsider.asked) == 1
    labels = '{model="talker",reason="inference.node_away",way="gpu:qwen"}'
    assert gateway.numbers()[f"lares_inference_fall_overs_total{labels}"] == 1


async def test_what_a_dead_agent_asked_for_is_asked_of_nobody_else(
    gateway: Served, scheduler: Scheduler, node: Outsider, outsider: Outsider
) -> None:
    await offered(gateway)
    scheduler.grants = False
    asking = asyncio.create_task(ask(gateway))
    await eventually(scheduler.asks)
    await scheduler.refuse(scheduler.asks()[0].request_id, "inference.agent_gone")
    with pytest.raises(openai.ConflictError) as caught:
        await asking
    body: Any = caught.value.body
    assert body["code"] == "inference.agent_gone"
    assert not node.asked
    assert not outsider.asked


async def test_without_another_way_the_schedulers_own_words_reach_the_caller(
    gpu_only: Served, scheduler: Scheduler
) -> None:
    await offered(gpu_only)
    scheduler.grants = False
    asking = asyncio.create_task(ask(gpu_only))
    await eventually(scheduler.asks)
    await scheduler.refuse(scheduler.asks()[0].request_id, "inference.never_fits")
    with pytest.raises(openai.InternalServerError) as caught:
        await asking
    body: Any = caught.value.body
    assert (caught.value.status_code, body["code"]) == (503, "inference.never_fits")
    assert caught.value.response.headers["retry-after"] == "3"
    # A refused request is over: there is nothing to cancel.
    assert not scheduler.cancelled()


async def test_a_node_that_goes_in_mid_stream_ends_it_clearly_and_nobody_else_is_asked(
    gateway: Served, scheduler: Scheduler, node: Outsider, outsider: Outsider
) -> None:
    await offered(gateway)
    node.mode = "stalls"
    body = {"model": "talker", "messages": HELLO, "stream": True}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{gateway.url}/v1/chat/completions", json=body) as answer,
    ):
        await eventually(scheduler.began)
        await scheduler.refuse(scheduler.began()[0])
        events = (await answer.text()).strip().split("\n\n")
    said = json.loads(events[-1].removeprefix("data: "))
    assert said["error"]["code"] == "inference.gpu_lost"
    assert not any("[DONE]" in event for event in events)
    assert not outsider.asked
    await eventually(lambda: scheduler.ended() == ["lost"])


async def test_a_model_that_breaks_off_in_mid_stream_is_not_asked_again(
    gateway: Served, scheduler: Scheduler, node: Outsider, outsider: Outsider
) -> None:
    await offered(gateway)
    node.mode = "breaks"
    stream = await ask(gateway, stream=True)
    with pytest.raises(openai.APIError):
        async for _ in stream:
            pass
    assert (len(node.asked), len(outsider.asked)) == (1, 0)


@pytest.mark.parametrize(
    ("mode", "outcome"), [("500", "failed"), ("503", "failed"), ("repeated", "failed")]
)
async def test_a_model_that_fails_before_its_first_byte_passes_to_the_next_way(
    gateway: Served,
    scheduler: Scheduler,
    node: Outsider,
    outsider: Outsider,
    mode: str,
    outcome: str,
) -> None:
    await offered(gateway)
    node.mode = mode
    assert (await ask(gateway)).choices[0].message.content == SAID
    assert (len(node.asked), len(outsider.asked)) == (1, 1)
    await eventually(lambda: scheduler.ended() == [outcome])


async def test_a_refusal_of_the_request_itself_is_not_asked_of_anybody_else(
    gateway: Served, node: Outsider, outsider: Outsider
) -> None:
    await offered(gateway)
    node.mode = "400"
    with pytest.raises(openai.BadRequestError):
        await ask(gateway)
    assert not outsider.asked


async def test_a_request_that_died_with_a_kept_connection_is_repeated_with_the_same_fence_and_id(
    gpu_only: Served, scheduler: Scheduler, node: Outsider
) -> None:
    await offered(gpu_only)
    node.mode = "drops once"
    assert (await ask(gpu_only)).choices[0].message.content == SAID
    assert len(node.asked) == 2
    for header in ("X-Lares-Fence", "X-Lares-Request"):
        assert len({sent[header] for sent in node.headers}) == 1
    assert len(scheduler.asks()) == 1


async def test_a_stale_grant_is_asked_for_once_more(
    gateway: Served, scheduler: Scheduler, node: Outsider, outsider: Outsider
) -> None:
    await offered(gateway)
    node.mode = "stale"
    assert (await ask(gateway)).choices[0].message.content == SAID
    assert len(node.asked) == 2
    assert len(outsider.asked) == 1
    first, second = (asked.request_id for asked in scheduler.asks())
    assert second == f"{first}-1"
    await eventually(lambda: scheduler.ended() == ["lost", "lost"])


async def test_a_grant_for_a_model_that_had_just_died_is_asked_for_anew_and_answered(
    gpu_only: Served, scheduler: Scheduler, node: Outsider
) -> None:
    await offered(gpu_only)
    node.mode = "dead once"
    assert (await ask(gpu_only)).choices[0].message.content == SAID
    first, second = (asked.request_id for asked in scheduler.asks())
    assert second == f"{first}-1"
    await eventually(lambda: scheduler.ended() == ["lost", "ok"])


async def test_a_model_that_stays_dead_is_asked_for_a_few_times_and_then_the_next_way_answers(
    gateway: Served, scheduler: Scheduler, node: Outsider, outsider: Outsider
) -> None:
    await offered(gateway)
    node.mode = "dead"
    assert (await ask(gateway)).choices[0].message.content == SAID
    assert (len(node.asked), len(outsider.asked)) == (5, 1)
    await eventually(lambda: scheduler.ended() == ["lost"] * 5)
    assert not scheduler.cancelled()
