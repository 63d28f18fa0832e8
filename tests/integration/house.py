"""The running house as the engine and the kernel show it: containers, addresses, listeners."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PROBE = Path(__file__).with_name("reachability_probe.py")
LISTEN = "0A"

Target = tuple[str, int]


def run(*command: str, stdin: str | None = None, timeout_s: float = 120) -> str:
    """Return what a command prints, or fail with what it said."""
    done = subprocess.run(
        command, input=stdin, capture_output=True, text=True, timeout=timeout_s, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr[-2000:]}"
    return done.stdout


@dataclass(frozen=True)
class Container:
    """One container: which service it is, and its place in the networks."""

    service: str
    id: str
    pid: int
    addresses: frozenset[str]
    published: frozenset[int]
    environment: dict[str, str] = field(hash=False)

    def listeners(self) -> set[Target]:
        """Return where it listens on TCP, the engine's own resolver and the loopback left out."""
        found: set[Target] = set()
        for table in ("tcp", "tcp6"):
            for line in Path(f"/proc/{self.pid}/net/{table}").read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == LISTEN:
                    address, port = decode(fields[1])
                    if not address.startswith("127.") and address != "::1":
                        found.add((address, port))
        return found

    def reaches(self, targets: Iterable[Target], timeout_s: float = 1.5) -> set[Target]:
        """Return which targets accept a connection that comes from this container."""
        return probe(["-t", str(self.pid), "-n"], targets, timeout_s)


def probe(namespace: list[str], targets: Iterable[Target], timeout_s: float = 1.5) -> set[Target]:
    """Return which targets accept a connection from a network namespace."""
    order = json.dumps({"targets": sorted(targets), "timeout_s": timeout_s})
    opened = run("nsenter", *namespace, "/usr/bin/python3", str(PROBE), stdin=order)
    return {(address, port) for address, port in json.loads(opened)}


def decode(hexadecimal: str) -> Target:
    """Read the kernel's spelling of an address: little-endian words, then the port."""
    address, port = hexadecimal.split(":")
    words = [bytes.fromhex(address[i : i + 8])[::-1] for i in range(0, len(address), 8)]
    family = socket.AF_INET if len(words) == 1 else socket.AF_INET6
    return socket.inet_ntop(family, b"".join(words)), int(port, 16)


def containers(project: str) -> list[Container]:
    """Return every running container of the house."""
    # Images carry Compose's project label too, and with them scratch containers: the hash is on its own alone.
    labels = [f"label=com.docker.compose.project={project}", "label=com.docker.compose.config-hash"]
    ids = run(
        "docker", "ps", "-q", *(word for label in labels for word in ("--filter", label))
    ).split()
    shown: list[dict[str, Any]] = json.loads(run("docker", "inspect", *ids)) if ids else []
    return [
        Container(
            service=one["Config"]["Labels"]["com.docker.compose.service"],
            id=one["Id"],
            pid=one["State"]["Pid"],
            addresses=frozenset(
                n["IPAddress"]
                for n in one["NetworkSettings"]["Networks"].values()
                if n["IPAddress"]
            ),
            published=frozenset(
                int(binding["HostPort"])
                for bindings in one["NetworkSettings"]["Ports"].values()
                for binding in bindings or []
            ),
            environment=dict(pair.split("=", 1) for pair in one["Config"]["Env"]),
        )
        for one in shown
    ]


def host_addresses() -> set[str]:
    """Return every IPv4 address that this machine answers to, the loopback left out."""
    links = json.loads(run("ip", "-j", "-4", "addr"))
    found = {info["local"] for link in links for info in link["addr_info"]}
    return {address for address in found if not address.startswith("127.")}
