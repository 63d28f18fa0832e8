"""A port for a process of a test."""

from __future__ import annotations

import secrets
import socket

# Below the ports that systems hand out by themselves: between the choice and the start of whoever listens there, no
# connection that somebody else opens can take it.
FIRST, LAST = 20_000, 29_999
TRIES = 100


def free_port() -> int:
    """Return a loopback port on which nobody listens."""
    for _ in range(TRIES):
        port = FIRST + secrets.randbelow(LAST - FIRST + 1)
        with socket.socket() as listener:
            # As whoever listens there will: one that is only waiting to be forgotten is free.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no port is free")
