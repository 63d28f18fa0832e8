"""Ask the host to suspend. The agent has no right to do it: it touches a file that a unit of the host waits for.

`gpu-node/host/` holds that unit; without it, or with suspending switched off, the file means nothing.
"""

from __future__ import annotations

from pathlib import Path

from kit import logs
from kit.errors import KitError

log = logs.get(__name__)


class SuspendFailed(KitError):
    """The host was not asked; the node stays awake."""

    code, status = "node.suspend_failed", 503
    reason = "The host could not be asked to suspend."
    fix = "Look whether gpu-node's folder for the host is mounted, and at `make status` there."


def suspend(path: Path) -> None:
    """Ask the host to suspend the machine. It does so a few seconds later. Raises SuspendFailed."""
    beside = path.with_name(f".{path.name}")
    try:
        beside.write_bytes(b"")
        # A rename is what the host's watcher sees, also when the file is there from the last time.
        beside.replace(path)
    except OSError as error:
        raise SuspendFailed(f"The host could not be asked to suspend: {error.strerror}.") from None
    log.info("node.suspend_asked")
