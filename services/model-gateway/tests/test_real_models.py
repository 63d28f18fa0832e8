"""The gateway before the house's own model servers, in the containers that the house runs."""

import asyncio
import json
import os
import re
import secrets
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from kit.testing.containers import LABEL, docker, require_image, wait_until
from model_gateway.app import build
from model_gateway.settings import Settings

from .conftest import Served, free_port, serving

pytestmark = pytest.mark.integration
SHIPPED = Path(__file__).resolve().parents[3] / "inference" / "models.yaml"
HELLO: list[Any] = [{"role": "user", "content": "Say hello."}]


class ModelServer:
    """One model container on a loopback port: walls as in compose, network of the host."""

    def __init__(self, service: str, uid: int, **env: str) -> None:
        image = f"lares/{service}:dev"
        require_image(image)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.name = f"t-lares-{service}-{secrets.token_hex(4)}"
        variables = {"LARES_BIND": "127.0.0.1", "LARES_PORT": str(self.port), **env}
        docker(
            *(
                "run",
                "-d",
                "--name",
                self.name,
                "--label",
                f"{LABEL}={os.getpid()}",
                "--network",
                "host",
            ),
            *("--read-only", "--cap-drop", "ALL", "--user", f"{uid}:{uid}", "--memory", "768m"),
            *("--tmpfs", f"/run/lares:uid={uid},mode=0700", "--tmpfs", "/tmp"),
            *(part for name, value in variables.items() for part in ("-e", f"{name}={value}")),
            image,
        )

    def wait(self, path: str) -> None:
        def answers() -> bool:
            try:
                with urllib.request.urlopen(self.url + path, timeout=2) as answer:
                    return answer.status == 200
            except OSError:
                return False

        wait_until(answers, lambda: docker("logs", self.name), 60)

    def working(self) -> int:
        """Return how many requests the model works on."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=5) as answer:
            found = re.search(
                r"^llamacpp:requests_processing (\d+)", answer.read().decode(), re.MULTILINE
            )
        assert found
        return int(found[1])

    def memory_kib(self) -> int:
        """Return the resident memory of the container's process."""
        pid = docker("inspect", "-f", "{{.State.Pid}}", self.name).strip()
        found = re.search(
            r"^VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE
        )
        assert found
        return int(found[1])

    def remove(self) -> None:
        docker("rm", "-f", "-v", self.name, check=False)


@pytest.fixture(scope="module")
def local_llm() -> Iterator[ModelServer]:
    server = ModelServer("local-llm", 10041)
    try:
        server.wait("/health")
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="module")
def embedder() -> Iterator[ModelServer]:
    server = ModelServer("embedder", 10031)
    try:
        server.wait("/readyz")
        yield server
    finally:
        server.remove()


@pytest.fixture
def house(
    local_llm: ModelServer,
    embedder: ModelServer,
    settings_for: Callable[..., Settings],
    tmp_path: Path,
) -> Iterator[Served]:
    """A gateway with the models file that the house ships."""
    settings = settings_for(
        {},
        LARES_MODELS_FILE=str(SHIPPED),
        LARES_LOCAL_LLM_URL=local_llm.url,
        LARES_EMBEDDER_URL=embedder.url,
    )
    with serving(build(settings)) as served:
        yield served


async def test_the_house_answers_at_once_and_word_by_word(house: Served) -> None:
    whole = await house.client.chat.completions.create(
        model="lares-small", messages=HELLO, max_tokens=12, temperature=0, seed=1
    )
    assert whole.choices[0].message.content
    assert whole.usage is not None
    assert 0 < whole.usage.completion_tokens <= 12
    stream = await house.client.chat.completions.create(
        model="lares-small", messages=HELLO, max_tokens=12, temperature=0, seed=1, stream=True
    )
    words = [
        chunk.choices[0].delta.content async for chunk in stream if chunk.choices[0].delta.content
    ]
    assert len(words) > 1
    assert "".join(words) == whole.choices[0].message.content


async def test_a_stop_word_ends_the_answer(house: Served) -> None:
    asked: Any = {
        "model": "lares-small",
        "messages": HELLO,
        "max_tokens": 30,
        "temperature": 0,
        "seed": 1,
    }
    whole = (await house.client.chat.completions.create(**asked)).choices[0].message.content or ""
    second = whole.split()[1]
    stopped = await house.client.chat.completions.create(**asked, stop=[second])
    assert second not in (stopped.choices[0].message.content or "")
    assert stopped.choices[0].finish_reason == "stop"


async def test_a_prompt_beyond_the_context_is_named_as_that(house: Served) -> None:
    messages: list[Any] = [{"role": "user", "content": "word " * 6000}]
    with pytest.raises(openai.BadRequestError) as caught:
        await house.client.chat.completions.create(model="lares-small", messages=messages)
    body: Any = caught.value.body
    assert body["code"] == "inference.prompt_too_long"


async def test_a_client_that_goes_stops_the_model(house: Served, local_llm: ModelServer) -> None:
    stream = await house.client.chat.completions.create(
        model="lares-small",
        messages=[{"role": "user", "content": "Write a very long story."}],
        max_tokens=1000,
        stream=True,
    )
    async for chunk in stream:
        if chunk.choices[0].delta.content:
            break
    assert local_llm.working() == 1
    await stream.close()
    async with asyncio.timeout(10):
        while local_llm.working():
            await asyncio.sleep(0.05)


async def test_texts_of_one_meaning_lie_closer_than_others(house: Served) -> None:
    texts = [
        "The cat sleeps on the sofa.",
        "A kitten naps on the couch.",
        "The invoice is due on Friday.",
    ]
    reply = await house.client.embeddings.create(model="minilm-l6-v2", input=texts)
    one, same, other = (entry.embedding for entry in reply.data)
    assert len(one) == 384

    def closeness(first: list[float], second: list[float]) -> float:
        return sum(a * b for a, b in zip(first, second, strict=True))

    assert closeness(one, same) > closeness(one, other) + 0.3


async def test_base64_and_float_are_the_same_vector(house: Served) -> None:
    as_float = await house.client.embeddings.create(
        model="minilm-l6-v2", input="hello", encoding_format="float"
    )
    as_base64 = await house.client.embeddings.create(model="minilm-l6-v2", input="hello")
    assert as_float.data[0].embedding == pytest.approx(as_base64.data[0].embedding, abs=1e-7)


async def test_a_killed_model_is_a_clear_answer_and_comes_back(
    house: Served, local_llm: ModelServer
) -> None:
    docker("kill", local_llm.name)
    with pytest.raises(openai.InternalServerError) as caught:
        await house.client.chat.completions.create(model="lares-small", messages=HELLO)
    body: Any = caught.value.body
    assert (caught.value.status_code, body["code"]) == (503, "inference.backend_unavailable")
    docker("start", local_llm.name)
    local_llm.wait("/health")
    again = await house.client.chat.completions.create(
        model="lares-small", messages=HELLO, max_tokens=4
    )
    assert again.choices[0].message.content


async def test_a_model_killed_in_mid_answer_is_not_a_finished_answer(
    house: Served, local_llm: ModelServer
) -> None:
    stream = await house.client.chat.completions.create(
        model="lares-small",
        messages=[{"role": "user", "content": "Write a very long story."}],
        max_tokens=1000,
        stream=True,
    )
    killed = False
    with pytest.raises(openai.APIError) as caught:
        async for chunk in stream:
            if chunk.choices[0].delta.content and not killed:
                killed = True
                await asyncio.to_thread(docker, "kill", local_llm.name)
    body: Any = caught.value.body
    assert body["code"] == "inference.backend_failed"
    docker("start", local_llm.name)
    local_llm.wait("/health")


async def test_an_idle_model_gives_its_memory_back_and_wakes_for_the_next_question() -> None:
    server = ModelServer("local-llm", 10041, LARES_LOCAL_LLM_IDLE_SECONDS="2")
    try:
        server.wait("/health")
        awake = server.memory_kib()
        deadline = time.monotonic() + 40
        while server.memory_kib() > awake // 2:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.2)
        body = json.dumps({"messages": HELLO, "max_tokens": 3}).encode()
        request = urllib.request.Request(
            f"{server.url}/v1/chat/completions", body, {"content-type": "application/json"}
        )
        answer = await asyncio.to_thread(lambda: urllib.request.urlopen(request, timeout=30).read())
        assert json.loads(answer)["choices"][0]["message"]["content"]
        assert server.memory_kib() > awake // 2
    finally:
        server.remove()


async def test_a_stopped_model_finishes_the_answer_it_is_giving() -> None:
    server = ModelServer("local-llm", 10041)
    try:
        server.wait("/health")
        body = json.dumps({"messages": HELLO, "max_tokens": 60, "ignore_eos": True}).encode()
        request = urllib.request.Request(
            f"{server.url}/v1/chat/completions", body, {"content-type": "application/json"}
        )
        answering = asyncio.create_task(
            asyncio.to_thread(lambda: urllib.request.urlopen(request, timeout=30).read())
        )
        while not await asyncio.to_thread(server.working):
            assert not answering.done()
            await asyncio.sleep(0.01)
        await asyncio.to_thread(docker, "stop", "-t", "10", server.name)
        assert json.loads(await answering)["usage"]["completion_tokens"] == 60
        assert docker("inspect", "-f", "{{.State.ExitCode}}", server.name).strip() == "0"
    finally:
        server.remove()
