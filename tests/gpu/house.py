"""A house that GPU nodes join, without its other containers: real secrets, real books, a real TLS door."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import http.server
import os
import socket
import ssl
import subprocess
import threading
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from contracts.gpunode import JoinToken
from gpu_scheduler import join
from gpu_scheduler.authority import Authority, client_context
from gpu_scheduler.join_store import JoinStore, MemberNode
from kit.clock import Clock
from kit.errors import install
from kit.pool import Pool
from starlette.applications import Starlette

from tests.integration.house import ROOT, run

EDGE, HOME, HOST = "10.89.32.3", "192.168.1.20", "house.test"
MAKE_SECRETS = """
set -euo pipefail
LARES_ROOT=$PWD LARES_TMP=$LARES_STATE/tmp
source setup/lib.sh; source setup/settings.sh
mkdir -p "$LARES_TMP"
source setup/secrets.sh
"""


def make_secrets(state: Path) -> Path:
    """Make a house's secrets as set-up does, and return their folder."""
    environment = {"PATH": os.environ["PATH"], "LARES_STATE": str(state)}
    subprocess.run(["bash", "-c", MAKE_SECRETS], cwd=ROOT, env=environment, check=True, timeout=60)
    return state / "secrets"


def context_of(secrets: Path, service: str) -> ssl.SSLContext:
    """Return how a service of the house calls a node."""
    folder = secrets / service
    names = ("node_authority", "node_client_certificate", "node_client_key")
    return client_context(*((folder / name).read_text() for name in names))


def self_signed(folder: Path, name: str) -> tuple[Path, Path]:
    """A certificate for `name` that signs itself: a web authority and its server in one."""
    certificate, key = folder / f"{name}.crt", folder / f"{name}.key"
    run(
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "3",
        "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}", "-keyout", str(key), "-out", str(certificate),
    )  # fmt: skip
    return certificate, key


class Through:
    """The edge's part: the connection's address goes into the header, and the scheduler sees the edge."""

    def __init__(self, app: Any, peer: str | None = HOME) -> None:
        self.app, self.seen, self.peer = app, list[str](), peer

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            self.seen.append(scope["path"])
            peer = self.peer or scope["client"][0]
            headers = [*scope["headers"], (b"x-lares-peer", peer.encode())]
            scope = {**scope, "headers": headers, "client": (EDGE, 1)}
        await self.app(scope, receive, send)


@contextlib.contextmanager
def handing_out(certificate: Path, bind: str = "127.0.0.1") -> Iterator[int]:
    """Port 80 of a house: its web authority's certificate, for whoever asks."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = certificate.read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None: ...

    with http.server.HTTPServer((bind, 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@contextlib.asynccontextmanager
async def serving(
    app: Any, certificate: Path, key: Path, bind: str = "127.0.0.1"
) -> AsyncGenerator[int]:
    """Serve `app` over TLS; give the port."""
    with socket.socket() as listener:
        listener.bind((bind, 0))
        options = {"ssl_certfile": certificate, "ssl_keyfile": key, "log_level": "error"}
        server = uvicorn.Server(uvicorn.Config(app, lifespan="off", **options))
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            await task


@dataclass
class House:
    """A house that GPU nodes join: its edge, its books, its authority."""

    store: JoinStore
    authority: Authority
    secrets: Path
    web: Path
    edge: Through
    bind: str
    ports: tuple[int, int] = (0, 0)

    async def token(self, name: str = "forge", address: str = HOME, **other: Any) -> JoinToken:
        """Return a new token for `name` at `address`, but for what `other` says."""
        sha256 = hashlib.sha256(ssl.PEM_cert_to_DER_cert(self.web.read_text())).hexdigest()
        secret = await self.store.new_token(name, address)
        said: dict[str, Any] = {
            "node": name, "address": address, "house": self.bind, "host": HOST, "http_port": self.ports[0],
            "https_port": self.ports[1], "authority_sha256": sha256, "secret": secret,
        }  # fmt: skip
        return JoinToken(**{**said, **other})

    async def member(self) -> MemberNode:
        """Return the node that joined first, by name."""
        return (await self.store.present())[0]


@contextlib.asynccontextmanager
async def a_house(
    pg: Any, secrets: Path, folder: Path, *, bind: str = "127.0.0.1", peer: str | None = HOME
) -> AsyncGenerator[House]:
    """The house, with its doors at `bind`. `peer`: the address that its edge sees everybody at; None: the real one."""
    clock = Clock()
    certificate, key = self_signed(folder, HOST)
    kept = secrets / "gpu-scheduler"
    authority = Authority(
        (kept / "node_authority").read_text(), (kept / "node_authority_key").read_text(), clock
    )

    async def joined(_: Any) -> None: ...

    async with await Pool.open(pg.database("svc_gpu_scheduler"), max_size=2) as pool:
        store = JoinStore(pool, clock)
        app = Starlette(routes=join.routes(lambda _: store, authority, clock, joined))
        install(app)
        edge = Through(join.EdgeOnly(app, EDGE), peer)
        house = House(store, authority, secrets, certificate, edge, bind)
        with handing_out(certificate, bind) as plain:
            async with serving(edge, certificate, key, bind) as port:
                house.ports = (plain, port)
                yield house
