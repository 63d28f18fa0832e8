"""What the way in costs: the dashboard's backend called directly, through Caddy alone, and through Caddy with forward auth.

All three from inside Caddy's own network, interleaved, so that a busy machine slows each alike. "Caddy alone" is the
same binary with the same TLS and one line of configuration; the backend gets a caller's token minted with the key.
"""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from contracts.identity import CALLER_HEADER, Caller
from kit.auth import CallerSigner
from kit.testing.containers import docker

from tests.chaos.house import House
from tests.chaos.resident import Resident

from .report import record
from .stack import containers
from .wrk import Measured, measure

pytestmark = [pytest.mark.stack, pytest.mark.bench]

ROUNDS = 5
SECONDS = 4
PATH = "/api/openapi.json"
BARE_PORT = 9443
FORWARD_AUTH_MS_MAX = 1.0


@dataclass(frozen=True)
class Way:
    """One way to the same answer."""

    name: str
    url: str
    headers: dict[str, str]


@pytest.fixture
def caddy_pid(stack: Any) -> int:
    return next(one.pid for one in containers(stack.project) if one.service == "caddy")


@pytest.fixture
def bare_caddy(stack: Any, tmp_path: Path) -> Iterator[None]:
    """A second Caddy in the first one's network: TLS and a proxy, nothing asked of anybody."""
    config = tmp_path / "Caddyfile"
    config.write_text(
        "{\n admin off\n persist_config off\n skip_install_trust\n auto_https disable_redirects\n}\n"
        f"https://{stack.host}:{BARE_PORT} {{\n bind {stack.net}.0.2\n tls internal\n"
        f" reverse_proxy {stack.net}.3.2:8000\n}}\n"
    )
    tmp_path.chmod(0o755)
    house = House(stack)
    name = f"t-lares-bench-caddy-{uuid4().hex[:6]}"
    image = house.inspect("caddy")["Config"]["Image"]
    docker(
        *(
            "run",
            "-d",
            "--rm",
            "--name",
            name,
            "--network",
            f"container:{house.container('caddy')}",
        ),
        *("--tmpfs", "/data:uid=10010,gid=10010,mode=0700", "-v", f"{config}:/tmp/Caddyfile:ro"),
        *(
            "--entrypoint",
            "caddy",
            image,
            "run",
            "--config",
            "/tmp/Caddyfile",
            "--adapter",
            "caddyfile",
        ),
    )
    try:
        yield
    finally:
        docker("rm", "-f", name, check=False)


async def signed_in(stack: Any) -> str:
    """Return the cookie of somebody who just came in through the edge."""
    house = House(stack)
    resident = Resident(stack.url, stack.https_port, house.authority())
    try:
        await resident.come_in(house.invitation())
        return "; ".join(f"{name}={value}" for name, value in resident.http.cookies.items())
    finally:
        await resident.close()


def callers_token(stack: Any) -> str:
    """Return what forward-auth would have sent to the backend."""
    key = House(stack).secret("forward-auth", "caller_signing_key")
    person = Caller(
        subject=uuid4(),
        username="bench",
        kind="person",
        role="member",
        db_role="lares_app",
        aal=1,
        session_id=uuid4().hex,
        auth_time=datetime.now(UTC),
    )
    return CallerSigner(key).sign(person)


def ways(stack: Any) -> list[Way]:
    cookie, token = asyncio.run(signed_in(stack)), callers_token(stack)
    name = stack.host
    return [
        Way("backend, directly", f"http://{stack.net}.3.2:8000{PATH}", {CALLER_HEADER: token}),
        Way("Caddy alone", f"https://{name}:{BARE_PORT}{PATH}", {CALLER_HEADER: token}),
        # The house answers to its name with its published port, which is not the one that Caddy has inside.
        Way(
            "the edge, forward auth cached",
            f"https://{name}:8443{PATH}",
            {"Cookie": cookie, "Host": f"{name}:{stack.https_port}"},
        ),
    ]


def test_the_edge_is_measured(stack: Any, caddy_pid: int, bare_caddy: None, tmp_path: Path):
    all_ways = ways(stack)
    hosts = {stack.host: f"{stack.net}.0.2"}

    def run(way: Way, connections: int, seconds: int = SECONDS) -> Measured:
        return measure(
            caddy_pid,
            way.url,
            way.headers,
            tmp_path,
            seconds=seconds,
            connections=connections,
            hosts=hosts,
        )

    for way in all_ways:
        run(way, 1, 2)
    alone: dict[str, list[Measured]] = {way.name: [] for way in all_ways}
    crowd: dict[str, list[Measured]] = {way.name: [] for way in all_ways}
    for _ in range(ROUNDS):
        for way in all_ways:
            alone[way.name].append(run(way, 1))
    for _ in range(2):
        for way in all_ways:
            crowd[way.name].append(run(way, 16))
    rows = [row(way.name, alone[way.name], crowd[way.name]) for way in all_ways]
    deltas = [
        edge.p50_ms - bare.p50_ms
        for edge, bare in zip(alone[all_ways[2].name], alone[all_ways[1].name], strict=True)
    ]
    added = statistics.median(deltas)
    record(
        "edge",
        {"forward auth adds <= 1.0 ms p50 when cached": f"{added:.2f} ms"},
        rows,
        path=PATH,
        rounds=ROUNDS,
    )
    assert added <= FORWARD_AUTH_MS_MAX


def row(name: str, alone: list[Measured], crowd: list[Measured]) -> dict[str, Any]:
    """Return medians over the rounds."""

    def median(values: list[float]) -> float:
        return round(statistics.median(values), 2)

    return {
        "way": name,
        "p50 ms (1 connection)": median([m.p50_ms for m in alone]),
        "p95 ms": median([m.p95_ms for m in alone]),
        "p99 ms": median([m.p99_ms for m in alone]),
        "req/s (1)": round(statistics.median([m.per_second for m in alone])),
        "p50 ms (16)": median([m.p50_ms for m in crowd]),
        "p95 ms (16)": median([m.p95_ms for m in crowd]),
        "req/s (16)": round(statistics.median([m.per_second for m in crowd])),
    }
