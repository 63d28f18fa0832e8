"""Stops work for a client that has gone: nobody reads the answer, and a model is working on it."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.types import Receive

T = TypeVar("T")


class ClientGone(Exception):
    """The client closed its connection before the answer's end."""


async def until_gone(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """Return what `work` returns. Cancels it and raises ClientGone when the client goes first.

    The request's body must have been read: what is received here can then only be the farewell.
    """
    working = asyncio.create_task(work)
    leaving = asyncio.create_task(_farewell(receive))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ClientGone
    finally:
        for task in (working, leaving):
            task.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _farewell(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
