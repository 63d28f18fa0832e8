"""Completions, rerank, speech, pictures and the list of models through the gateway, by OpenAI's own client where it can."""

import asyncio
from typing import Any

import aiohttp
import openai
import pytest

from .conftest import Served
from .studio import SOUND, Studio, house, studio

__all__ = ["house", "studio"]


def code_of(error: openai.APIError) -> str:
    body: Any = error.body
    return body["code"]


async def post(house: Served, path: str, body: dict[str, Any], **headers: str) -> tuple[int, Any]:
    async with aiohttp.ClientSession() as session:
        async with session.post(house.url + path, json=body, headers=headers) as answer:
            return answer.status, await answer.json()


# ---------------------------------------------------------------- completions


async def test_a_prompt_goes_on_under_the_houses_name(house: Served, studio: Studio) -> None:
    reply = await house.client.completions.create(model="writer", prompt="The sky is", max_tokens=9)
    assert reply.choices[0].text == " blue."
    assert reply.model == "writer"
    assert "timings" not in reply.to_dict()
    assert studio.asked[0] == {"model": "up-writer", "prompt": "The sky is", "max_tokens": 9}


async def test_a_streamed_completion_arrives_piece_by_piece(house: Served, studio: Studio) -> None:
    stream = await house.client.completions.create(
        model="writer", prompt=["The sky is"], stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].text for chunk in chunks if chunk.choices) == " blue."
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 2
    assert {chunk.model for chunk in chunks} == {"writer"}
    assert studio.asked[0]["max_tokens"] == 400
    counted = house.numbers()['lares_inference_tokens_total{direction="written",model="writer"}']
    assert counted == 2


async def test_a_completion_that_breaks_off_is_not_a_finished_one(
    house: Served, studio: Studio
) -> None:
    studio.mode = "breaks"
    stream = await house.client.completions.create(model="writer", prompt="x", stream=True)
    with pytest.raises(openai.APIError) as caught:
        _ = [chunk async for chunk in stream]
    assert code_of(caught.value) == "inference.backend_failed"


@pytest.mark.parametrize(
    "wrong",
    [
        {"prompt": [1, 2, 3]},
        {"prompt": ["a", "b"]},
        {"prompt": ""},
        {"prompt": "x", "n": 2},
        {"prompt": "x", "best_of": 2},
        {"prompt": "x", "stream": "yes"},
        {"prompt": "x", "max_tokens": 0},
        {"prompt": "x", "surprise": 1},
    ],
)
async def test_a_completion_that_cannot_be_asked_is_refused(
    house: Served, studio: Studio, wrong: dict[str, Any]
) -> None:
    status, body = await post(house, "/v1/completions", {"model": "writer", **wrong})
    assert (status, body["error"]["code"]) == (400, "inference.request_invalid")
    assert not studio.asked


async def test_a_chat_model_completes_too_and_an_embedder_does_not(house: Served) -> None:
    assert (await house.client.completions.create(model="talker", prompt="x")).model == "talker"
    with pytest.raises(openai.NotFoundError):
        await house.client.completions.create(model="judge", prompt="x")


# ---------------------------------------------------------------- rerank


@pytest.mark.parametrize("path", ["/v1/rerank", "/v2/rerank", "/rerank"])
async def test_documents_come_back_best_first_and_no_more_than_asked(
    house: Served, studio: Studio, path: str
) -> None:
    asked = {"model": "judge", "query": "long", "documents": ["a", "aaa", "aa"], "top_n": 2}
    status, body = await post(house, path, asked)
    assert status == 200
    assert body["results"] == [
        {"index": 1, "relevance_score": 3.0},
        {"index": 2, "relevance_score": 2.0},
    ]
    assert body["model"] == "judge"
    assert body["usage"]["total_tokens"] == 9
    assert studio.asked[0] == {**asked, "model": "up-judge"}
    assert house.numbers()['lares_inference_tokens_total{direction="read",model="judge"}'] == 9


async def test_documents_may_be_objects_and_are_returned_to_who_asks(house: Served) -> None:
    documents = [{"text": "a"}, "bb"]
    _, body = await post(
        house,
        "/v1/rerank",
        {"model": "judge", "query": "q", "documents": documents, "return_documents": True},
    )
    assert [one["document"] for one in body["results"]] == [{"text": "bb"}, {"text": "a"}]


@pytest.mark.parametrize("mode", ["one short", "twice", "no score"])
async def test_scores_that_do_not_match_the_documents_are_not_passed_on(
    house: Served, studio: Studio, mode: str
) -> None:
    studio.mode = mode
    status, body = await post(
        house, "/v1/rerank", {"model": "judge", "query": "q", "documents": ["a", "b"]}
    )
    assert (status, body["error"]["code"]) == (502, "inference.backend_invalid")


@pytest.mark.parametrize(
    "wrong",
    [
        {"query": "", "documents": ["a"]},
        {"query": "q", "documents": []},
        {"query": "q", "documents": [""]},
        {"query": "q", "documents": [{"title": "x"}]},
        {"query": "q", "documents": ["a"], "top_n": 0},
        {"query": "q", "documents": ["a"] * 5},
        {"query": "q", "documents": ["a"], "surprise": 1},
    ],
)
async def test_a_rerank_that_cannot_be_asked_is_refused(
    house: Served, studio: Studio, wrong: dict[str, Any]
) -> None:
    status, body = await post(house, "/v1/rerank", {"model": "judge", **wrong})
    assert (status, body["error"]["code"]) == (400, "inference.request_invalid")
    assert not studio.asked


# ---------------------------------------------------------------- speech


async def test_speech_arrives_as_it_is_made(house: Served, studio: Studio) -> None:
    async with house.client.audio.speech.with_streaming_response.create(
        model="speaker", voice="heart", input="Good evening.", response_format="wav", speed=1.5
    ) as answer:
        assert answer.headers["content-type"] == "audio/wav"
        sound = b"".join([piece async for piece in answer.iter_bytes()])
    assert sound == b"".join(SOUND)
    assert studio.asked[0] == {
        "model": "up-speaker",
        "voice": "heart",
        "input": "Good evening.",
        "response_format": "wav",
        "speed": 1.5,
    }


async def test_speech_that_breaks_off_is_cut_and_not_ended(house: Served, studio: Studio) -> None:
    studio.mode = "breaks"
    async with aiohttp.ClientSession() as session:
        body = {"model": "speaker", "voice": "heart", "input": "x"}
        async with session.post(f"{house.url}/v1/audio/speech", json=body) as answer:
            assert answer.status == 200
            with pytest.raises(aiohttp.ClientPayloadError):
                await answer.read()


async def test_a_page_is_not_a_sound(house: Served, studio: Studio) -> None:
    studio.mode = "page"
    with pytest.raises(openai.InternalServerError) as caught:
        await house.client.audio.speech.create(model="speaker", voice="heart", input="x")
    assert code_of(caught.value) == "inference.backend_invalid"


async def test_a_listener_that_goes_stops_the_speaker(house: Served, studio: Studio) -> None:
    studio.mode = "endless"
    async with house.client.audio.speech.with_streaming_response.create(
        model="speaker", voice="heart", input="x"
    ) as answer:
        async for _ in answer.iter_bytes():
            break
    await asyncio.wait_for(studio.left.wait(), 8)


@pytest.mark.parametrize(
    "wrong",
    [
        {"input": "", "voice": "heart"},
        {"input": "x" * 5000, "voice": "heart"},
        {"input": "x"},
        {"input": "x", "voice": "heart", "response_format": "midi"},
        {"input": "x", "voice": "heart", "speed": 9},
        {"input": "x", "voice": "heart", "stream_format": "sse"},
        {"input": "x", "voice": "heart", "surprise": 1},
    ],
)
async def test_speech_that_cannot_be_asked_is_refused(
    house: Served, studio: Studio, wrong: dict[str, Any]
) -> None:
    status, body = await post(house, "/v1/audio/speech", {"model": "speaker", **wrong})
    assert (status, body["error"]["code"]) == (400, "inference.request_invalid")
    assert not studio.asked


# ---------------------------------------------------------------- pictures


async def test_pictures_come_as_base64_and_nothing_else_comes_with_them(
    house: Served, studio: Studio
) -> None:
    reply = await house.client.images.generate(
        model="painter", prompt="a fox", n=2, size="512x512", response_format="b64_json"
    )
    assert reply.data is not None
    assert len(reply.data) == 2
    assert reply.data[0].b64_json
    assert reply.data[0].revised_prompt == "a fox"
    assert "secret" not in reply.to_dict()
    assert studio.asked[0] == {
        "model": "up-painter",
        "prompt": "a fox",
        "n": 2,
        "size": "512x512",
        "response_format": "b64_json",
    }


@pytest.mark.parametrize("mode", ["address", "page"])
async def test_what_is_no_picture_is_not_passed_on(
    house: Served, studio: Studio, mode: str
) -> None:
    studio.mode = mode
    with pytest.raises(openai.InternalServerError) as caught:
        await house.client.images.generate(model="painter", prompt="a fox")
    assert code_of(caught.value) == "inference.backend_invalid"


@pytest.mark.parametrize(
    "wrong",
    [
        {"prompt": ""},
        {"prompt": "x", "n": 5},
        {"prompt": "x", "response_format": "url"},
        {"prompt": "x", "size": "9999x16"},
        {"prompt": "x", "size": "large"},
        {"prompt": "x", "stream": True},
        {"prompt": "x", "quality": "a b"},
        {"prompt": "x", "surprise": 1},
    ],
)
async def test_a_picture_that_cannot_be_asked_is_refused(
    house: Served, studio: Studio, wrong: dict[str, Any]
) -> None:
    status, body = await post(house, "/v1/images/generations", {"model": "painter", **wrong})
    assert (status, body["error"]["code"]) == (400, "inference.request_invalid")
    assert not studio.asked


# ---------------------------------------------------------------- models


async def test_every_model_is_listed_and_can_be_looked_at_by_its_name(house: Served) -> None:
    listed = [model.id async for model in house.client.models.list()]
    assert listed == sorted(
        [*("talker", "writer", "judge", "listener", "speaker", "painter"), "org/name"]
    )
    one: Any = await house.client.models.retrieve("org/name")
    assert (one.id, one.kind, one.available) == ("org/name", "chat", True)
    with pytest.raises(openai.NotFoundError) as caught:
        await house.client.models.retrieve("nobody")
    assert code_of(caught.value) == "inference.model_unknown"
