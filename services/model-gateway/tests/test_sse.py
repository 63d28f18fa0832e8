"""A token that goes by as bytes says what it would say if it had been parsed; and what is not JSON never goes by."""

import asyncio
import itertools
import json
import random
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from model_gateway import sse
from model_gateway.endpoint import Tally
from model_gateway.endpoints.relay import relay
from model_gateway.errors import BackendInvalid

TEXT = st.one_of(
    st.none(), st.text(max_size=40), st.sampled_from(['"', "\\", '\\"model":"x"', "\u2028", "\x00"])
)
DELTA = st.dictionaries(
    st.sampled_from(["content", "reasoning_content", "role", "refusal"]), TEXT, max_size=3
)
CHOICE = st.fixed_dictionaries(
    {"index": st.integers(0, 3), "delta": DELTA},
    optional={
        "finish_reason": st.sampled_from([None, "stop"]),
        "logprobs": st.none(),
        "stop_reason": st.sampled_from([None, 7]),
    },
)
CHUNK = st.fixed_dictionaries(
    {"choices": st.lists(CHOICE, max_size=2)},
    optional={
        "id": TEXT,
        "object": st.just("chat.completion.chunk"),
        "created": st.integers(0, 2**40),
        "model": st.text(max_size=12),
        "system_fingerprint": TEXT,
        "timings": st.just({"n": 1}),
        "usage": st.sampled_from([None, {"prompt_tokens": 1, "completion_tokens": 2}]),
        "service_tier": st.just("default"),
    },
)
STYLES = st.tuples(st.booleans(), st.sampled_from([(",", ":"), (", ", ": "), (",", ": ")]))


def written(chunk: Any, ascii_only: bool, separators: tuple[str, str], seed: int) -> bytes:
    keys = list(chunk)
    random.Random(seed).shuffle(keys)
    text = json.dumps(
        {key: chunk[key] for key in keys}, ensure_ascii=ascii_only, separators=separators
    )
    return b"data: " + text.encode()


def parsed(event: bytes, usage_wanted: bool) -> tuple[Any, sse.Reader]:
    """Return what an event says when it is parsed, by the reader's own slow way."""
    reader = sse.Reader("house", usage_wanted)
    chunk = reader.parse(event)
    assert chunk is not None
    if not usage_wanted:
        chunk.pop("usage", None)
        if not chunk["choices"]:
            return None, reader
    return chunk, reader


@given(CHUNK, STYLES, st.integers(0, 99), st.booleans())
@example(
    {"choices": [{"index": 0, "delta": {"content": "a"}}], "model": "m"},
    (True, (",", ":")),
    0,
    False,
)
def test_a_token_says_as_bytes_what_it_says_parsed(
    chunk: Any, style: tuple[bool, tuple[str, str]], seed: int, usage_wanted: bool
) -> None:
    event = written(chunk, *style, seed)
    reader = sse.Reader("house", usage_wanted)
    sent = reader.read(event)
    expected, slow = parsed(event, usage_wanted)
    said = None if sent is None else json.loads(sse.data_of(sent) or b"")
    if said is not None:
        assert sent is not None
        assert sent.endswith(b"\n\n")
        # A server that names no model stays without one on the quick way.
        expected.setdefault("model", "house")
        said.setdefault("model", "house")
    assert said == expected
    assert (reader.finished, reader.usage) == (slow.finished, slow.usage)
    assert bool(reader.pieces) == bool(slow.pieces)


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
def test_a_common_token_takes_the_quick_way(separators: tuple[str, str], monkeypatch: Any) -> None:
    chunk = {
        "id": "c",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "delta": {"content": 'he said "ü"\n'}, "finish_reason": None}],
    }
    monkeypatch.setattr(sse, "data_of", None)
    sent = sse.Reader("house", usage_wanted=False).read(written(chunk, True, separators, 1))
    assert sent is not None
    assert b'"house"' in sent


VALID = written(
    {
        "id": "c",
        "model": "m",
        "choices": [{"index": 0, "delta": {"content": 'a\\"ü'}, "finish_reason": None}],
    },
    False,
    (",", ":"),
    0,
)


@given(st.integers(0, len(VALID) - 1), st.binary(max_size=3), st.integers(0, 3))
@example(VALID.index(b':0,"delta"') + 1, b"0", 0)
@example(VALID.index(b'"delta"') - 1, b"", 1)
@example(VALID.index(b'"c"') + 1, b"\xff", 0)
@example(VALID.index(b'"c"') + 1, b"\\q", 0)
def test_what_is_not_json_never_goes_by(at: int, inserted: bytes, removed: int) -> None:
    event = VALID[:at] + inserted.replace(b"\n", b" ").replace(b"\r", b" ") + VALID[at + removed :]
    try:
        sent = sse.Reader("house", usage_wanted=True).read(event)
    except BackendInvalid:
        return
    if sent is None or sent == sse.PING:
        return
    data = sse.data_of(sent)
    assert data is not None
    assert isinstance(json.loads(data)["choices"], list)


@given(st.lists(st.integers(1, 40), max_size=30), st.sampled_from([b"\n\n", b"\r\n\r\n"]))
def test_events_are_the_same_however_they_are_cut(cuts: list[int], blank: bytes) -> None:
    events = [b"data: {%d}" % number for number in range(12)]
    stream = blank.join([*events, b""])
    splitter, found, position = sse.Splitter(), [], 0
    for size in [*cuts, len(stream)]:
        found += splitter.feed(stream[position : position + size])
        position += size
    assert [event for event in found if event] == events
    assert splitter.rest() == b""


class Said:
    """A stream in the pieces in which it came."""

    content_type = sse.MEDIA_TYPE
    headers: Mapping[str, str] = {}

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = pieces

    async def pieces(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece


USAGE = b'data: {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 7}}'
STOP = b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}\n\n'


async def relayed(*pieces: bytes) -> tuple[list[bytes], Tally]:
    tally = Tally()
    reader = sse.Reader("talker", usage_wanted=False)
    return [piece async for piece in relay(reader, Said(*pieces), tally)], tally


async def test_usage_that_comes_last_and_without_its_blank_line_is_counted() -> None:
    out, tally = await relayed(STOP, USAGE)
    assert out[-1] == sse.DONE
    assert (tally.tokens_read, tally.tokens_written) == (5, 7)


@pytest.mark.parametrize("after", [b"data: {half", b'data: {"error": {"message": "x"}}', b"\xff"])
async def test_what_follows_the_end_spoils_nothing(after: bytes) -> None:
    out, _ = await relayed(STOP, sse.DONE + after)
    assert out[-1] == sse.DONE


@given(text=st.text(min_size=1, max_size=30), cuts=st.lists(st.integers(0, 400), max_size=6))
def test_a_stream_says_the_same_however_it_is_cut(text: str, cuts: list[int]) -> None:
    chunk = {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]}
    event = b"data: " + json.dumps(chunk, ensure_ascii=False).encode()
    whole = b"\r\n\r\n".join([event, event, b": ping", STOP.strip(), b"data: [DONE]"]) + b"\n\n"
    places = sorted({0, len(whole), *(cut for cut in cuts if cut < len(whole))})
    pieces = [whole[start:end] for start, end in itertools.pairwise(places)]
    out, tally = asyncio.run(relayed(*pieces))
    events = [json.loads(one[6:]) for one in b"".join(out).split(b"\n\n") if one[:7] == b"data: {"]
    said = [one["choices"][0]["delta"].get("content") for one in events]
    assert said == [text, text, None]
    assert tally.pieces == 2
