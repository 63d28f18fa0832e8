"""Told to stop, the backend stops: open streams do not hold it up."""

import asyncio
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

import httpx


async def test_an_open_tab_does_not_hold_up_a_stop(caller_factory: Any, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    secrets = {"valkey_password": "none", "caller_public_key": caller_factory.public_key_pem}
    for name, value in secrets.items():
        (tmp_path / name).write_text(value)
    nobody = "http://127.0.0.1:9"
    addresses = (
        "MEMORY",
        "ORCHESTRATOR",
        "MODEL_GATEWAY",
        "STATE_REGISTRY",
        "GPU_SCHEDULER",
        "FORWARD_AUTH",
    )
    env = {f"LARES_{name}_URL": nobody for name in addresses}
    env |= {
        "LARES_BIND": "127.0.0.1",
        "LARES_PORT": str(port),
        "LARES_VALKEY_HOST": "127.0.0.1",
        "LARES_VALKEY_PORT": "9",
        "LARES_SECRETS_DIR": str(tmp_path),
        "LARES_HEARTBEAT": str(tmp_path / "heartbeat"),
        "PYTHONPATH": ":".join(path for path in sys.path if path),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "dashboard", env=env, stdout=asyncio.subprocess.DEVNULL
    )
    base_url = f"http://127.0.0.1:{port}"
    async with asyncio.timeout(30), httpx.AsyncClient(base_url=base_url) as client:
        while True:
            try:
                await client.get("/healthz")
                break
            except httpx.ConnectError:
                await asyncio.sleep(0.1)
        headers = caller_factory().headers
        async with client.stream("GET", "/api/events", headers=headers) as response:
            assert b"hello" in await anext(response.aiter_raw())
            begun = time.monotonic()
            process.send_signal(signal.SIGTERM)
            await process.wait()
    assert time.monotonic() - begun < 4
