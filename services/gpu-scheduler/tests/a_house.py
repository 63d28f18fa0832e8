"""What the scheduler stands between in tests: certificates, a node through a proxy, a real process or one in this loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import ssl
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import uvicorn
from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType
from contracts.scheduling import Ask, FromScheduler, Hello, Running
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from gpu_scheduler.app import build
from gpu_scheduler.authority import Authority
from kit.clock import Clock
from pydantic import TypeAdapter

from .a_node import ANode, Proxy

ROOT = Path(__file__).resolve().parents[3]
TLS_NAME = "forge-0a1b2c3d.node.lares"
_WORDS: TypeAdapter[Any] = TypeAdapter(FromScheduler)


def _pem(key: Any) -> str:
    kind = serialization.PrivateFormat.PKCS8
    return key.private_bytes(
        serialization.Encoding.PEM, kind, serialization.NoEncryption()
    ).decode()


def _builder(subject: str, issuer: str, key: Any) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=30))
    )


class Certificates:
    """The authority of a house, the scheduler's own certificate, and what a node shows."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        key, client = (
            ec.generate_private_key(ec.SECP256R1()),
            ec.generate_private_key(ec.SECP256R1()),
        )
        basic = x509.BasicConstraints(ca=True, path_length=0)
        authority = _builder("house", "house", key).add_extension(basic, critical=True)
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
        own = _builder("gpu-scheduler", "house", client).add_extension(usage, critical=False)
        pem = serialization.Encoding.PEM
        self.authority = authority.sign(key, hashes.SHA256()).public_bytes(pem).decode()
        self.authority_key = _pem(key)
        self.client = own.sign(key, hashes.SHA256()).public_bytes(pem).decode()
        self.client_key = _pem(client)

    def server(self, name: str = "forge", tls_name: str = TLS_NAME) -> ssl.SSLContext:
        """What a node listens with: it lets in whoever shows a certificate of this authority."""
        key = ec.generate_private_key(ec.SECP256R1())
        asked = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
        csr = asked.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()
        signer = Authority(self.authority, self.authority_key, Clock())
        issued = signer.sign(csr, name=name, address="127.0.0.1", tls_name=tls_name)
        certificate, private = self._folder / f"{tls_name}.crt", self._folder / f"{tls_name}.key"
        certificate.write_text(issued.certificate)
        private.write_text(_pem(key))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, private)
        context.load_verify_locations(cadata=self.authority)
        context.verify_mode = ssl.CERT_REQUIRED
        return context


class Gateway:
    """A gateway's end of `/v1/queue`. What it is told is kept by kind."""

    def __init__(self, url: str, name: str = "gateway-1") -> None:
        self.url, self.name = url, name
        self.told: list[Any] = []
        self.close_code: int | None = None
        self._session: ClientSession | None = None
        self._socket: ClientWebSocketResponse
        self._heard = asyncio.Condition()
        self._task: asyncio.Task[None]

    async def connect(self, *running: Running, hello: bool = True) -> Gateway:
        """Connect and say hello."""
        self._session = self._session or ClientSession()
        self._socket = await self._session.ws_connect(f"{self.url}/v1/queue", max_msg_size=0)
        self._task = asyncio.create_task(self._listen())
        if hello:
            await self.say(Hello(gateway=self.name, running=running))
        return self

    async def say(self, message: Any) -> None:
        """Say one thing; text goes as it is."""
        text = message if isinstance(message, str) else message.model_dump_json()
        await self._socket.send_str(text)

    async def ask(self, request_id: str, model: str = "small", **other: Any) -> Ask:
        """Ask for a place."""
        told = {"service_class": "interactive", "caller": "person:1", **other}
        ask = Ask.model_validate({"request_id": request_id, "model": model, **told})
        await self.say(ask)
        return ask

    async def _listen(self) -> None:
        async for message in self._socket:
            if message.type is WSMsgType.TEXT:
                async with self._heard:
                    self.told.append(_WORDS.validate_json(message.data))
                    self._heard.notify_all()
        self.close_code = self._socket.close_code
        async with self._heard:
            self._heard.notify_all()

    async def hear(self, kind: str, request_id: str | None = None, seconds: float = 8.0) -> Any:
        """Return the next message of a kind (of one request) and take it out of what was told."""

        def found() -> Any:
            for message in self.told:
                if message.type == kind and (
                    request_id is None or message.request_id == request_id
                ):
                    return message
            return None

        async with asyncio.timeout(seconds), self._heard:
            await self._heard.wait_for(lambda: found() is not None or self.close_code is not None)
        message = found()
        assert message is not None, f"closed with {self.close_code} before {kind}; {self.told}"
        self.told.remove(message)
        return message

    async def offered(self, model: str, **wanted: Any) -> Any:
        """Return once a model is offered as wanted."""
        while True:
            for one in (await self.hear("offered")).models:
                if one.model == model and all(getattr(one, k) == v for k, v in wanted.items()):
                    return one

    async def closed(self, seconds: float = 8.0) -> int | None:
        """Return the code with which the scheduler closed the connection."""
        async with asyncio.timeout(seconds), self._heard:
            await self._heard.wait_for(lambda: self.close_code is not None)
        return self.close_code

    async def cut(self) -> None:
        """Lose the connection without a word."""
        transport = self._socket._response.connection.transport  # type: ignore[union-attr]
        assert transport is not None
        transport.abort()
        await asyncio.gather(self._task, return_exceptions=True)
        self.close_code = None

    async def close(self) -> None:
        """Go."""
        if self._session is not None:
            await self._session.close()
            await asyncio.gather(self._task, return_exceptions=True)


@dataclass
class House:
    """A scheduler that runs, its node and its proxy."""

    url: str
    node: ANode
    proxy: Proxy
    environment: dict[str, str]
    certificates: Certificates
    scheduler: Any = None


@asynccontextmanager
async def in_this_loop(settings: Any) -> AsyncGenerator[tuple[str, Any]]:
    """Serve the application as kit.http.serve does, on a free port."""
    app = build(settings)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        config = uvicorn.Config(
            app,
            ws="websockets-sansio",
            ws_max_size=4 * 1024 * 1024,
            lifespan="on",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=1,
        )
        server = uvicorn.Server(config)
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            while not server.started or not app.state.scheduler.house.gateways.ready:
                assert not task.done()
                await asyncio.sleep(0.01)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}", app.state.scheduler
        finally:
            server.should_exit = True
            await task


class Process:
    """`python -m gpu_scheduler` as the container starts it."""

    def __init__(self, environment: dict[str, str], log: Path) -> None:
        self.environment, self._log = environment, log
        self.process: asyncio.subprocess.Process

    async def start(self) -> Process:
        """Start it; its log is appended to a file."""
        with self._log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "gpu_scheduler"),
                env={**self.environment, "PYTHONPATH": os.pathsep.join(sys.path)},
                stdout=log,
                stderr=log,
            )
        return self

    async def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGKILL)
        await self.process.wait()
