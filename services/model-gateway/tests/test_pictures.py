"""Pictures in messages: as large as a phone's photo, never more in memory than they are, and no text."""

import asyncio
import base64
import dataclasses
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_gateway import pictures
from model_gateway.app import build
from model_gateway.budgets import PICTURE_TOKENS_MAX, most
from model_gateway.catalogue import Catalogue
from model_gateway.endpoint import Form
from model_gateway.endpoints.chat import Chat
from model_gateway.settings import Settings
from model_gateway.ways import ways_of

from .conftest import Outsider, Served, book, free_port, serving
from .house_of_gpus import eventually

ROOT = Path(__file__).resolve().parents[3]
PHOTO = base64.b64encode(os.urandom(6_000_000)).decode()
PICTURE = f"data:image/jpeg;base64,{PHOTO}"


def shown(url: str = PICTURE, said: str = "What is this? 🦉") -> list[dict[str, Any]]:
    parts = [
        {"type": "text", "text": said},
        {"type": "image_url", "image_url": {"url": url, "detail": "low"}},
    ]
    return [{"role": "user", "content": parts}]


@pytest.fixture
def gateway(outsider: Outsider, settings_for: Callable[..., Settings]) -> Iterator[Served]:
    content = book(outsider.url, queue_max=8, max_concurrency=8)
    with serving(build(settings_for(content))) as served:
        yield served


async def post(
    gateway: Served, body: bytes, path: str = "chat/completions", *, announced: bool = True
) -> tuple[int, Any]:
    async def pieces() -> Any:
        for start in range(0, len(body), 100_000):
            yield body[start : start + 100_000]

    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{gateway.url}/v1/{path}", data=body if announced else pieces()) as answer,
    ):
        return answer.status, await answer.json()


def chat(messages: Any, **more: Any) -> bytes:
    return json.dumps({"model": "talker", "messages": messages, **more}).encode()


@pytest.mark.parametrize("announced", [True, False])
async def test_a_phones_photo_reaches_the_model_as_it_was_sent(
    gateway: Served, outsider: Outsider, announced: bool
) -> None:
    status, reply = await post(gateway, chat(shown()), announced=announced)
    assert (status, reply["model"]) == (200, "talker")
    assert outsider.asked[0]["messages"] == shown()
    sent = {name.lower(): value for name, value in outsider.headers[0].items()}
    assert int(sent["content-length"]) > len(PHOTO)


async def test_a_picture_whose_slashes_are_escaped_is_one_too(
    gateway: Served, outsider: Outsider
) -> None:
    status, _ = await post(gateway, chat(shown()).replace(b"/", b"\\/"))
    assert status == 200
    assert outsider.asked[0]["messages"] == shown()


async def test_a_response_shows_its_picture_too(gateway: Served, outsider: Outsider) -> None:
    parts = [{"type": "input_text", "text": "hm"}, {"type": "input_image", "image_url": PICTURE}]
    asked = {"model": "talker", "input": [{"role": "user", "content": parts}]}
    status, reply = await post(gateway, json.dumps(asked).encode(), "responses")
    assert (status, reply["object"]) == (200, "response")
    [message] = outsider.asked[0]["messages"]
    assert message["content"][1]["image_url"]["url"] == PICTURE


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "user", "content": "x" * (1 << 20)}],
        [*shown(PICTURE[: 1 << 20]), {"role": "user", "content": "x" * (1 << 20)}],
        # Pasted into text it is text.
        [{"role": "user", "content": f"Look: {PICTURE}"}],
        # What is no base64 is no picture.
        shown(PICTURE[: 2 << 20] + "?" + "A" * 100),
    ],
    ids=["text", "text beside a picture", "pasted", "not base64"],
)
async def test_text_has_the_limit_of_texts(
    gateway: Served, outsider: Outsider, messages: Any
) -> None:
    status, reply = await post(gateway, chat(messages))
    assert (status, reply["error"]["code"]) == (413, "kit.body_too_large")
    assert not outsider.asked


@pytest.mark.parametrize("announced", [True, False])
async def test_more_than_a_phones_photo_is_refused(gateway: Served, announced: bool) -> None:
    body = chat([*shown(), *shown()])
    try:
        status, reply = await post(gateway, body, announced=announced)
    except aiohttp.ClientOSError:  # refused, and hung up on while it was still sending
        return
    assert (status, reply["error"]["code"]) == (413, "kit.body_too_large")


async def test_a_pasted_picture_counts_as_the_text_that_it_is(
    gateway: Served, outsider: Outsider
) -> None:
    said = f"Look: {PICTURE[:70_000]}"
    status, reply = await post(gateway, chat([{"role": "user", "content": said}]))
    assert (status, reply["error"]["code"]) == (400, "inference.prompt_too_long")
    assert str(len(said)) in reply["error"]["reason"]


@pytest.mark.parametrize("part", ["image_url", "video_url", "audio_url"])
async def test_an_address_in_private_text_is_fetched_by_nobody(
    gateway: Served, outsider: Outsider, part: str
) -> None:
    shows: Any = [{"role": "user", "content": [{"type": part, part: {"url": "https://e.x/?me"}}]}]
    status, reply = await post(gateway, chat(shows))
    assert (status, reply["error"]["code"]) == (403, "inference.tier_refused")
    assert not outsider.asked
    reply = await gateway.client.chat.completions.create(
        model="talker", messages=shows, extra_headers={"X-Lares-Max-Tier": "convenience"}
    )
    assert outsider.asked[0]["messages"] == shows


async def test_large_bodies_are_bounded_together_and_a_question_still_gets_through(
    gateway: Served, outsider: Outsider
) -> None:
    outsider.mode = "held"
    asking = [asyncio.create_task(post(gateway, chat(shown()))) for _ in range(4)]
    await eventually(lambda: len(outsider.asked) == 4)
    status, reply = await post(gateway, chat(shown()))
    assert (status, reply["error"]["code"]) == (503, "kit.uploads_full")
    outsider.mode = "well"
    status, _ = await post(gateway, chat([{"role": "user", "content": "hello"}]))
    assert status == 200
    outsider.release.set()
    assert [status for status, _ in await asyncio.gather(*asking)] == [200] * 4
    assert (await post(gateway, chat(shown())))[0] == 200


async def test_photos_at_their_limit_do_not_fill_the_container(
    outsider: Outsider, settings_for: Callable[..., Settings], tmp_path: Path
) -> None:
    settings = settings_for(book(outsider.url, queue_max=8, max_concurrency=8))
    port = free_port()
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(str(path) for path in sorted(ROOT.glob("services/*/src"))),
        "LARES_BIND": "127.0.0.1",
        "LARES_PORT": str(port),
        "LARES_MODELS_FILE": str(settings.models_file),
        "LARES_HEARTBEAT": str(tmp_path / "beat"),
        "LARES_SECRETS_DIR": str(tmp_path),
        # As compose/inference.yaml has it.
        "MALLOC_MMAP_THRESHOLD_": "131072",
    }
    words = [sys.executable, "-m", "model_gateway"]
    process = subprocess.Popen(words, env=env, stdout=subprocess.DEVNULL)
    gateway = Served(port)
    try:
        async with asyncio.timeout(60):
            while True:
                try:
                    assert (await post(gateway, chat([{"role": "user", "content": "x"}])))[0] == 200
                    break
                except aiohttp.ClientConnectorError:
                    await asyncio.sleep(0.1)
        for _ in range(2):
            done = await asyncio.gather(*(post(gateway, chat(shown())) for _ in range(4)))
            assert [status for status, _ in done] == [200] * 4
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())
        assert found
        # The container has 128 MiB; read as JSON one photo beside an owl would take 40 of them.
        assert int(found[1]) / 1024 < 108
    finally:
        process.terminate()
        process.wait(20)


def read(messages: Any) -> tuple[Chat, Any, Catalogue]:
    content = Catalogue.model_validate(book("http://127.0.0.1:1/v1"))
    fields = {"model": "talker", "messages": messages}
    return Chat(), Chat().read(Form(fields), content.models["talker"]), content


def test_a_picture_is_no_text_and_is_reserved_for_what_it_may_be() -> None:
    endpoint, ask, content = read(shown())
    assert ask.needs.prompt_chars == len("What is this? 🦉")
    assert (ask.needs.pictures, ask.needs.skills) == (1, {"vision"})
    way = ways_of(content, "talker")[0]
    outgoing = endpoint.outgoing(ask, way)
    assert most(way, ask, endpoint.path, outgoing).read == way.context_tokens
    way = dataclasses.replace(way, context_tokens=None)
    assert most(way, ask, endpoint.path, outgoing).read > PICTURE_TOKENS_MAX


WORDS = st.text('aA9+/=\\"; ;base64,data:image/png\n🦉', max_size=40)
BASE64 = st.text("AZaz09+/=", min_size=5, max_size=60)
URLS = st.one_of(WORDS, BASE64.map(lambda data: f"data:image/png;base64,{data}"))
PARTS = st.one_of(
    URLS.map(lambda url: {"type": "image_url", "image_url": {"url": url, "detail": url}}),
    URLS.map(lambda url: {"type": "input_image", "image_url": url}),
    URLS.map(lambda text: {"type": "text", "text": text, "url": text}),
)
BODIES = st.fixed_dictionaries(
    {"messages": st.lists(st.lists(st.one_of(PARTS, URLS), max_size=3), max_size=3), "user": URLS},
    optional={"image_url": URLS, "input": URLS},
)


@given(fields=BODIES, wide=st.booleans(), escaped=st.booleans())
def test_whatever_is_cut_out_comes_back_where_it_was(
    fields: Any, wide: bool, escaped: bool
) -> None:
    body = json.dumps(fields, ensure_ascii=not wide).encode()
    if escaped:
        body = body.replace(b"/", b"\\/")

    async def through() -> tuple[Any, bytes, pictures.Pictures]:
        rest, cut = await pictures.cut_out(bytearray(body))
        parsed = json.loads(rest)
        pictures.put_back(parsed, cut)
        out = json.dumps(parsed).encode()
        return parsed, b"".join([piece async for piece in cut.pieces(out)]), cut

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pictures, "SMALL_BYTES", 4)
        parsed, out, cut = asyncio.run(through())
    assert json.loads(out) == fields
    assert cut.size(json.dumps(parsed).encode()) == len(out)
    # Marks stand for nothing but addresses of pictures in messages.
    del parsed["messages"]
    assert cut.nonce not in json.dumps(parsed) or "input" in parsed


async def test_a_body_made_to_be_searched_for_long_is_not() -> None:
    body = bytearray(b'{"messages": "' + b";base64," * 400_000 + b'"}')
    began = asyncio.get_running_loop().time()
    rest, cut = await pictures.cut_out(body)
    assert (rest, cut.data) == (bytes(body), ())
    # Quadratic, it would be hours.
    assert asyncio.get_running_loop().time() - began < 30
