"""Chat through the gateway, spoken to by OpenAI's own client."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import aiohttp
import openai
import pytest
from model_gateway.app import build
from model_gateway.settings import Settings

from .conftest import WORDS, Outsider, Served, book, free_port, listen, serving

HELLO: list[Any] = [{"role": "user", "content": "hello"}]


def code_of(error: openai.APIError) -> str:
    body: Any = error.body
    return body["code"]


async def test_a_whole_answer_has_the_houses_name_of_the_model_and_its_usage(
    gateway: Served, outsider: Outsider
) -> None:
    reply = await gateway.client.chat.completions.create(model="talker", messages=HELLO)
    assert reply.choices[0].message.content == "".join(WORDS)
    assert reply.model == "talker"
    assert reply.usage is not None
    assert reply.usage.completion_tokens == 7
    assert "timings" not in reply.to_dict()
    assert outsider.asked[0]["model"] == "big-model"
    assert outsider.asked[0]["max_tokens"] == 50


async def test_a_stream_arrives_word_by_word_and_ends_with_done(gateway: Served) -> None:
    async with aiohttp.ClientSession() as session:
        body = {"model": "talker", "messages": HELLO, "stream": True}
        async with session.post(f"{gateway.url}/v1/chat/completions", json=body) as answer:
            assert answer.status == 200
            assert answer.headers["content-type"].startswith("text/event-stream")
            text = await answer.text()
    events = [
        event.removeprefix("data: ") for event in text.split("\n\n") if event.startswith("data: ")
    ]
    assert events[-1] == "[DONE]"
    chunks = [json.loads(event) for event in events[:-1]]
    assert "".join(
        chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks
    ) == "".join(WORDS)
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert {chunk["model"] for chunk in chunks} == {"talker"}
    assert not any("usage" in chunk for chunk in chunks)


async def test_a_stream_tells_its_usage_to_who_asks(gateway: Served) -> None:
    stream = await gateway.client.chat.completions.create(
        model="talker", messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    usages = [chunk.usage async for chunk in stream if chunk.usage]
    assert [usage.completion_tokens for usage in usages] == [7]


async def test_a_client_that_goes_in_mid_stream_stops_the_backend(
    gateway: Served, outsider: Outsider
) -> None:
    outsider.mode = "endless"
    stream = await gateway.client.chat.completions.create(
        model="talker", messages=HELLO, stream=True
    )
    async for _ in stream:
        break
    await stream.close()
    await asyncio.wait_for(outsider.left.wait(), 8)
    outsider.mode = "well"
    # The place in the lane is free again.
    await gateway.client.chat.completions.create(model="talker", messages=HELLO)


@pytest.mark.parametrize("streamed", [True, False])
async def test_a_client_that_goes_before_the_first_word_stops_the_backend(
    gateway: Served, outsider: Outsider, streamed: bool
) -> None:
    outsider.mode = "silent"
    asking = asyncio.create_task(
        gateway.client.chat.completions.create(model="talker", messages=HELLO, stream=streamed)
    )
    while not outsider.asked:
        await asyncio.sleep(0.01)
    asking.cancel()
    await asyncio.wait_for(outsider.left.wait(), 8)


async def test_a_client_that_goes_while_it_waits_leaves_the_queue(
    gateway: Served, outsider: Outsider
) -> None:
    outsider.mode = "held"
    first = asyncio.create_task(
        gateway.client.chat.completions.create(model="talker", messages=HELLO)
    )
    while not outsider.asked:
        await asyncio.sleep(0.01)
    second = asyncio.create_task(
        gateway.client.chat.completions.create(model="talker", messages=HELLO)
    )
    queue = 'lares_inference_queue_requests{backend="outsider"}'
    while gateway.numbers()[queue] != 1:
        await asyncio.sleep(0.01)
    second.cancel()
    while gateway.numbers()[queue] != 0:
        await asyncio.sleep(0.01)
    outsider.release.set()
    await first
    assert len(outsider.asked) == 1


async def test_a_backend_gets_no_more_at_once_than_it_can_do(
    gateway: Served, outsider: Outsider
) -> None:
    outsider.mode = "held"
    asking = [
        asyncio.create_task(gateway.client.chat.completions.create(model="talker", messages=HELLO))
        for _ in range(3)
    ]
    done, _ = await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED, timeout=8)
    # One runs, one waits, and the third finds the queue full at once.
    [refused] = done
    error = refused.exception()
    assert isinstance(error, openai.RateLimitError)
    assert code_of(error) == "inference.queue_full"
    assert error.response.headers["retry-after"]
    outsider.release.set()
    results = await asyncio.gather(*asking, return_exceptions=True)
    assert sum(not isinstance(result, BaseException) for result in results) == 2
    assert outsider.running_most == 1


async def test_waiting_too_long_for_a_place_is_a_coded_refusal(
    impatient: Served, outsider: Outsider
) -> None:
    outsider.mode = "held"
    first = asyncio.create_task(
        impatient.client.chat.completions.create(model="talker", messages=HELLO)
    )
    while not outsider.asked:
        await asyncio.sleep(0.01)
    with pytest.raises(openai.InternalServerError) as caught:
        await impatient.client.chat.completions.create(model="talker", messages=HELLO)
    assert caught.value.status_code == 503
    assert code_of(caught.value) == "inference.queue_timeout"
    outsider.release.set()
    await asyncio.gather(first, return_exceptions=True)


REFUSED = [
    ("400", 400, "inference.request_refused"),
    ("too long", 400, "inference.prompt_too_long"),
    ("401", 502, "inference.backend_refused_key"),
    ("404", 502, "inference.backend_invalid"),
    ("429", 429, "inference.backend_busy"),
    ("500", 502, "inference.backend_failed"),
    ("503", 503, "inference.backend_unavailable"),
    ("redirect", 502, "inference.backend_failed"),
    ("drops", 502, "inference.backend_failed"),
    ("garbage", 502, "inference.backend_invalid"),
    ("huge", 502, "inference.backend_invalid"),
    ("gzip", 502, "inference.backend_invalid"),
    ("silent", 504, "inference.backend_timeout"),
]


@pytest.mark.parametrize(("mode", "status", "code"), REFUSED)
@pytest.mark.parametrize("streamed", [True, False])
async def test_each_failure_of_a_backend_has_its_code(
    impatient: Served, outsider: Outsider, mode: str, status: int, code: str, streamed: bool
) -> None:
    outsider.mode = mode
    with pytest.raises(openai.APIStatusError) as caught:
        await impatient.client.chat.completions.create(
            model="talker", messages=HELLO, stream=streamed
        )
    assert (caught.value.status_code, code_of(caught.value)) == (status, code)
    body: Any = caught.value.body
    assert body["reason"]
    assert body["fix"]
    assert body["correlation_id"]
    assert "sk-secret" not in str(body)
    # A request that was sent is never sent twice, and a redirect is not followed.
    assert len(outsider.asked) == 1


async def test_the_providers_own_wait_is_passed_on(gateway: Served, outsider: Outsider) -> None:
    outsider.mode = "429"
    with pytest.raises(openai.RateLimitError) as caught:
        await gateway.client.chat.completions.create(model="talker", messages=HELLO)
    assert caught.value.response.headers["retry-after"] == "17"


BROKEN = [
    ("breaks", "inference.backend_failed"),
    ("stops", "inference.backend_failed"),
    ("bad event", "inference.backend_invalid"),
    ("huge event", "inference.backend_invalid"),
    ("error event", "inference.backend_invalid"),
    ("stalls", "inference.backend_timeout"),
]


@pytest.mark.parametrize(("mode", "code"), BROKEN)
async def test_half_an_answer_is_never_taken_for_a_whole_one(
    impatient: Served, outsider: Outsider, mode: str, code: str
) -> None:
    outsider.mode = mode
    words: list[str] = []
    stream = await impatient.client.chat.completions.create(
        model="talker", messages=HELLO, stream=True
    )
    with pytest.raises(openai.APIError) as caught:
        async for chunk in stream:
            words.append(chunk.choices[0].delta.content or "")
    assert "".join(words) == "".join(WORDS[:3])
    assert code_of(caught.value) == code
    assert (
        impatient.numbers()[f'lares_inference_requests_total{{model="talker",outcome="{code}"}}']
        == 1
    )


async def test_the_last_event_of_a_broken_stream_is_the_error_and_not_done(
    gateway: Served, outsider: Outsider
) -> None:
    outsider.mode = "breaks"
    async with aiohttp.ClientSession() as session:
        body = {"model": "talker", "messages": HELLO, "stream": True}
        async with session.post(f"{gateway.url}/v1/chat/completions", json=body) as answer:
            events = (await answer.text()).strip().split("\n\n")
    assert (
        json.loads(events[-1].removeprefix("data: "))["error"]["code"] == "inference.backend_failed"
    )
    assert "data: [DONE]" not in events


async def test_a_dead_backend_is_tried_three_times_and_then_left_alone(
    settings_for: Callable[..., Settings],
) -> None:
    with serving(build(settings_for(book(f"http://127.0.0.1:{free_port()}/v1")))) as gateway:
        for _ in range(3):
            with pytest.raises(openai.InternalServerError) as caught:
                await gateway.client.chat.completions.create(model="talker", messages=HELLO)
            assert code_of(caught.value) == "inference.backend_unavailable"
        began = asyncio.get_running_loop().time()
        with pytest.raises(openai.InternalServerError) as caught:
            await gateway.client.chat.completions.create(model="talker", messages=HELLO)
        assert code_of(caught.value) == "inference.backend_unavailable"
        assert asyncio.get_running_loop().time() - began < 0.55
        listed = (await gateway.client.models.list()).data
        assert [model.to_dict()["available"] for model in listed] == [False, False]


async def test_a_backend_that_is_just_starting_is_waited_for(
    settings_for: Callable[..., Settings],
) -> None:
    script = Outsider()
    script.port = free_port()
    with serving(build(settings_for(book(script.url)))) as gateway:
        asking = asyncio.create_task(
            gateway.client.chat.completions.create(model="talker", messages=HELLO)
        )
        await asyncio.sleep(0.1)
        async for _ in listen(script, None, script.port):
            assert (await asking).choices[0].message.content == "".join(WORDS)
            assert len(script.asked) == 1


async def test_the_callers_trace_reaches_a_backend_in_the_house_and_its_other_headers_do_not(
    gateway: Served, outsider: Outsider
) -> None:
    trace_id = "ab" * 16
    headers = {
        "traceparent": f"00-{trace_id}-{'cd' * 8}-01",
        "x-lares-caller": "somebody",
        "cookie": "lares_session=1",
    }
    await gateway.client.chat.completions.create(
        model="talker", messages=HELLO, extra_headers=headers
    )
    sent = {name.lower(): value for name, value in outsider.headers[0].items()}
    assert sent["traceparent"].split("-")[1] == trace_id
    assert set(sent) == {
        "host",
        "accept",
        "accept-encoding",
        "content-type",
        "content-length",
        "user-agent",
        "traceparent",
        "connection",
    }


async def test_tokens_and_the_first_word_are_counted(gateway: Served) -> None:
    stream = await gateway.client.chat.completions.create(
        model="talker", messages=HELLO, stream=True
    )
    async for _ in stream:
        pass
    numbers = gateway.numbers()
    assert numbers['lares_inference_tokens_total{direction="written",model="talker"}'] == 7
    assert numbers['lares_inference_tokens_total{direction="read",model="talker"}'] == 5
    assert numbers['lares_inference_first_token_seconds_count{model="talker"}'] == 1
    assert numbers['lares_inference_requests_total{model="talker",outcome="ok"}'] == 1


async def test_models_are_listed_with_where_they_run(gateway: Served) -> None:
    listed = [model.to_dict() for model in (await gateway.client.models.list()).data]
    assert [
        (model["id"], model["kind"], model["in_house"], model["available"]) for model in listed
    ] == [
        ("mapper", "embeddings", True, True),
        ("talker", "chat", True, True),
    ]
