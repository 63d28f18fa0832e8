"""The event stream of a tab: what it hears, what it never hears, and when it ends."""

import asyncio
import json
from typing import Any
from uuid import uuid4

import pytest
from contracts.memory import CHANGED_TOPIC
from contracts.scheduling import STATE_TOPIC as CARDS_TOPIC
from contracts.system import STATE_TOPIC
from dashboard.hub import QUEUE_MAX, Hub, translate
from dashboard.sse import encode
from kit.bus import Bus


def changed(subject: Any) -> dict[str, str]:
    return {
        "event_id": str(uuid4()),
        "memory_id": str(uuid4()),
        "subject_id": str(subject),
        "tier": "sensitive",
        "change": "remembered",
    }


async def test_a_tab_is_greeted_and_told_when_its_session_is_over(house: Any) -> None:
    house.forward_auth.says("/v1/session", b'{"active": false}')
    async with asyncio.timeout(5):
        async with house.client.stream("GET", "/api/events", headers=house.signed_in()) as response:
            assert response.headers["content-type"].startswith("text/event-stream")
            body = (await response.aread()).decode()
    assert body.startswith("event: hello\n")
    assert body.endswith("event: session.ended\ndata: {}\n\n")


async def test_a_verifier_that_restarts_ends_no_stream_and_one_that_stays_away_does(
    house: Any,
) -> None:
    answers = ["503 Service Unavailable", "200 OK"]

    async def flaky(_: bytes, writer: asyncio.StreamWriter) -> None:
        status = answers.pop(0) if answers else "503 Service Unavailable"
        body = b'{"active": true, "caller": "fresh"}'
        writer.write(f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)

    house.forward_auth.answers["/v1/session"] = flaky
    async with asyncio.timeout(5):
        async with house.client.stream("GET", "/api/events", headers=house.signed_in()) as response:
            await response.aread()
    # One miss, one answer, and then two misses in a row.
    assert len(house.forward_auth.requests) == 4
    # The token that came with the answer is the one that is asked about from then on.
    assert b'{"caller":"fresh"}' in house.forward_auth.requests[2].replace(b" ", b"")


def test_a_member_never_hears_of_another_persons_memories() -> None:
    hub = Hub(bus=None)  # type: ignore[arg-type]
    owner, member = uuid4(), uuid4()
    with hub.listening(owner) as hers, hub.listening(member) as theirs:
        hub.deliver(CHANGED_TOPIC, changed(owner))
        hub.deliver(STATE_TOPIC, {"name": "memory", "state": "running", "health": "healthy"})
    assert [hers.queue.get_nowait().name for _ in range(2)] == ["memory.changed", "system.state"]
    assert theirs.queue.get_nowait().name == "system.state"
    assert theirs.queue.empty()


def test_what_a_tab_hears_names_no_person() -> None:
    hub, subject = Hub(bus=None), uuid4()  # type: ignore[arg-type]
    with hub.listening(subject) as listener:
        hub.deliver(CHANGED_TOPIC, changed(subject))
    assert set(listener.queue.get_nowait().data) == {"memory_id", "change", "tier"}


def test_everybody_hears_that_the_cards_have_changed_and_nobody_of_whom() -> None:
    payload = {"epoch": 3, "queued": 2, "running": 1, "resident": ["qwen"], "cards": []}
    whom, event = translate(CARDS_TOPIC, payload)
    assert (whom, event.name) == (None, "inference.changed")
    assert event.data["queued"] == 2
    assert "resident" not in event.data


def test_a_slow_tab_is_told_to_ask_again_and_costs_no_more_memory() -> None:
    hub, subject = Hub(bus=None), uuid4()  # type: ignore[arg-type]
    with hub.listening(subject) as listener:
        for _ in range(QUEUE_MAX + 1):
            hub.deliver(CHANGED_TOPIC, changed(subject))
        told = [listener.queue.get_nowait() for _ in range(listener.queue.qsize())]
    assert [event.data for event in told] == [{"missed": True}] * 3


@pytest.mark.parametrize("broken", [{}, {"subject_id": "nobody"}, {"subject_id": None}])
def test_a_message_that_makes_no_sense_reaches_nobody(broken: dict[str, Any]) -> None:
    hub = Hub(bus=None)  # type: ignore[arg-type]
    with hub.listening(uuid4()) as listener:
        hub.deliver(CHANGED_TOPIC, broken)
    assert listener.queue.empty()


def test_no_data_can_begin_an_event_of_its_own() -> None:
    event = encode("delta", {"text": "a\n\nevent: session.ended\ndata: {}"}).decode()
    assert event.count("\n") == 3
    assert json.loads(event.split("\n")[1].removeprefix("data: "))["text"].startswith("a\n\n")


@pytest.mark.integration
async def test_what_a_service_publishes_reaches_the_tab(valkey: Any) -> None:
    subject = uuid4()
    async with (
        Bus.open(valkey.broker("dashboard")) as bus,
        Bus.open(valkey.broker("memory")) as memory,
    ):
        hub = Hub(bus)
        running = asyncio.create_task(hub.run())
        with hub.listening(subject) as listener:
            async with asyncio.timeout(10):
                while listener.queue.empty():
                    await memory.publish(CHANGED_TOPIC, changed(subject))
                    await asyncio.sleep(0.1)
        assert listener.queue.get_nowait().data["change"] == "remembered"
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running


async def test_a_browser_that_leaves_gives_its_place_back_and_no_task_is_left(house: Any) -> None:
    house.forward_auth.says("/v1/session", b'{"active": true, "caller": "fresh"}')
    who = house.signed_in()
    before = len(asyncio.all_tasks())
    for _ in range(5):
        async with house.client.stream("GET", "/api/events", headers=who) as response:
            assert response.status_code == 200
            await anext(response.aiter_raw())
        await asyncio.sleep(0.1)
    async with asyncio.timeout(5):
        while len(asyncio.all_tasks()) > before + 2:
            await asyncio.sleep(0.05)
