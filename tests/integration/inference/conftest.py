"""The gateway and the scheduler as processes, a real Postgres and Valkey, a node behind mutual TLS and a proxy."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import ssl
import sys
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from contracts.scheduling import Status
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from gpu_scheduler.authority import Authority
from kit.clock import Clock
from kit.testing.callers import CallerFactory
from kit.testing.data import Postgres
from openai import AsyncOpenAI

from tests.gpu.house import make_secrets
from tests.integration.house import ROOT

from .node import Link, Node, Talker, listening

TLS_NAME = "forge-0a1b2c3d.node.lares"


class Process:
    """`python -m <service>` as its container starts it; it can be killed and started again."""

    def __init__(self, module: str, environment: dict[str, str], log: Path) -> None:
        self.module, self.environment, self._log = module, environment, log
        self.url = f"http://127.0.0.1:{environment['LARES_PORT']}"
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it and return once it answers."""
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", self.module),
                env={**self.environment, "PYTHONPATH": os.pathsep.join(sys.path)},
                stdout=log,
                stderr=log,
            )
        async with asyncio.timeout(60), aiohttp.ClientSession() as session:
            while True:
                assert self._process.returncode is None, self._log.read_text()
                with contextlib.suppress(aiohttp.ClientError):
                    async with session.get(f"{self.url}/healthz") as answer:
                        if answer.status == 200:
                            return
                await asyncio.sleep(0.05)

    def signal(self, which: signal.Signals) -> None:
        """Send it a signal, if it runs."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(which)

    async def kill(self) -> None:
        """SIGKILL it."""
        self.signal(signal.SIGKILL)
        if self._process is not None:
            await self._process.wait()


@dataclass
class Scene:
    """All of it. `home` is the house's own small model."""

    gateway: Process
    scheduler: Process
    node: Node
    link: Link
    home: Talker
    owner: dict[str, str]
    client: AsyncOpenAI

    async def status(self) -> Status:
        """Return what the scheduler shows."""
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{self.scheduler.url}/v1/status", headers=self.owner) as answer,
        ):
            return Status.model_validate_json(await answer.text())

    async def offered(self) -> None:
        """Return once the gateway would send a request to the node."""
        async with asyncio.timeout(30):
            while True:
                [model] = (await self.client.models.list()).data
                if model.to_dict()["routes"][0]["available"]:  # type: ignore[index]
                    return
                await asyncio.sleep(0.02)

    async def ask(self, prompt: str, service_class: str = "interactive") -> str:
        """Return the streamed answer to one prompt."""
        stream = await self.client.chat.completions.create(
            model="talker",
            messages=[{"role": "user", "content": prompt}],
            stream=True,
            extra_headers={"X-Lares-Class": service_class, "X-Lares-Service": "orchestrator"},
        )
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    def asked(self, prompt: str) -> int:
        """How often a prompt was asked of anybody."""
        return self.node.talker.asked[prompt] + self.home.asked[prompt]

    def answered(self, prompt: str) -> int:
        """How often a prompt was answered to its end by anybody."""
        return self.node.talker.answered[prompt] + self.home.answered[prompt]


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def sign_node(secrets: Path) -> tuple[bytes, bytes, str]:
    """Return a node's key, its certificate and the authority: signed by the house's own, as a joining would."""
    pem = (secrets / "gpu-scheduler" / "node_authority").read_text()
    signer = Authority(pem, (secrets / "gpu-scheduler" / "node_authority_key").read_text(), Clock())
    key = ec.generate_private_key(ec.SECP256R1())
    asked = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    csr = asked.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()
    issued = signer.sign(csr, name="forge", address="127.0.0.1", tls_name=TLS_NAME)
    form = serialization.PrivateFormat.PKCS8
    private = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    return private, issued.certificate.encode(), pem


def node_tls(secrets: Path, folder: Path) -> ssl.SSLContext:
    """Return what the node listens with."""
    private, certificate, pem = sign_node(secrets)
    (folder / "node.pem").write_bytes(private + certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=pem)
    context.load_cert_chain(folder / "node.pem")
    return context


async def join(pg: Postgres, port: int) -> None:
    """Write the node into the books, as its joining would."""
    now = datetime.now(UTC)
    connection = await pg.connect()
    try:
        await connection.execute(
            "INSERT INTO inference.node (tls_name, name, address, port, serial, fingerprint, signed_at, expires_at,"
            " joined_at) VALUES ($1, 'forge', '127.0.0.1', $2, '1', repeat('a', 64), $3, $4, $3)",
            *(TLS_NAME, port, now, now + timedelta(days=30)),
        )
    finally:
        await connection.close()


def models(home_port: int) -> dict[str, Any]:
    """One model with two ways: the node, and what stands for local-llm."""
    return {
        "version": 1,
        "backends": {
            "home": {
                "url": f"http://127.0.0.1:{home_port}/v1",
                "in_house": True,
                "max_concurrency": 64,
                "queue_max": 512,
            }
        },
        "models": {
            "talker": {
                "kind": "chat",
                "context_tokens": 4096,
                "routes": [{"gpu": "small"}, {"backend": "home"}],
            }
        },
    }


def scheduler_secrets(
    pg: Postgres, valkey: Any, caller_factory: CallerFactory, state: Path
) -> Path:
    """Make a house's secrets, those of the scheduler filled in for these databases; return their folder."""
    secrets = make_secrets(state)
    for name, value in {
        "db_password": pg.password("svc_gpu_scheduler"),
        "caller_public_key": caller_factory.public_key_pem,
        "valkey_password": valkey.password("gpu_scheduler"),
    }.items():
        (secrets / "gpu-scheduler" / name).write_text(value)
    return secrets


def the_scheduler(secrets: Path, shared: dict[str, str], valkey: Any, folder: Path) -> Process:
    """The scheduler as its container starts it; not started yet."""
    return Process(
        "gpu_scheduler",
        {
            **shared,
            "LARES_PORT": str(free_port()),
            "LARES_SECRETS_DIR": str(secrets / "gpu-scheduler"),
            "LARES_HEARTBEAT": str(folder / "heartbeat-scheduler"),
            "LARES_VALKEY_HOST": valkey.host,
            "LARES_VALKEY_PORT": str(valkey.port),
            "LARES_SCHEDULING_FILE": str(ROOT / "inference" / "scheduling.yaml"),
            "LARES_CADDY_ADDRESS": "10.89.32.3",
            "LARES_WAKE_DIR": str(folder),
        },
        folder / "scheduler.log",
    )


@pytest.fixture
async def scene(
    pg: Postgres, valkey: Any, caller_factory: CallerFactory, tmp_path: Path
) -> AsyncGenerator[Scene]:
    """Everything, running."""
    secrets = scheduler_secrets(pg, valkey, caller_factory, tmp_path / "state")
    (secrets / "model-gateway" / "db_password").write_text(pg.password("svc_model_gateway"))
    (secrets / "model-gateway" / "caller_public_key").write_text(caller_factory.public_key_pem)
    async with AsyncExitStack() as stack:
        node = await stack.enter_async_context(Node("small").serving(node_tls(secrets, tmp_path)))
        link = await stack.enter_async_context(Link().serving())
        home = Talker()
        app = web.Application()
        app.router.add_post("/v1/chat/completions", home.chat)
        (tmp_path / "models.yaml").write_text(
            json.dumps(models(await stack.enter_async_context(listening(app))))
        )
        await join(pg, node.port)
        shared = {
            "LARES_BIND": "127.0.0.1",
            "LARES_POSTGRES_HOST": pg.host,
            "LARES_POSTGRES_PORT": str(pg.port),
            "LARES_EGRESS_PROXY_URL": f"http://127.0.0.1:{link.port}",
        }
        scheduler = the_scheduler(secrets, shared, valkey, tmp_path)
        gateway = Process(
            "model_gateway",
            {
                **shared,
                "LARES_PORT": str(free_port()),
                "LARES_SECRETS_DIR": str(secrets / "model-gateway"),
                "LARES_HEARTBEAT": str(tmp_path / "heartbeat-gateway"),
                "LARES_MODELS_FILE": str(tmp_path / "models.yaml"),
                "LARES_GPU_SCHEDULER_URL": scheduler.url,
            },
            tmp_path / "gateway.log",
        )
        for process in (scheduler, gateway):
            stack.push_async_callback(process.kill)
            await process.start()
        client = AsyncOpenAI(
            base_url=f"{gateway.url}/v1", api_key="unused", max_retries=0, timeout=60
        )
        stack.push_async_callback(client.close)
        made = Scene(gateway, scheduler, node, link, home, caller_factory().headers, client)
        await made.offered()
        yield made
