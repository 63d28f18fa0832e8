"""Embeddings through the gateway, spoken to by OpenAI's own client."""

import asyncio
from typing import Any

import aiohttp
import openai
import pytest
from model_gateway import routes
from model_gateway.errors import BackendInvalid
from model_gateway.vectors import read_vectors

from .conftest import Outsider, Served


async def test_vectors_come_in_the_order_of_their_texts(
    gateway: Served, outsider: Outsider
) -> None:
    # OpenAI's client asks for base64 by itself.
    reply = await gateway.client.embeddings.create(model="mapper", input=["a", "b", "c"])
    assert [entry.embedding for entry in reply.data] == [
        [0.5, 0.5, -0.25, index] for index in range(3)
    ]
    assert outsider.asked[0]["encoding_format"] == "base64"


async def test_floats_are_given_to_who_asks_for_floats(gateway: Served) -> None:
    reply = await gateway.client.embeddings.create(
        model="mapper", input="a", encoding_format="float"
    )
    assert reply.data[0].embedding == [0.5, 0.5, -0.25, 0]
    assert reply.model == "mapper"


@pytest.mark.parametrize("mode", ["one short", "wrong size", "not finite"])
async def test_vectors_that_are_not_what_was_asked_for_are_refused(
    gateway: Served, outsider: Outsider, mode: str
) -> None:
    outsider.mode = mode
    with pytest.raises(openai.InternalServerError) as caught:
        await gateway.client.embeddings.create(model="mapper", input=["a", "b"])
    body: Any = caught.value.body
    assert (caught.value.status_code, body["code"]) == (502, "inference.backend_invalid")


@pytest.mark.parametrize(
    "wrong",
    [
        {"input": ""},
        {"input": "  "},
        {"input": []},
        {"input": ["a", ""]},
        {"input": [1, 2]},
        {"input": [[1, 2]]},
        {"input": ["a"] * 4},
        {"input": "a", "encoding_format": "hex"},
        {"input": "a", "dimensions": 3},
        {"input": "a", "surprise": 1},
        {},
    ],
)
async def test_what_cannot_be_embedded_is_refused_here(
    gateway: Served, outsider: Outsider, wrong: dict[str, Any]
) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{gateway.url}/v1/embeddings", json={"model": "mapper", **wrong}) as answer,
    ):
        assert answer.status == 400
        assert (await answer.json())["error"]["code"] == "inference.request_invalid"
    assert not outsider.asked


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"text"', b"[" * 100_000])
@pytest.mark.parametrize("path", ["chat/completions", "embeddings"])
async def test_a_body_that_is_no_json_object_is_refused(
    gateway: Served, body: bytes, path: str
) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{gateway.url}/v1/{path}", data=body) as answer,
    ):
        assert answer.status == 400
        assert (await answer.json())["error"]["code"] == "inference.request_invalid"


async def test_a_body_beyond_the_limit_is_refused_unread(gateway: Served) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{gateway.url}/v1/embeddings", data=b"x" * (2 << 20)) as answer,
    ):
        assert answer.status == 413


async def test_a_body_that_does_not_come_is_waited_for_only_so_long(
    gateway: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "BODY_SECONDS_MAX", 0.2)
    host, port = gateway.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"POST /v1/embeddings HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{")
    async with asyncio.timeout(10):
        head = await reader.readuntil(b"\r\n\r\n")
        assert b" 408 " in head.splitlines()[0]
        assert b"inference.request_slow" in await reader.readuntil(b"}")
    writer.close()


def vector(index: int, values: Any) -> dict[str, Any]:
    return {"index": index, "embedding": values}


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        [vector(0, [1.0, 2.0]), vector(0, [1.0, 2.0])],
        [vector(0, [1.0, 2.0]), vector(2, [1.0, 2.0])],
        [vector(0, [1.0, 2.0]), "text"],
        [vector(0, [1.0, 2.0]), vector(1, ["1.0", "2.0"])],
        [vector(0, [1.0, 2.0]), vector(1, "not base64!")],
        [vector(0, [1.0, 2.0]), vector(1, "AAA=")],
        [vector(0, [1.0, 2.0]), vector(1, None)],
        [vector(0, [1.0, 2.0]), vector(1, [1e300, 1.0])],
        [vector(0, [1.0, 2.0]), vector(1, [float("inf"), 1.0])],
    ],
)
def test_a_list_of_vectors_is_whole_or_refused(data: Any) -> None:
    with pytest.raises(BackendInvalid):
        read_vectors({"data": data}, 2, 2, False)
