"""Real processes for the integration tests: orchestrator and memory on loopback, over a real Postgres and Valkey.

The one thing scripted is the model, which speaks the OpenAI protocol as the gateway does.
"""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from kit.testing.callers import CallerFactory, SignedCaller
from kit.testing.ports import free_port
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

ROOT = Path(__file__).resolve().parents[3]


@dataclass
class ScriptedModel:
    """An OpenAI-protocol server whose answer is chosen by a word in the question."""

    port: int
    asked: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    cancelled: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def prompts(self) -> str:
        """Return every word that ever reached the model."""
        return json.dumps(self.asked, ensure_ascii=False)

    def last_prompt(self) -> str:
        return json.dumps(self.asked[-1]["messages"], ensure_ascii=False)

    async def chat(self, request: Request) -> Response:
        body = await request.json()
        self.asked.append(body)
        self.headers.append(dict(request.headers))
        question = body["messages"][-1]["content"]
        if "REFUSE" in question:
            error = {"code": "inference.x", "reason": "r", "fix": "f", "correlation_id": "0"}
            return JSONResponse({"error": error}, 400)
        if "AWAY" in question:
            return Response(status_code=503)
        return StreamingResponse(self._words(question), media_type="text/event-stream")

    async def _words(self, question: str) -> AsyncGenerator[str]:
        slow = "SLOW" in question
        if "ODD" in question:
            # A lone half of a character pair and a NUL, as some models put out.
            odd = r'{"choices": [{"index": 0, "delta": {"content": "a\ud800b\u0000c"}}]}'
            yield f"data: {odd}\n\n"
        done = False
        try:
            for number in range(200 if slow else 5):
                piece = {"choices": [{"index": 0, "delta": {"content": f"word{number} "}}]}
                yield f"data: {json.dumps(piece)}\n\n"
                await asyncio.sleep(0.05 if slow else 0)
                if "CUT" in question and number == 2:
                    done = True
                    return
            usage = {"prompt_tokens": 11, "completion_tokens": 5}
            yield f"data: {json.dumps({'model': 'scripted', 'choices': [], 'usage': usage})}\n\n"
            yield "data: [DONE]\n\n"
            done = True
        finally:
            if not done:
                self.cancelled += 1


@pytest.fixture(scope="session")
def model() -> Iterator[ScriptedModel]:
    """The scripted model, in a thread of its own."""
    scripted = ScriptedModel(free_port())
    app = Starlette(routes=[Route("/v1/chat/completions", scripted.chat, methods=["POST"])])
    server = uvicorn.Server(
        uvicorn.Config(app, host="127.0.0.1", port=scripted.port, log_level="error")
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_for_port(scripted.port)
    yield scripted
    server.should_exit = True
    thread.join(5)


def wait_for_port(port: int, seconds: float = 30.0) -> None:
    """Return when something listens there."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 0.5).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


class Process:
    """One service as a process, killed and started at will."""

    def __init__(self, module: str, env: dict[str, str], log: Path) -> None:
        self.module, self.env, self.log = module, env, log
        self.port = int(env["LARES_PORT"])
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def another(self, env: dict[str, str], log: Path) -> "Process":
        """The same service as a second process; a port of 0 stands for a free one."""
        port = env["LARES_PORT"] if env["LARES_PORT"] != "0" else str(free_port())
        return Process(self.module, {**env, "LARES_PORT": port}, log)

    def start(self) -> None:
        path = os.pathsep.join(str(p) for p in sorted(ROOT.glob("services/*/src")))
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", self.module],
                env={"PATH": os.environ["PATH"], "PYTHONPATH": path, **self.env},
                stdout=out,
                stderr=out,
            )
        try:
            wait_for_port(self.port)
        except OSError:
            pytest.fail(f"{self.module} did not start:\n{self.log.read_text()[-3000:]}")

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(how)
        self.process.wait(20)

    def kill(self) -> None:
        """End it as a power cut would."""
        self.stop(signal.SIGKILL)


def secrets_dir(folder: Path, **files: str) -> str:
    """Lay secret files out as /run/secrets."""
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_text(content)
    return str(folder)


@pytest.fixture(scope="session")
def memory_process(
    postgres_server: Any,
    valkey_server: Any,
    model: ScriptedModel,
    caller_factory: CallerFactory,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Process]:
    """The real memory service; its embedder is away, so it recalls by words alone."""
    import base64

    folder = tmp_path_factory.mktemp("memory")
    env = {
        "LARES_BIND": "127.0.0.1",
        "LARES_PORT": str(free_port()),
        "LARES_HEARTBEAT": str(folder / "heartbeat"),
        "LARES_POSTGRES_HOST": postgres_server.host,
        "LARES_POSTGRES_PORT": str(postgres_server.port),
        "LARES_VALKEY_HOST": valkey_server.host,
        "LARES_VALKEY_PORT": str(valkey_server.port),
        "LARES_MODEL_GATEWAY_URL": model.url,
        "LARES_SECRETS_DIR": secrets_dir(
            folder / "secrets",
            db_password=postgres_server.password("svc_memory"),
            valkey_password=valkey_server.password("memory"),
            caller_public_key=caller_factory.public_key_pem,
            sacred_data_key=base64.b64encode(os.urandom(32)).decode(),
        ),
    }
    process = Process("memory", env, folder / "log")
    process.start()
    yield process
    process.stop()


@pytest.fixture(scope="session")
def orchestrator_process(
    postgres_server: Any,
    valkey_server: Any,
    model: ScriptedModel,
    memory_process: Process,
    caller_factory: CallerFactory,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Process]:
    """The orchestrator, with short times so that tests need not wait."""
    folder = tmp_path_factory.mktemp("orchestrator")
    env = {
        "LARES_BIND": "127.0.0.1",
        "LARES_PORT": str(free_port()),
        "LARES_HEARTBEAT": str(folder / "heartbeat"),
        "LARES_POSTGRES_HOST": postgres_server.host,
        "LARES_POSTGRES_PORT": str(postgres_server.port),
        "LARES_VALKEY_HOST": valkey_server.host,
        "LARES_VALKEY_PORT": str(valkey_server.port),
        "LARES_MEMORY_URL": memory_process.url,
        "LARES_MODEL_GATEWAY_URL": model.url,
        "LARES_AGENTS_DISCONNECT_GRACE_SECONDS": "0.5",
        "LARES_SECRETS_DIR": secrets_dir(
            folder / "secrets",
            db_password=postgres_server.password("svc_orchestrator"),
            valkey_password=valkey_server.password("orchestrator"),
            caller_public_key=caller_factory.public_key_pem,
        ),
    }
    process = Process("orchestrator", env, folder / "log")
    process.start()
    yield process
    process.stop()


@dataclass
class Person:
    """Somebody who talks to the house."""

    signed: SignedCaller
    http: httpx.AsyncClient
    memory: str

    async def say(
        self, text: str, conversation: str | None = None, key: str | None = None
    ) -> "Heard":
        """Send words; return everything that was streamed back."""
        heard = Heard()
        async for _ in self.saying(heard, text, conversation, key):
            pass
        return heard

    async def saying(
        self, heard: "Heard", text: str, conversation: str | None = None, key: str | None = None
    ) -> AsyncGenerator[str]:
        """Send words; fill `heard` and yield each event's name as it comes."""
        body: dict[str, Any] = {"text": text}
        if conversation:
            body["conversation_id"] = conversation
        headers = {**self.signed.headers, **({"Idempotency-Key": key} if key else {})}
        async with self.http.stream("POST", "/v1/turns", json=body, headers=headers) as response:
            heard.status = response.status_code
            if response.status_code != 200:
                heard.refusal = json.loads(await response.aread())["error"]
                return
            name = ""
            async for line in response.aiter_lines():
                if line.startswith("event: "):
                    name = line[7:]
                elif line.startswith("data: "):
                    heard.events.append((name, json.loads(line[6:])))
                    yield name

    async def get(self, path: str, **params: Any) -> Any:
        reply = await self.http.get(path, headers=self.signed.headers, params=params)
        assert reply.status_code == 200, reply.text
        return reply.json()

    async def post(self, path: str, **body: Any) -> httpx.Response:
        return await self.http.post(path, headers=self.signed.headers, json=body)

    def record(self) -> "Heard":
        return Heard()

    def again(self) -> "Person":
        """The same person on a new connection."""
        return Person(self.signed, httpx.AsyncClient(base_url=self.base, timeout=30), self.memory)

    @property
    def base(self) -> str:
        return str(self.http.base_url)

    def memory_client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.memory)

    async def memories(self, tier: str | None = None) -> list[str]:
        params = {"tier": tier} if tier else {}
        async with httpx.AsyncClient(base_url=self.memory) as http:
            reply = await http.get("/v1/memories", headers=self.signed.headers, params=params)
        assert reply.status_code == 200, reply.text
        return [item["text"] for item in reply.json()["items"]]


@dataclass
class Heard:
    """What one turn streamed."""

    status: int = 0
    refusal: dict[str, str] = field(default_factory=dict)
    events: list[tuple[str, Any]] = field(default_factory=list)

    def all(self, name: str) -> list[Any]:
        return [data for event, data in self.events if event == name]

    def one(self, name: str) -> Any:
        found = self.all(name)
        assert len(found) == 1, f"{name}: {self.events}"
        return found[0]

    @property
    def answer(self) -> str:
        return "".join(delta["text"] for delta in self.all("delta"))

    @property
    def ending(self) -> str:
        return self.one("turn.finished")["status"]

    @property
    def conversation(self) -> str:
        return self.one("turn.accepted")["conversation_id"]


@pytest.fixture
def sql(postgres_server: Any) -> Any:
    """Run one statement as the superuser: for what only time or an operator would do."""

    async def run(statement: str, *arguments: Any) -> list[Any]:
        connection = await postgres_server.connect()
        try:
            return await connection.fetch(statement, *arguments)
        finally:
            await connection.close()

    return run


@pytest.fixture
def pg_dump(sql: Any) -> Any:
    """Everything that the database `lares` holds, as text, but one conversation."""

    async def dump(but: str) -> str:
        tables = await sql(
            "SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables"
            " WHERE schemaname IN ('agents', 'sensitive', 'convenience', 'memory', 'edge')"
        )
        rows = [
            str(row[0])
            for table in tables
            for row in await sql(f"SELECT t::text FROM {table['name']} t")
        ]
        return "\n".join(row for row in rows if but not in row)

    return dump


@pytest.fixture
async def someone(
    orchestrator_process: Process, memory_process: Process, caller_factory: CallerFactory
) -> AsyncGenerator[Any]:
    """Makes people: `ada = someone()`. Each is new to the house, so tests share no rows."""
    clients: list[httpx.AsyncClient] = []

    def make(**attributes: Any) -> Person:
        client = httpx.AsyncClient(base_url=orchestrator_process.url, timeout=30)
        clients.append(client)
        return Person(caller_factory(**attributes), client, memory_process.url)

    yield make
    for client in clients:
        await client.aclose()
