"""Memory's own process over stores that belong to one measurement, beside the house's embedder and model-gateway."""

from __future__ import annotations

import base64
import os
import secrets
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit.testing.containers import LABEL, docker, wait_until
from kit.testing.data import Postgres

from .test_inference import UIDS, newest

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class House:
    """Where everything is."""

    pg: Postgres
    gateway: str
    embedder: str
    memory: str
    memory_pid: int
    # What its processes are started with; the worker has a login of its own to Valkey.
    env: dict[str, str]
    worker_valkey_password: str

    def memory_seconds(self) -> float:
        """Return the processor time of the service."""
        return _seconds(self.memory_pid)

    def postgres_seconds(self) -> float:
        """Return the processor time of Postgres, all its processes, those that have ended too."""
        pid = int(docker("inspect", "-f", "{{.State.Pid}}", self.pg.container.name))
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return _seconds(pid, ended=True) + sum(_seconds(int(child)) for child in children)

    @contextmanager
    def worker(self) -> Iterator[Worker]:
        """Start memory's worker; end it when the block ends."""
        folder = Path(self.env["LARES_SECRETS_DIR"]) / f"worker-{secrets.token_hex(3)}"
        folder.mkdir()
        for name in ("db_password", "sacred_data_key"):
            (folder / name).write_text((folder.parent / name).read_text())
        (folder / "valkey_password").write_text(self.worker_valkey_password)
        env = {
            **self.env,
            # As compose/memory.yaml does.
            "MALLOC_ARENA_MAX": "1",
            "MALLOC_TRIM_THRESHOLD_": "65536",
            "LARES_SECRETS_DIR": str(folder),
            "LARES_HEARTBEAT": str(folder / "heartbeat"),
        }
        log = folder / "log"
        with log.open("ab") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "memory", "worker"],
                env={**os.environ, **env},
                stdout=out,
                stderr=out,
            )
        try:
            wait_until((folder / "heartbeat").exists, log.read_text)
            yield Worker(process, log)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


@dataclass(frozen=True)
class Worker:
    """A running worker."""

    process: subprocess.Popen[bytes]
    log_path: Path

    def runs(self) -> bool:
        """Say whether it still runs."""
        return self.process.poll() is None

    def log(self) -> str:
        """Return all it wrote."""
        return self.log_path.read_text()

    def seconds(self) -> float:
        """Return its processor time so far."""
        return _seconds(self.process.pid)

    def pss_mib(self) -> float:
        """Return its share of memory."""
        rollup = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text()
        line = next(each for each in rollup.splitlines() if each.startswith("Pss:"))
        return int(line.split()[1]) / 1024


def _seconds(pid: int, *, ended: bool = False) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    own = fields[11:15] if ended else fields[11:13]
    return sum(int(ticks) for ticks in own) / os.sysconf("SC_CLK_TCK")


def address(container: str) -> str:
    """Return a container's own address: the house's services do not go through the engine's proxy either."""
    shape = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}"
    return docker("inspect", "-f", shape, container).split()[0]


@contextmanager
def open_house(pg: Postgres, valkey: Any, callers: Any, folder: Path) -> Iterator[House]:
    """Start embedder, gateway and memory; end them when the block ends."""
    boxes: list[str] = []
    try:
        embedder = _container("embedder", boxes)
        gateway = _container(
            "model-gateway",
            boxes,
            *("-e", f"LARES_EMBEDDER_URL={embedder}"),
            *("-e", "LARES_LOCAL_LLM_URL=http://127.0.0.1:9"),
            *("-v", f"{ROOT}/inference/models.yaml:/etc/lares/models.yaml:ro"),
        )
        with _service(pg, valkey, callers, gateway, folder) as (url, pid, env):
            password = valkey.password("memory_worker")
            yield House(pg, gateway, embedder, url, pid, env, password)
    finally:
        for box in boxes:
            docker("rm", "-f", "-v", box, check=False)


@contextmanager
def _service(
    pg: Postgres, valkey: Any, callers: Any, gateway: str, folder: Path
) -> Iterator[tuple[str, int, dict[str, str]]]:
    told = {
        "db_password": pg.password("svc_memory"),
        "valkey_password": valkey.password("memory"),
        "sacred_data_key": base64.b64encode(secrets.token_bytes(32)).decode(),
        "caller_public_key": callers.public_key_pem,
    }
    for name, secret in told.items():
        (folder / name).write_text(secret)
    port = _free_port()
    env = {
        "PYTHONPATH": os.pathsep.join(str(path) for path in sorted(ROOT.glob("services/*/src"))),
        "LARES_SECRETS_DIR": str(folder),
        "LARES_HEARTBEAT": str(folder / "heartbeat"),
        "LARES_POSTGRES_HOST": address(pg.container.name),
        "LARES_POSTGRES_PORT": "5432",
        "LARES_VALKEY_HOST": address(valkey.container.name),
        "LARES_VALKEY_PORT": "6379",
        "LARES_MODEL_GATEWAY_URL": gateway,
        "LARES_BIND": "127.0.0.1",
        "LARES_PORT": str(port),
    }
    log = folder / "log"
    with log.open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "memory"], env={**os.environ, **env}, stdout=out, stderr=out
        )
    try:
        wait_until(lambda: _answers(f"http://127.0.0.1:{port}/healthz"), log.read_text)
        yield f"http://127.0.0.1:{port}", process.pid, env
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def _container(service: str, boxes: list[str], *arguments: str) -> str:
    name, uid, port = f"t-lares-bench-{service}-{secrets.token_hex(3)}", UIDS[service], _free_port()
    boxes.append(name)
    docker(
        *("run", "-d", "--name", name, "--label", f"{LABEL}={os.getpid()}", "--network", "host"),
        *("--user", f"{uid}:{uid}", "--read-only", "--tmpfs", f"/run/lares:uid={uid}"),
        *("-e", "LARES_BIND=127.0.0.1", "-e", f"LARES_PORT={port}", *arguments, newest(service)),
    )
    url = f"http://127.0.0.1:{port}"
    wait_until(lambda: _answers(f"{url}/readyz"), lambda: docker("logs", name))
    return url


def _answers(url: str) -> bool:
    try:
        return urllib.request.urlopen(url, timeout=2).status == 200
    except OSError:
        return False


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
