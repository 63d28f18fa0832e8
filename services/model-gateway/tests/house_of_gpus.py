"""A GPU scheduler and a GPU node as a gateway meets them: a real WebSocket in the contract's words, real mutual TLS."""

import asyncio
import datetime as dt
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import WSMsgType, web
from contracts.scheduling import (
    Ask,
    Began,
    Cancel,
    Drawn,
    Ended,
    FromGateway,
    Granted,
    Hello,
    Offered,
    OfferedModel,
    Preempted,
    Queued,
    Refused,
    Welcome,
)
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import BaseModel, TypeAdapter

from .conftest import Outsider, free_port
from .test_outside import Proxy

NODE_NAME = "forge-0badcafe.node.lares"
_FROM_GATEWAY: TypeAdapter[Any] = TypeAdapter(FromGateway)


class Scheduler:
    """Speaks the contract as a test tells it to. `grants`: every ask is granted at once."""

    def __init__(self) -> None:
        self.port = free_port()
        self.node_url = "https://127.0.0.1:1"
        self.grants = True
        self.tls_name = NODE_NAME
        self.grace_seconds = 2.0
        self.models = [self.offer("qwen")]
        self.heard: list[BaseModel] = []
        self.hellos: list[Hello] = []
        self._sockets: list[web.WebSocketResponse] = []
        self._runner: web.AppRunner | None = None
        self._fence = 7_000_000_000

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @staticmethod
    def offer(model: str, **more: Any) -> OfferedModel:
        said = {"kind": "chat", "available": True, "resident": True, "max_tier": "sacred"}
        return OfferedModel.model_validate({"model": model, **said, **more})

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get("/v1/queue", self._serve)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()

    async def stop(self) -> None:
        """Go as a killed process goes: no farewell."""
        for socket in self._sockets:
            if (transport := socket._req and socket._req.transport) is not None:
                transport.abort()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _serve(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self._sockets = [socket]
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                break
            heard = _FROM_GATEWAY.validate_json(message.data)
            if isinstance(heard, Hello):
                self.hellos.append(heard)
                await self.say(Welcome(epoch=1, grace_seconds=self.grace_seconds))
                await self.say(Offered(models=tuple(self.models)))
            else:
                self.heard.append(heard)
            if isinstance(heard, Ask) and self.grants:
                await self.grant(heard.request_id)
        return socket

    async def say(self, message: BaseModel) -> None:
        for socket in self._sockets:
            await socket.send_str(message.model_dump_json())

    async def grant(self, request_id: str) -> int:
        self._fence += 1
        await self.say(
            Granted(
                request_id=request_id,
                node="forge",
                node_url=self.node_url,
                tls_name=self.tls_name,
                instance_id="i-1",
                path="/v1/instances/i-1",
                fence=self._fence,
                waited_seconds=0.0,
                why="it is resident and free",
            )
        )
        return self._fence

    async def queue(self, request_id: str, position: int) -> None:
        await self.say(
            Queued(
                request_id=request_id,
                position=position,
                expected_start_seconds=4.0,
                why="two wait before it",
            )
        )

    async def refuse(self, request_id: str, code: str = "inference.node_away") -> None:
        await self.say(
            Refused(
                request_id=request_id,
                status=503,
                code=code,
                reason="The node forge is away.",
                fix="Wait until it is back.",
                retry_after_seconds=3.0,
            )
        )

    async def preempt(self, request_id: str) -> None:
        await self.say(Preempted(request_id=request_id, why="a voice request needs the card"))

    async def draw(self, watts: float) -> None:
        await self.say(Drawn(watts={"i-1": watts}))

    async def offer_now(self, *models: OfferedModel) -> None:
        self.models = list(models)
        await self.say(Offered(models=tuple(models)))

    def asks(self) -> list[Ask]:
        return [heard for heard in self.heard if isinstance(heard, Ask)]

    def began(self) -> list[str]:
        return [heard.request_id for heard in self.heard if isinstance(heard, Began)]

    def ended(self) -> list[str]:
        return [heard.outcome for heard in self.heard if isinstance(heard, Ended)]

    def cancelled(self) -> list[str]:
        return [heard.request_id for heard in self.heard if isinstance(heard, Cancel)]


async def eventually(true: Callable[[], Any], seconds: float = 8.0) -> None:
    """Return once `true()` holds. Fails after `seconds`."""
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.005)


def write_certificates(folder: Path) -> ssl.SSLContext:
    """Write the gateway's three secrets into `folder`; return how a node listens: its certificate, and ours demanded."""
    authority_key, authority = _certificate("Lares GPU nodes", None, None, [])
    node_key, node = _certificate("forge", authority_key, authority, [x509.DNSName(NODE_NAME)])
    role = [x509.UniformResourceIdentifier("lares:role:gateway")]
    client_key, client = _certificate("model-gateway", authority_key, authority, role)
    pem = serialization.Encoding.PEM
    (folder / "node_authority").write_bytes(authority.public_bytes(pem))
    (folder / "node_client_certificate").write_bytes(client.public_bytes(pem))
    (folder / "node_client_key").write_bytes(_pem(client_key))
    (folder / "node.pem").write_bytes(_pem(node_key) + node.public_bytes(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cafile=folder / "node_authority")
    context.load_cert_chain(folder / "node.pem")
    return context


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _certificate(
    name: str,
    signer: ec.EllipticCurvePrivateKey | None,
    issuer: x509.Certificate | None,
    names: list[x509.GeneralName],
) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=5))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    if issuer is None:
        usage = x509.KeyUsage(
            digital_signature=True,
            key_cert_sign=True,
            crl_sign=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            encipher_only=False,
            decipher_only=False,
        )
        builder = builder.add_extension(usage, critical=True)
    return key, builder.sign(signer or key, hashes.SHA256())


@asynccontextmanager
async def node_behind_proxy(node: Outsider) -> AsyncIterator[tuple[Proxy, str]]:
    """The egress proxy before a node that listens already: CONNECT, and nothing of the conversation."""
    made, port = Proxy(), free_port()
    made.target = node.port
    server = await asyncio.start_server(made.serve, "127.0.0.1", port)
    try:
        yield made, f"http://127.0.0.1:{port}"
    finally:
        server.close()
