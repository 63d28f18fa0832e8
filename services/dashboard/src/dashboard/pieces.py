"""The next piece of a stream that may end in three ways: by itself, by its source's failure, by its session's end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from dashboard.errors import AnswerInterrupted, SessionEnded
from dashboard.streams import Session


async def next_piece(
    pieces: AsyncIterator[bytes], ended: asyncio.Task[bool], session: Session
) -> bytes | None:
    """Return the next piece, or None at the end. Raises SessionEnded, AnswerInterrupted."""
    import httpx

    reading = asyncio.ensure_future(anext(pieces, None))
    try:
        await asyncio.wait({reading, ended}, return_when=asyncio.FIRST_COMPLETED)
        if ended.done():
            # Told to end without the session being over: this service is stopping.
            raise SessionEnded() if session.over else AnswerInterrupted()
        return await reading
    except httpx.TransportError:
        raise AnswerInterrupted() from None
    finally:
        if not reading.done():
            reading.cancel()
            await asyncio.wait({reading})
