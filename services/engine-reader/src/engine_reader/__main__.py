"""Read the engine until told to stop."""

import signal
import threading

from kit import logs
from kit.clock import Clock
from kit.settings import load

from engine_reader.cgroup import Cgroups
from engine_reader.engine import Engine
from engine_reader.reader import Reader
from engine_reader.settings import Settings


def main() -> None:
    """Wire the parts and read at a steady pace."""
    settings = load(Settings)
    logs.setup("engine-reader", settings.log_level)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    reader = Reader(
        Engine(settings.socket_path, settings.project),
        Cgroups(settings.cgroup_path),
        settings.snapshot_path,
        settings.heartbeat_path,
        Clock(),
    )
    while not stop.is_set():
        reader.beat()
        stop.wait(settings.every_seconds)


if __name__ == "__main__":
    main()
