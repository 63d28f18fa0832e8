"""The lane, the breaker and the event stream, each by itself."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit.clock import FakeClock
from model_gateway import sse
from model_gateway.breaker import FAILURES_MAX, REST_SECONDS, Breaker
from model_gateway.errors import BackendInvalid, QueueFull, QueueTimeout
from model_gateway.lane import Lane


async def test_a_place_is_free_again_after_a_failure() -> None:
    lane = Lane(1, 0, 1)
    with pytest.raises(ValueError, match="oops"):
        async with lane.turn():
            raise ValueError("oops")
    async with lane.turn():
        assert lane.running == 1
    assert (lane.running, lane.waiting) == (0, 0)


async def test_who_came_first_is_served_first() -> None:
    lane = Lane(1, 8, 5)
    order: list[int] = []

    async def come(number: int) -> None:
        async with lane.turn():
            order.append(number)
            await asyncio.sleep(0)

    await asyncio.gather(*(come(number) for number in range(6)))
    assert order == list(range(6))


async def test_a_lane_without_a_queue_refuses_the_second() -> None:
    lane = Lane(1, 0, 1)
    async with lane.turn():
        with pytest.raises(QueueFull):
            async with lane.turn():
                pass


async def test_waiting_has_an_end() -> None:
    lane = Lane(1, 1, 0.05)
    async with lane.turn():
        with pytest.raises(QueueTimeout):
            async with lane.turn():
                pass
    assert lane.waiting == 0


async def test_who_goes_while_waiting_takes_no_place() -> None:
    lane = Lane(1, 1, 5)

    async def come() -> None:
        async with lane.turn():
            pass

    async with lane.turn():
        waiting = asyncio.create_task(come())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert lane.waiting == 0
    async with lane.turn():
        pass


async def test_a_failing_backend_is_left_alone_and_then_tried_by_one() -> None:
    clock = FakeClock()
    breaker = Breaker(clock)
    for _ in range(FAILURES_MAX):
        assert breaker.allow()
        breaker.failed()
    assert breaker.open
    assert not breaker.allow()
    await clock.advance(REST_SECONDS)
    assert [breaker.allow(), breaker.allow()] == [True, False]
    breaker.succeeded()
    assert breaker.allow()
    assert breaker.allow()


async def test_one_success_forgets_the_failures_before_it() -> None:
    breaker = Breaker(FakeClock())
    for _ in range(FAILURES_MAX * 3):
        breaker.failed()
        breaker.succeeded()
    assert not breaker.open


async def feed(pieces: list[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


def split_all(pieces: list[bytes]) -> list[bytes]:
    async def work() -> list[bytes]:
        return [event async for event in sse.split(feed(pieces))]

    return asyncio.run(work())


@given(
    st.lists(
        st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=20),
        min_size=1,
        max_size=8,
    ),
    st.lists(st.integers(0, 400), max_size=12),
    st.sampled_from([b"\n\n", b"\r\n\r\n"]),
)
def test_events_are_whole_however_the_bytes_are_cut(
    texts: list[str], cuts: list[int], blank: bytes
) -> None:
    events = [b"data: " + json.dumps(text).encode() for text in texts]
    stream = b"".join(event + blank for event in events)
    places = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    assert split_all([stream[start:end] for start, end in itertools.pairwise(places)]) == events


def test_an_event_without_end_is_cut_off() -> None:
    with pytest.raises(BackendInvalid):
        split_all([b"data: "] + [b"x" * 65536] * 20)


def test_a_last_event_without_its_blank_line_is_still_an_event() -> None:
    assert split_all([b"data: 1\n\ndata: [DO", b"NE]"]) == [b"data: 1", b"data: [DONE]"]


@pytest.mark.parametrize(
    "event",
    [
        b"data: [1]",
        b"data: {}",
        b'data: {"choices": 3}',
        b'data: {"choices": [3]}',
        b"data: nonsense",
    ],
)
def test_an_event_that_is_not_the_protocol_is_refused(event: bytes) -> None:
    with pytest.raises(BackendInvalid):
        sse.Reader("m", usage_wanted=False).read(event)


def test_a_comment_keeps_the_connection_alive_without_its_text() -> None:
    assert sse.Reader("m", usage_wanted=False).read(b": slot 3 busy") == sse.PING
