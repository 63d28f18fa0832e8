"""Real processes for the tests of memory: the service, its worker and model-gateway, over real stores.

Only the embedding model is a stand-in: a server that speaks OpenAI's protocol and knows a few words that mean the same.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import httpx
import pytest
from kit.testing.ports import free_port

ROOT = Path(__file__).resolve().parents[3]
SAME = [
    {"dog", "puppy", "pet", "hound"},
    {"dentist", "tooth", "teeth"},
    {"money", "bank", "salary", "account"},
    {"holiday", "vacation", "beach", "trip"},
    {"doctor", "therapy", "therapist", "anxiety"},
]


# Models that the stand-in answers beside the house's own, with as many dimensions as they say.
OTHER_MODELS = {"other-256": 256, "odd-300": 300}


def meaning(text: str, dimensions: int = 384) -> list[float]:
    """Return a vector in which words of one meaning share a direction."""
    vector = [0.0] * dimensions
    for word in re.findall(r"\w+", text.casefold()):
        group = next((index for index, same in enumerate(SAME) if word in same), None)
        place = group if group is not None else 10 + sum(word.encode()) * 31 % (dimensions - 14)
        vector[place] += 3.0 if group is not None else 0.4
    norm = sum(number * number for number in vector) ** 0.5 or 1.0
    return [number / norm for number in vector]


@dataclass
class Meaning:
    """The stand-in for the model. `broken` makes it fail; `asked` is what came in, `seen` what was answered.

    `odd` is what it answers for a text that contains the word, whatever the other texts of the request are.
    """

    url: str
    broken: bool = False
    slow_seconds: float = 0.0
    seen: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)
    odd: dict[str, Any] = field(default_factory=dict)

    def answer(self, model: str, text: str) -> Any:
        """Return the vector of one text, or what stands for it."""
        for word, instead in self.odd.items():
            if word in text:
                return instead
        return meaning(text, OTHER_MODELS.get(model, 384))


@pytest.fixture(scope="session")
def meaning_server() -> Iterator[Meaning]:
    """One embedding model for the run."""
    state = Meaning("")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(200, {"object": "list", "data": []})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
            state.asked += texts
            state.batches.append(len(texts))
            time.sleep(state.slow_seconds)
            if state.broken:
                self._answer(503, {"error": {"message": "away"}})
                return
            state.seen += texts
            data = [
                {
                    "object": "embedding",
                    "index": index,
                    "embedding": state.answer(body["model"], text),
                }
                for index, text in enumerate(texts)
            ]
            usage = {"prompt_tokens": 1, "total_tokens": 1}
            self._answer(
                200, {"object": "list", "model": body["model"], "data": data, "usage": usage}
            )

        def _answer(self, status: int, body: Any) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    state.url = f"http://127.0.0.1:{server.server_port}"
    yield state
    server.shutdown()


@pytest.fixture
def model(meaning_server: Meaning, model_gateway: Process) -> Meaning:
    """The embedding model, in good health, and known to be so: the gateway leaves one alone that failed before."""
    meaning_server.broken, meaning_server.slow_seconds = False, 0.0
    meaning_server.odd.clear()
    body = {"model": "minilm-l6-v2", "input": ["are you well"]}
    deadline = time.monotonic() + 60
    while httpx.post(f"{model_gateway.url}/v1/embeddings", json=body, trust_env=False).is_error:
        assert time.monotonic() < deadline, model_gateway.log()
        time.sleep(0.5)
    meaning_server.seen.clear()
    meaning_server.asked.clear()
    meaning_server.batches.clear()
    return meaning_server


@dataclass
class Process:
    """A running `python -m ...` of the house, with its log."""

    arguments: list[str]
    env: dict[str, str]
    log_path: Path
    port: int = 0
    popen: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it; return when it answers, if it listens at all."""
        paths = os.pathsep.join(str(path) for path in sorted(ROOT.glob("services/*/src")))
        with self.log_path.open("ab") as log:
            self.popen = subprocess.Popen(
                [sys.executable, *self.arguments],
                env={**os.environ, "PYTHONPATH": paths, **self.env},
                stdout=log,
                stderr=log,
                cwd=self.log_path.parent,
            )
        if self.port:
            self._wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline:
            assert self.popen is not None
            if self.popen.poll() is not None:
                break
            with contextlib.suppress(URLError, ConnectionError):
                with urlopen(f"{self.url}/healthz", timeout=1):
                    return
            time.sleep(0.05)
        pytest.fail(f"{self.arguments} did not start:\n{self.log()}", pytrace=False)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End it and return its exit status."""
        assert self.popen is not None
        self.popen.send_signal(how)
        return self.popen.wait(60)

    def log(self) -> str:
        """Return all it wrote."""
        return self.log_path.read_text()

    def pss_mib(self) -> float:
        """Return its share of memory."""
        assert self.popen is not None
        rollup = Path(f"/proc/{self.popen.pid}/smaps_rollup").read_text()
        return int(re.search(r"^Pss:\s+(\d+)", rollup, re.MULTILINE)[1]) / 1024  # type: ignore[index]


@pytest.fixture(scope="session")
def model_gateway(
    meaning_server: Meaning, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Process]:
    """The real gateway, in front of the stand-in model."""
    folder = tmp_path_factory.mktemp("model-gateway")
    models = folder / "models.yaml"
    others = "".join(
        f"  {name}:\n    backend: embedder\n    kind: embeddings\n    context_tokens: 256\n"
        f"    dimensions: {dimensions}\n    inputs_max: 128\n"
        for name, dimensions in OTHER_MODELS.items()
    )
    models.write_text((ROOT / "inference" / "models.yaml").read_text() + others)
    port = free_port()
    process = Process(
        ["-m", "model_gateway"],
        {
            "LARES_BIND": "127.0.0.1",
            "LARES_PORT": str(port),
            "LARES_MODELS_FILE": str(models),
            "LARES_LOCAL_LLM_URL": meaning_server.url,
            "LARES_EMBEDDER_URL": meaning_server.url,
            "LARES_HEARTBEAT": str(folder / "heartbeat"),
            "LARES_SECRETS_DIR": str(folder),
        },
        folder / "log",
        port,
    )
    process.start()
    yield process
    process.stop()


@dataclass(frozen=True)
class MemoryHouse:
    """How memory's processes are started in this run."""

    env: dict[str, str]
    folder: Path
    data_key: str

    def service(self, **changed: str) -> Process:
        """Return a service that is not started yet."""
        port = free_port()
        env = {**self.env, "LARES_BIND": "127.0.0.1", "LARES_PORT": str(port), **changed}
        return Process(["-m", "memory"], env, self.folder / f"memory-{port}.log", port)

    def worker(self, **changed: str) -> Process:
        """Return a worker that is not started yet."""
        env = {
            **self.env,
            "LARES_SECRETS_DIR": str(self.folder / "worker"),
            "LARES_HEARTBEAT": str(self.folder / "worker-heartbeat"),
            "LARES_MEMORY_SWEEP_SECONDS": "1",
            **changed,
        }
        return Process(
            ["-m", "memory", "worker"], env, self.folder / f"worker-{secrets.token_hex(3)}.log"
        )


@pytest.fixture(scope="session")
def memory_house(
    postgres_server: Any,
    valkey_server: Any,
    model_gateway: Process,
    caller_factory: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> MemoryHouse:
    """Secrets and settings for memory's processes."""
    folder = tmp_path_factory.mktemp("memory")
    data_key = base64.b64encode(secrets.token_bytes(32)).decode()
    for user, name in (("memory", "service"), ("memory_worker", "worker")):
        (folder / name).mkdir()
        (folder / name / "db_password").write_text(postgres_server.password("svc_memory"))
        (folder / name / "valkey_password").write_text(valkey_server.password(user))
        (folder / name / "sacred_data_key").write_text(data_key)
        (folder / name / "caller_public_key").write_text(caller_factory.public_key_pem)
    env = {
        "LARES_SECRETS_DIR": str(folder / "service"),
        "LARES_HEARTBEAT": str(folder / "heartbeat"),
        "LARES_POSTGRES_HOST": postgres_server.host,
        "LARES_POSTGRES_PORT": str(postgres_server.port),
        "LARES_VALKEY_HOST": valkey_server.host,
        "LARES_VALKEY_PORT": str(valkey_server.port),
        "LARES_MODEL_GATEWAY_URL": model_gateway.url,
    }
    return MemoryHouse(env, folder, data_key)


@pytest.fixture(scope="session")
def memory_process(memory_house: MemoryHouse) -> Iterator[Process]:
    """One memory service for the run."""
    process = memory_house.service()
    process.start()
    yield process
    process.stop()


@pytest.fixture(scope="session")
def memory_processes() -> Callable[..., Process]:
    """Make a listening process: `memory_processes(["-m", "x"], env, folder)`; the caller starts and stops it."""

    def make(arguments: list[str], env: dict[str, str], folder: Path) -> Process:
        port = free_port()
        own = {
            "LARES_BIND": "127.0.0.1",
            "LARES_PORT": str(port),
            "LARES_HEARTBEAT": str(folder / "heartbeat"),
        }
        return Process(arguments, {**env, **own}, folder / f"log-{port}", port)

    return make


@pytest.fixture
def memory_service(memory_process: Process, pg: Any, valkey: Any, model: Meaning) -> Process:
    """The memory service, over empty stores."""
    return memory_process


@pytest.fixture
async def worker(memory_house: MemoryHouse, memory_service: Process) -> AsyncIterator[Process]:
    """A memory worker of this test."""
    process = memory_house.worker()
    process.start()
    yield process
    if process.popen is not None and process.popen.poll() is None:
        process.stop()


@pytest.fixture
async def api(memory_service: Process) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the memory service; callers come per request."""
    async with httpx.AsyncClient(
        base_url=memory_service.url, timeout=20, trust_env=False
    ) as client:
        yield client


async def until(
    ready: Callable[[], Any], seconds: float = 60.0, why: str = "it never happened"
) -> Any:
    """Return what `ready` gives once it is true, or fail."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = ready()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return found
        await asyncio.sleep(0.05)
    pytest.fail(why)
    return None


@pytest.fixture(name="until")
def until_fixture() -> Callable[..., Any]:
    """Wait for something: `await until(lambda: ...)`."""
    return until
