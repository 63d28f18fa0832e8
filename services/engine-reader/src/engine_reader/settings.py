"""What the reader can be told."""

from dataclasses import dataclass
from pathlib import Path

from kit.settings import CommonSettings, setting


@dataclass(frozen=True, kw_only=True)
class Settings(CommonSettings):
    """Whose containers it reads, from where, and how often."""

    project: str = setting(
        "LARES_PROJECT", help="Compose project whose containers are read; no other's are."
    )
    socket_path: Path = setting(
        "LARES_ENGINE_SOCKET", default=Path("/run/docker.sock"), help="The engine's socket."
    )
    cgroup_path: Path = setting(
        "LARES_CGROUP_PATH",
        default=Path("/host/cgroup"),
        help="The host's control groups, mounted read-only: memory and CPU are read there.",
    )
    snapshot_path: Path = setting(
        "LARES_SNAPSHOT_PATH",
        default=Path("/snapshot/containers.json"),
        help="File that is replaced with each reading.",
    )
    every_seconds: float = setting(
        "LARES_SNAPSHOT_SECONDS", default=5.0, help="Seconds between two readings."
    )
