"""Server-sent events on the wire."""

import json
from typing import Any

# `no-transform` and the accelerator header keep any proxy from holding words back.
HEADERS = {"Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no"}


def encode(name: str, data: Any) -> bytes:
    """Return one event. JSON has no raw line ends, so that no data can begin an event of its own."""
    return f"event: {name}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n".encode()
