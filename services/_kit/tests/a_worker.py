"""A worker of the tests, started as a process: it writes what it does to a file, which outlives a SIGKILL."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

from celery import signals
from kit import logs
from kit.bus import Broker
from kit.health import Health
from kit.worker import celery_app, job, serve

done = Path(os.environ["TEST_DONE"])
app = celery_app(
    "memory",
    Broker(
        os.environ["TEST_HOST"],
        "memory_worker",
        os.environ["TEST_PASSWORD"],
        int(os.environ["TEST_PORT"]),
    ),
    pool=os.environ.get("TEST_POOL", "threads"),
    visibility_s=int(os.environ.get("TEST_VISIBILITY", "40")),
    restore_s=1,
    concurrency=1,
)


if "TEST_DEAF" in os.environ:
    app.stalled_s = 5.0

    @signals.worker_ready.connect(weak=False)
    def deaf(sender: Any, **_: Any) -> None:
        """Take nothing any more, with a loop that turns: as after a connection that broke unheard."""
        sender.cancel_task_queue("jobs")


def write(line: str) -> None:
    with done.open("a") as file:
        file.write(line + "\n")


@job(app, "test.quick", tries_max=2, seconds_max=1)
async def quick(memory_id: str) -> None:
    write(f"quick {memory_id}")


@job(app, "test.slow", tries_max=2, seconds_max=5)
async def slow(memory_id: str) -> None:
    write(f"begun {memory_id}")
    await asyncio.sleep(float(os.environ.get("TEST_SLOW", "0")))
    write(f"ended {memory_id}")


@job(app, "test.failing", tries_max=3, seconds_max=1)
async def failing(memory_id: str) -> None:
    write(f"failing {memory_id}")
    raise ValueError("CANARY in an error")


@job(app, "test.hanging", tries_max=1, seconds_max=1)
async def hanging(memory_id: str) -> None:
    write(f"hanging {memory_id}")
    await asyncio.sleep(3600)


@contextlib.asynccontextmanager
async def lifespan() -> AsyncGenerator[None]:
    write("opened")
    yield
    write("closed")


if __name__ == "__main__":
    logs.setup("memory")
    health = Health("memory-worker", Path(os.environ["TEST_BEAT"]))
    sys.exit(serve(app, lifespan, health=health))
