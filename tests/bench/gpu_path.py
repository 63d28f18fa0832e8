"""The way of a request over a GPU node, with every part of it real but the model: for the overhead bench.

clients -> model-gateway ==WebSocket==> gpu-scheduler, granted -> squid (CONNECT) -> node-agent (mutual TLS) -> upstream

The services are processes as their images start them, squid is the house's own image, Postgres and Valkey are real. The
engine that node-agent talks to is played, and its one container is the upstream of the bench, which listens already.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit.testing.data import Postgres

from tests.gpu.house import make_secrets
from tests.integration.inference.conftest import free_port, join, sign_node

from .processes import ROOT, process, raise_priority

NET = f"127.{90 + os.getpid() % 100}"
UPSTREAM_HOST, UPSTREAM_PORT = f"{NET}.0.6", 8000
PROXY_HOST = f"{NET}.255.3"
PROXY_IMAGE = f"lares/egress-proxy:{os.environ.get('LARES_VERSION', 'dev')}"
SLOTS = 256
NODE_MODEL = {
    "kind": "chat",
    "engine": "local-llm",
    "vram_mib": 1000,
    "asleep_mib": 0,
    "slots": SLOTS,
    "context_tokens": 8192,
    "sleep": {"method": "idle", "idle_seconds": 10},
}


@dataclass(frozen=True)
class GpuPath:
    """Where the gateway answers, and the processes that are on the way."""

    port: int
    pids: dict[str, int]


def _played_engine() -> Any:
    """The engine of node-agent's own tests; starting a container there is nothing but a note here."""
    file = ROOT / "services" / "node-agent" / "tests" / "played.py"
    spec = importlib.util.spec_from_file_location("played_for_the_bench", file)
    assert spec is not None
    assert spec.loader is not None
    played = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = played
    spec.loader.exec_module(played)

    class Engine(played.PlayedEngine):
        async def _start(self, _: Any, key: str) -> Any:
            self._find(key).state = "running"
            return played.web.Response(status=204)

    return Engine()


def _node_files(secrets: Path, folder: Path) -> None:
    """Write what a node has once it has joined: its key, its certificate, the house's authority."""
    private, certificate, authority = sign_node(secrets)
    folder.mkdir(mode=0o700)
    for name, content in (
        ("key.pem", private),
        ("node.pem", certificate),
        ("authority.pem", authority.encode()),
    ):
        (folder / name).write_bytes(content)
        (folder / name).chmod(0o600)


@contextlib.asynccontextmanager
async def squid(folder: Path) -> AsyncGenerator[int]:
    """The house's proxy on loopback; yields its process id."""
    folder.mkdir()
    folder.chmod(0o755)
    (folder / "acl.conf").write_text(
        "acl asker src 127.0.0.0/8\nacl node dst 127.0.0.1/32\nhttp_access allow CONNECT asker node\n"
    )
    (folder / "acl.conf").chmod(0o644)
    name = f"t-edge-proxy-{os.getpid()}"
    made = [
        *("docker", "run", "--rm", "--detach", "--name", name, "--network", "host", "--read-only"),
        *("--user", "10015:10015", "--env", f"LARES_BIND={PROXY_HOST}"),
        *("--tmpfs", "/run/squid:size=1m,uid=10015,gid=10015", "--tmpfs", "/tmp:size=16m"),
        *("--volume", f"{folder}:/etc/lares/egress:ro", PROXY_IMAGE),
    ]
    await asyncio.to_thread(subprocess.run, made, check=True, stdout=subprocess.DEVNULL)
    try:
        shown = ["docker", "inspect", "--format", "{{.State.Pid}}", name]
        pid = int(subprocess.check_output(shown))
        raise_priority(pid)
        async with asyncio.timeout(20):
            while True:
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection(PROXY_HOST, 3128)
                    writer.close()
                    break
                await asyncio.sleep(0.1)
        yield pid
    finally:
        subprocess.run(["docker", "rm", "--force", name], check=True, stdout=subprocess.DEVNULL)


def _settings(
    pg: Postgres, valkey: Any, secrets: Path, tmp_path: Path, node_port: int
) -> dict[str, dict[str, str]]:
    ports = {"scheduler": str(free_port()), "gateway": str(free_port())}
    shared = {
        "LARES_BIND": "127.0.0.1",
        "LARES_POSTGRES_HOST": pg.host,
        "LARES_POSTGRES_PORT": str(pg.port),
        "LARES_EGRESS_PROXY_URL": f"http://{PROXY_HOST}:3128",
        "LARES_CONNECTIONS_MAX": "1024",
        "LARES_WAKE_DIR": str(tmp_path),
    }
    return {
        "agent": {
            "LARES_BIND": "127.0.0.1",
            "LARES_PORT": str(node_port),
            "LARES_NODE": "forge",
            "LARES_NODE_TLS_DIR": str(tmp_path / "tls"),
            "LARES_NODE_MODELS": str(tmp_path / "node.yaml"),
            "LARES_NODE_WEIGHTS": str(tmp_path),
            "LARES_ENGINE_SOCKET": str(tmp_path / "engine.sock"),
            "LARES_CGROUP_PATH": str(tmp_path / "cgroup"),
            "LARES_NODE_CARDS": "simulated",
            "LARES_NODE_SIMULATED_CARDS": "sim-0:24576",
            "LARES_MODELS_NET": NET,
            "LARES_VERSION": "bench",
            "LARES_HEARTBEAT": str(tmp_path / "heartbeat-agent"),
        },
        "scheduler": {
            **shared,
            "LARES_PORT": ports["scheduler"],
            "LARES_SECRETS_DIR": str(secrets / "gpu-scheduler"),
            "LARES_HEARTBEAT": str(tmp_path / "heartbeat-scheduler"),
            "LARES_VALKEY_HOST": valkey.host,
            "LARES_VALKEY_PORT": str(valkey.port),
            "LARES_SCHEDULING_FILE": str(ROOT / "inference" / "scheduling.yaml"),
            "LARES_CADDY_ADDRESS": "10.89.32.3",
        },
        "gateway": {
            **shared,
            "LARES_PORT": ports["gateway"],
            "LARES_SECRETS_DIR": str(secrets / "model-gateway"),
            "LARES_HEARTBEAT": str(tmp_path / "heartbeat-gateway"),
            "LARES_MODELS_FILE": str(tmp_path / "models.yaml"),
            "LARES_GPU_SCHEDULER_URL": f"http://127.0.0.1:{ports['scheduler']}",
        },
    }


@contextlib.asynccontextmanager
async def gpu_path(
    pg: Postgres, valkey: Any, public_key: str, tmp_path: Path
) -> AsyncGenerator[GpuPath]:
    """All of it, the model resident. The upstream must listen on UPSTREAM_HOST already."""
    secrets = make_secrets(tmp_path / "state")
    for service, login in (
        ("gpu-scheduler", "svc_gpu_scheduler"),
        ("model-gateway", "svc_model_gateway"),
    ):
        (secrets / service / "db_password").write_text(pg.password(login))
        (secrets / service / "caller_public_key").write_text(public_key)
    (secrets / "gpu-scheduler" / "valkey_password").write_text(valkey.password("gpu_scheduler"))
    _node_files(secrets, tmp_path / "tls")
    (tmp_path / "node.yaml").write_text(json.dumps({"version": 1, "models": {"small": NODE_MODEL}}))
    model = {
        "kind": "chat",
        "context_tokens": 8192,
        "output_tokens_max": 4096,
        "routes": [{"gpu": "small"}],
    }
    # The file must name a backend; no model has a way to this one.
    nobody = {"url": "http://127.0.0.1:1/v1", "in_house": True}
    (tmp_path / "models.yaml").write_text(
        json.dumps({"version": 1, "backends": {"nobody": nobody}, "models": {"small": model}})
    )
    engine, node_port = _played_engine(), free_port()
    engine.images["lares/local-llm:bench"] = "sha256:1"
    await join(pg, node_port)
    settings = _settings(pg, valkey, secrets, tmp_path, node_port)
    async with contextlib.AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(squid(tmp_path / "egress"))
        await stack.enter_async_context(engine.serving(tmp_path / "engine.sock"))
        pids = {"egress_proxy": proxy}
        for name, module in (
            ("agent", "node_agent"),
            ("scheduler", "gpu_scheduler"),
            ("gateway", "model_gateway"),
        ):
            running = stack.enter_context(
                process("-m", module, log=tmp_path / f"{name}.log", env=settings[name])
            )
            pids["node_agent" if name == "agent" else name] = running.pid
        port = int(settings["gateway"]["LARES_PORT"])
        try:
            await asyncio.to_thread(_answered, port)
        except RuntimeError as error:
            for name in settings:
                error.add_note((tmp_path / f"{name}.log").read_text()[-3000:])
            raise
        yield GpuPath(port, pids)


def _answered(port: int) -> None:
    """Return once a request was answered by the node: all is connected and the model resident."""
    body = {"model": "small", "messages": [{"role": "user", "content": "x"}], "max_tokens": 1}
    asked = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/chat/completions",
        json.dumps({**body, "stream": True}).encode(),
        {"content-type": "application/json", "x-lares-class": "interactive"},
    )
    until, last = time.monotonic() + 60, ""
    while time.monotonic() < until:
        try:
            with urllib.request.urlopen(asked, timeout=20) as answer:
                last = answer.read().decode()
                if "[DONE]" in last:
                    return
        except urllib.error.HTTPError as error:
            last = error.read().decode()
        except OSError as error:
            last = repr(error)
        time.sleep(0.3)
    raise RuntimeError(last)
