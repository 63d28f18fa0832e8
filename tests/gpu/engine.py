"""A second machine on this one: an engine of its own in a network namespace, a cable to it, and a way to pull the cable.

192.168.232.1  this machine, where the house is (and .2, a neighbour who is not the house)
192.168.232.10 the other machine, which has an engine, a firewall and a `make` of its own
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.integration.house import run

NAMESPACE = "lares-gpu-node"
CABLE, FAR_END = "gpu-lares-a", "gpu-lares-b"
HOUSE, NEIGHBOUR, NODE = "192.168.232.1", "192.168.232.2", "192.168.232.10"
# The networks of the node's containers.
BEHIND = ("10.86.0.0/28", "10.87.0.0/16", "172.30.0.0/24")
START_SECONDS_MAX = 60


class Engine:
    """The other machine. `folder` holds its engine's data; make it with `engine()`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = folder / "docker.sock"
        self._daemon: subprocess.Popen[bytes] | None = None

    def there(self, *command: str) -> tuple[str, ...]:
        """Return `command` as it is run on the other machine."""
        return (
            "nsenter", f"--net=/run/netns/{NAMESPACE}", "env", f"DOCKER_HOST=unix://{self.socket}", *command,
        )  # fmt: skip

    def run(self, *command: str, stdin: str | None = None, timeout_s: float = 120) -> str:
        """Run a command on the other machine and return what it prints."""
        return run(*self.there(*command), stdin=stdin, timeout_s=timeout_s)

    def docker(self, *arguments: str) -> str:
        """Run the engine's client there."""
        return self.run("docker", *arguments)

    def load(self, *images: str) -> None:
        """Carry images from this machine's engine over to the other's."""
        with subprocess.Popen(["docker", "save", *images], stdout=subprocess.PIPE) as saving:
            subprocess.run(
                self.there("docker", "load", "-q"), stdin=saving.stdout, check=True, timeout=300,
                stdout=subprocess.DEVNULL,
            )  # fmt: skip
        if saving.returncode != 0:
            raise RuntimeError(f"docker save {' '.join(images)} failed")

    def start(self) -> None:
        """Start the engine; return when it answers."""
        log = (self.folder / "dockerd.log").open("ab")
        self._daemon = subprocess.Popen(
            [
                "nsenter", f"--net=/run/netns/{NAMESPACE}", "dockerd", "--data-root", str(self.folder / "data"),
                "--exec-root", str(self.folder / "exec"), "--pidfile", str(self.folder / "docker.pid"),
                "-H", f"unix://{self.socket}", "--bip", "172.30.0.1/24",
                "--default-address-pool", "base=10.200.0.0/16,size=24", "--cgroup-parent", "/lares-gpu-node",
            ],
            stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
        deadline = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < deadline:
            done = subprocess.run(self.there("docker", "info"), capture_output=True, check=False)
            if done.returncode == 0:
                return
            if self._daemon.poll() is not None:
                break
            time.sleep(0.3)
        raise RuntimeError(f"the second engine did not start: see {self.folder}/dockerd.log")

    def stop(self) -> None:
        """End every container and the engine."""
        if self._daemon is None:
            return
        listed = subprocess.run(
            self.there("docker", "ps", "-aq"), capture_output=True, text=True, check=False
        )
        if ids := listed.stdout.split():
            subprocess.run(self.there("docker", "rm", "-f", *ids), capture_output=True, check=False)
        self._daemon.send_signal(signal.SIGTERM)
        try:
            self._daemon.wait(30)
        except subprocess.TimeoutExpired:
            self._daemon.kill()
            self._daemon.wait(10)
        self._daemon = None

    @contextlib.contextmanager
    def unplugged(self) -> Iterator[None]:
        """While the block runs, no packet passes the cable in either direction. What has been sent is lost, not refused."""
        rules = [
            ("FORWARD", "-o", CABLE), ("FORWARD", "-i", CABLE), ("OUTPUT", "-o", CABLE), ("INPUT", "-i", CABLE),
        ]  # fmt: skip
        try:
            for chain, *match in rules:
                run("iptables", "-w", "10", "-I", chain, *match, "-j", "DROP")
            yield
        finally:
            for chain, *match in rules:
                run("iptables", "-w", "10", "-D", chain, *match, "-j", "DROP")


def _quiet(*command: str) -> None:
    subprocess.run(command, capture_output=True, check=False)


def _doors(ports: Mapping[int, tuple[str, int]]) -> list[list[str]]:
    """Where a door of this machine leads: a house for tests publishes its own on the loopback alone."""
    return [
        [
            "PREROUTING",
            "-i",
            CABLE,
            "-d",
            HOUSE,
            "-p",
            "tcp",
            "--dport",
            str(port),
            "-j",
            "DNAT",
            "--to",
            f"{to}:{at}",
        ]
        for port, (to, at) in ports.items()
    ]


@contextlib.contextmanager
def engine(folder: Path, doors: Mapping[int, tuple[str, int]] | None = None) -> Iterator[Engine]:
    """The other machine, cabled and running; taken away again whatever happens.

    `doors`: ports of this machine that lead elsewhere for whoever comes over the cable.
    """
    cleared(folder)
    folder.mkdir(parents=True)
    there = Engine(folder)
    rules = _doors(doors or {})
    try:
        run("ip", "netns", "add", NAMESPACE)
        run("ip", "link", "add", CABLE, "type", "veth", "peer", "name", FAR_END)
        run("ip", "link", "set", FAR_END, "netns", NAMESPACE)
        for address in (HOUSE, NEIGHBOUR):
            run("ip", "addr", "add", f"{address}/24", "dev", CABLE)
        run("ip", "link", "set", CABLE, "up")
        run("ip", "-n", NAMESPACE, "addr", "add", f"{NODE}/24", "brd", "+", "dev", FAR_END)
        run("ip", "-n", NAMESPACE, "link", "set", FAR_END, "up")
        run("ip", "-n", NAMESPACE, "link", "set", "lo", "up")
        run("ip", "-n", NAMESPACE, "route", "add", "default", "via", HOUSE)
        # As any machine of a home network may: what is behind the other one is asked for through it.
        for network in BEHIND:
            run("ip", "route", "add", network, "via", NODE)
        for rule in rules:
            run("iptables", "-w", "10", "-t", "nat", "-I", *rule)
        there.start()
        yield there
    finally:
        there.stop()
        for rule in rules:
            _quiet("iptables", "-w", "10", "-t", "nat", "-D", *rule)
        cleared(folder)


def cleared(folder: Path) -> None:
    """Remove what an interrupted run has left."""
    pid = folder / "docker.pid"
    if pid.exists():
        with contextlib.suppress(ProcessLookupError, ValueError):
            os.kill(int(pid.read_text()), signal.SIGTERM)
            time.sleep(3)
    _quiet("ip", "netns", "delete", NAMESPACE)
    _quiet("ip", "link", "delete", CABLE)
    mounted = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for place in sorted((m for m in mounted if m.startswith(f"{folder}/")), reverse=True):
        _quiet("umount", "-l", place)
    shutil.rmtree(folder, ignore_errors=True)
