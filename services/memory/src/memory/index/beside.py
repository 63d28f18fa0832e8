"""Working while Postgres works."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

Told = TypeVar("Told")
Done = TypeVar("Done")


async def beside(
    asked: Coroutine[Any, Any, Told], meanwhile: Callable[[], Done]
) -> tuple[Told, Done]:
    """Return what was asked of Postgres, and what was worked out while it was busy with that."""
    waiting = asyncio.ensure_future(asked)
    try:
        done = await after_sending(meanwhile)
    finally:
        # Also when that failed: a connection with a statement under way can be given to nobody.
        told = await waiting
    return told, done


async def after_sending(work: Callable[[], Done]) -> Done:
    """Do the work once what is being asked at this moment is on its way."""
    # One turn of the loop: the driver writes when its task first runs.
    await asyncio.sleep(0)
    return work()
