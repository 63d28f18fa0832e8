"""JSON Lines: one memory a line, written and read without ever holding more than one."""

from __future__ import annotations

import json
from collections.abc import AsyncIterable, AsyncIterator
from typing import Any

from memory.exchange.values import BadRecord

# Eight thousand characters may take six bytes each, and a merged memory brings further texts.
LINE_BYTES_MAX = 1024 * 1024


def line(plain: dict[str, Any]) -> bytes:
    """Return one line, ended."""
    return json.dumps(plain, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def parse(raw: bytes) -> dict[str, Any]:
    """Return the object on a line. Raises BadRecord."""
    try:
        plain = json.loads(raw)
    except (ValueError, RecursionError):
        raise BadRecord("not_json") from None
    if not isinstance(plain, dict):
        raise BadRecord("not_an_object")
    return plain


async def lines(chunks: AsyncIterable[bytes]) -> AsyncIterator[tuple[int, bytes | None]]:
    """Yield each line with its number; None stands for one that was too long and was passed over."""
    number, held, skipping = 1, bytearray(), False
    async for chunk in chunks:
        start = 0
        while start < len(chunk):
            end = chunk.find(b"\n", start)
            stop = len(chunk) if end < 0 else end
            if not skipping:
                held += chunk[start:stop]
                if len(held) > LINE_BYTES_MAX:
                    skipping = True
                    held.clear()
            if end < 0:
                break
            yield number, None if skipping else bytes(held)
            number, skipping, start = number + 1, False, end + 1
            held.clear()
    if held or skipping:
        yield number, None if skipping else bytes(held)
