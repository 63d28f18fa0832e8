"""The agent as a process of its own, with mutual TLS, on the real engine: as on a GPU node, but for the cards."""

from __future__ import annotations

import asyncio
import datetime as dt
import itertools
import os
import secrets
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from contracts.gpunode import InstanceState, NodeState
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from kit.testing.containers import docker

SMALL = {"kind": "chat", "engine": "local-llm", "context_tokens": 2048, "vram_mib": 1000, "ram_mib": 200,
         "asleep_mib": 0, "memory_limit_mib": 700, "cpus": 1, "drain_seconds_max": 5, "stop_seconds_max": 3,
         "start_seconds_max": 60, "sleep": {"method": "idle", "idle_seconds": 2}}  # fmt: skip
PHASES_SECONDS_MAX = 60
_PEM = serialization.Encoding.PEM


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Authority:
    """Signs certificates for a test."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a house")])
        self.certificate = self._sign(self._key.public_key(), self._name, None)
        (folder / "authority.pem").write_bytes(self.certificate.public_bytes(_PEM))

    def give(self, name: str, alternative: x509.GeneralName, certificate: str, key: str) -> None:
        """Write a certificate and its key."""
        own = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        signed = self._sign(own.public_key(), subject, alternative)
        (self._folder / certificate).write_bytes(signed.public_bytes(_PEM))
        plain = own.private_bytes(
            _PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        (self._folder / key).write_bytes(plain)

    def _sign(self, key: Any, subject: x509.Name, alternative: Any) -> x509.Certificate:
        now = dt.datetime.now(dt.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(minutes=5))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.BasicConstraints(alternative is None, None), critical=True)
        )
        if alternative is not None:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([alternative]), critical=False
            )
        return builder.sign(self._key, hashes.SHA256())

    def client(self, role: str) -> ssl.SSLContext:
        """Return how somebody with that role calls."""
        self.give(
            role, x509.UniformResourceIdentifier(f"lares:role:{role}"), f"{role}.pem", f"{role}.key"
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self._folder / "authority.pem")
        context.load_cert_chain(self._folder / f"{role}.pem", self._folder / f"{role}.key")
        return context


@dataclass
class RealNode:
    """One GPU node: its agent can be killed and started again."""

    folder: Path
    node: str = field(default_factory=lambda: f"t-{secrets.token_hex(3)}")
    port: int = field(default_factory=free_port)
    environment: dict[str, str] = field(default_factory=dict[str, str])
    process: subprocess.Popen[bytes] | None = None
    fences: itertools.count[int] = field(default_factory=lambda: itertools.count(5_000_000_001))

    async def open(self) -> None:
        """Make certificates and sessions; the agent is not started."""
        (self.folder / "tls").mkdir()
        (self.folder / "weights").mkdir()
        authority = Authority(self.folder / "tls")
        authority.give("node", x509.DNSName("localhost"), "node.pem", "key.pem")
        self.sessions = {
            role: aiohttp.ClientSession(
                f"https://localhost:{self.port}",
                connector=aiohttp.TCPConnector(ssl=authority.client(role), limit=0),
                timeout=aiohttp.ClientTimeout(total=120),
            )
            for role in ("scheduler", "gateway")
        }
        self.write(small=SMALL)

    def write(self, **models: dict[str, Any]) -> None:
        (self.folder / "models.yaml").write_text(yaml.safe_dump({"version": 1, "models": models}))

    async def start(self) -> None:
        """Start the agent and return once it has said all of itself."""
        # A net of its own, so that two runs on one engine do not meet.
        net = f"10.{180 + os.getpid() % 40}"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "node_agent"],
            env={
                "PATH": os.environ["PATH"], "LARES_BIND": "127.0.0.1", "LARES_PORT": str(self.port),
                "LARES_NODE": self.node, "LARES_NODE_MODELS": str(self.folder / "models.yaml"),
                "LARES_NODE_TLS_DIR": str(self.folder / "tls"), "LARES_NODE_WEIGHTS": str(self.folder / "weights"),
                "LARES_ENGINE_SOCKET": os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")[len("unix://"):],
                "LARES_CGROUP_PATH": "/sys/fs/cgroup", "LARES_MODELS_NET": net, "LARES_NODE_CARDS": "simulated",
                "LARES_NODE_SIMULATED_CARDS": "sim-0:8000", "LARES_HEARTBEAT": str(self.folder / "heartbeat"),
                **self.environment,
            },
            stdout=(self.folder / "log").open("ab"),
            stderr=subprocess.STDOUT,
        )  # fmt: skip
        async with asyncio.timeout(30):
            while True:
                try:
                    await self.state()
                    return
                except aiohttp.ClientError:
                    assert self.process.poll() is None, self.log()
                    await asyncio.sleep(0.05)

    def kill(self) -> None:
        """SIGKILL the agent."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)

    def log(self) -> str:
        return (self.folder / "log").read_text()[-4000:]

    async def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()
        for session in self.sessions.values():
            await session.close()
        for name in self.containers(everything=True):
            docker("rm", "-f", "-v", name, check=False)
        listed = docker("network", "ls", "-q", "--filter", f"label=house.lares.node={self.node}")
        for network in listed.split():
            docker("network", "rm", network, check=False)

    def containers(self, *, everything: bool = False) -> list[str]:
        """Return the names of the node's containers, as the engine has them."""
        wanted = ("-a",) if everything else ()
        label = f"label=house.lares.node={self.node}"
        return docker("ps", *wanted, "--filter", label, "--format", "{{.Names}}").split()

    async def state(self) -> NodeState:
        async with self.sessions["scheduler"].get("/v1/state") as reply:
            assert reply.status == 200, await reply.text()
            return NodeState.model_validate_json(await reply.text())

    async def act(self, verb: str, instance: str = "a", **more: Any) -> dict[str, Any]:
        told = {
            "action_id": secrets.token_hex(4),
            "fence": next(self.fences),
            "verb": verb,
            "instance_id": instance,
        }
        if verb == "start":
            told |= {"model": "small", "cards": ["sim-0"]}
        async with self.sessions["scheduler"].post("/v1/actions", json=told | more) as reply:
            return {"status": reply.status, **await reply.json()}

    def ask(
        self,
        instance: str = "a",
        *,
        tokens: int = 8,
        stream: bool = False,
        fence: int | None = None,
    ) -> Any:
        body = {
            "messages": [{"role": "user", "content": "Count from one to a thousand."}],
            "max_tokens": tokens,
            "stream": stream,
        }
        headers = {
            "X-Lares-Fence": str(fence or next(self.fences)),
            "X-Lares-Request": secrets.token_hex(8),
        }
        return self.sessions["gateway"].post(
            f"/v1/instances/{instance}/v1/chat/completions", json=body, headers=headers
        )

    async def answer(self, instance: str = "a") -> str:
        async with self.ask(instance) as reply:
            assert reply.status == 200, await reply.text()
            return (await reply.json())["choices"][0]["message"]["content"]

    async def until(
        self, wanted: Callable[[InstanceState], bool] | str, instance: str = "a"
    ) -> InstanceState:
        """Return the instance once it is as wanted, by what the node says of itself."""
        phases: list[str] = []
        async with asyncio.timeout(PHASES_SECONDS_MAX):
            async for state in self.events():
                for one in state.instances:
                    if one.instance_id != instance:
                        continue
                    phases.append(one.phase)
                    if one.phase == wanted if isinstance(wanted, str) else wanted(one):
                        return one
                    assert one.phase != "failed", f"{phases} {one.error}\n{self.log()}"
        raise AssertionError(f"{instance}: {phases}")

    async def events(self) -> AsyncGenerator[NodeState]:
        async with self.sessions["scheduler"].get("/v1/events") as reply:
            while line := await reply.content.readline():
                yield NodeState.model_validate_json(line)


def resident_mib(container: str) -> int:
    """Return what the processes of a container hold of host memory, shared pages included."""
    pids = docker("top", container, "-eo", "pid").split()[1:]
    return sum(_rss_kib(pid) for pid in pids) // 1024


def _rss_kib(pid: str) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmRSS")), 0)
