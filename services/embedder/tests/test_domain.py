"""What an embedding request may look like, and how texts take turns. No model needed."""

import asyncio
import base64
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from embedder.desk import Desk
from embedder.domain import DIMENSIONS, Encoded, Limits, read_ask, reply
from embedder.errors import Busy, InputInvalid, ModelUnknown, NotFinite
from embedder.model import checked

LIMITS = Limits(inputs_max=3, chars_max=20)


def encoded(number: float = 1.0, *, truncated: bool = False) -> Encoded:
    vector = np.zeros(DIMENSIONS, dtype=np.float32)
    vector[0] = number
    return Encoded(vector, 4, truncated)


def test_one_text_and_a_list_of_texts_are_taken() -> None:
    assert read_ask({"input": "a"}, LIMITS).texts == ("a",)
    assert read_ask({"input": ["a", "b"], "encoding_format": "base64"}, LIMITS).base64


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        "a",
        {},
        {"input": None},
        {"input": ""},
        {"input": " \n"},
        {"input": []},
        {"input": ["a", ""]},
        {"input": [1, 2, 3]},
        {"input": {"text": "a"}},
        {"input": ["a"] * 4},
        {"input": "x" * 21},
        {"input": "a", "encoding_format": "hex"},
        {"input": "a", "dimensions": 128},
    ],
)
def test_anything_else_is_refused(body: Any) -> None:
    with pytest.raises(InputInvalid):
        read_ask(body, LIMITS)


def test_another_model_is_not_answered_with_this_one() -> None:
    with pytest.raises(ModelUnknown, match="minilm-l6-v2"):
        read_ask({"input": "a", "model": "text-embedding-3-large"}, LIMITS)


def test_base64_holds_the_same_numbers_as_floats() -> None:
    ask = read_ask({"input": "a", "encoding_format": "base64"}, LIMITS)
    [entry] = reply(ask, [encoded(0.25)])["data"]
    numbers = np.frombuffer(base64.b64decode(entry["embedding"]), dtype="<f4")
    assert numbers.shape == (DIMENSIONS,)
    assert numbers[0] == 0.25


def test_the_answer_names_the_texts_whose_end_was_not_read() -> None:
    ask = read_ask({"input": ["a", "b", "c"]}, LIMITS)
    answer = reply(ask, [encoded(), encoded(truncated=True), encoded()])
    assert answer["usage"] == {"prompt_tokens": 12, "total_tokens": 12, "truncated": [1]}
    assert [entry["index"] for entry in answer["data"]] == [0, 1, 2]


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 0.0, 2.0])
def test_a_vector_that_is_not_finite_or_not_of_length_one_is_never_given_out(number: float) -> None:
    vector = np.zeros(DIMENSIONS, dtype=np.float32)
    vector[0] = number
    with pytest.raises(NotFinite):
        checked(vector)


class Gate:
    """An encoder whose texts wait until they are let through."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.open = threading.Semaphore(0)

    def encode(self, text: str) -> Encoded:
        self.open.acquire()
        self.seen.append(text)
        return encoded()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


async def test_a_question_does_not_wait_for_the_whole_of_a_bulk_import() -> None:
    gate = Gate()
    desk = Desk(gate.encode, waiting_max=100)
    bulk = asyncio.create_task(desk.encode_all(tuple(f"bulk {number}" for number in range(50))))
    await asyncio.sleep(0)
    question = asyncio.create_task(desk.encode_all(("question",)))
    await asyncio.sleep(0)
    for _ in range(2):
        gate.open.release()
    await until(question.done)
    assert gate.seen == ["bulk 0", "question"]
    gate.open.release(100)
    assert len(await bulk) == 50
    desk.close()


async def test_more_waiting_texts_than_the_limit_are_refused_and_the_count_recovers() -> None:
    gate = Gate()
    desk = Desk(gate.encode, waiting_max=3)
    first = asyncio.create_task(desk.encode_all(("a", "b")))
    await asyncio.sleep(0)
    with pytest.raises(Busy):
        await desk.encode_all(("c", "d"))
    assert desk.waiting == 2
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert desk.waiting == 0
    gate.open.release(10)
    desk.close()


async def test_a_failed_text_frees_the_places_of_its_request() -> None:
    def fail(_: str) -> Encoded:
        raise NotFinite

    desk = Desk(fail, waiting_max=2)
    with pytest.raises(NotFinite):
        await desk.encode_all(("a", "b"))
    assert desk.waiting == 0
    desk.close()
