"""Wake a GPU node. No container has a way to the home network's broadcast, and none gets one for this.

A file named for the node is touched in a folder that the host looks into (setup/gpu-wake.sh); the host alone knows the
hardware address, and sends one magic packet. See docs/adr/0025-the-link-to-the-gpu-node.md.
"""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from kit import logs
from kit.errors import KitError

log = logs.get(__name__)

_NAME = re.compile(r"^[a-z][a-z0-9-]{0,30}$")


class WakeFailed(KitError):
    code, status = "inference.wake_failed", 503
    reason = "The host could not be asked to wake the GPU node."
    fix = "Look whether the volume gpu-wake is mounted; then wake the node by hand."


class Waker:
    """Asks the host to wake nodes. Only nodes whose hardware address the owner gave are ever asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def wake(self, node: str) -> None:
        """Ask for one packet to `node`. Raises WakeFailed. That it was sent says nothing about whether the node wakes."""
        if not _NAME.fullmatch(node):
            raise WakeFailed("A node of this name cannot be woken.")
        try:
            await asyncio.to_thread(self._touch, node)
        except OSError as error:
            raise WakeFailed(f"The host could not be asked: {error.strerror}.") from None
        log.info("node.wake_asked", node=node)

    def _touch(self, node: str) -> None:
        beside = self._folder / f".{node}"
        beside.write_bytes(b"")
        # A rename is what the host's watcher sees, also for a name that is there already.
        beside.replace(self._folder / node)
