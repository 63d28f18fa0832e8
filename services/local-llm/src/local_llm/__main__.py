"""settings -> server -> heartbeat until SIGTERM: the only wiring."""

import signal
import threading
import time

from kit import logs
from kit.errors import KitError
from kit.settings import EXIT_CONFIG, load

from local_llm.cores import available_cores, choose_threads, quota_cores
from local_llm.server import Server
from local_llm.settings import Settings

log = logs.get(__name__)

HEARTBEAT_SECONDS = 10
DRAIN_POLL_SECONDS = 0.2


def beat(server: Server, settings: Settings, stopping: threading.Event) -> None:
    """Touch the heartbeat while the server answers, until `stopping`."""
    while True:
        if server.healthy():
            settings.heartbeat_path.touch()
        else:
            log.warning("server.unhealthy")
        if stopping.wait(HEARTBEAT_SECONDS):
            return


def drain(server: Server, seconds_max: float) -> None:
    """Wait until no request runs, at most `seconds_max`."""
    until = time.monotonic() + seconds_max
    while server.busy() and time.monotonic() < until:
        time.sleep(DRAIN_POLL_SECONDS)


def main() -> None:
    """Serve until SIGTERM or SIGINT, then let the running answers finish."""
    settings = load(Settings)
    logs.setup("local-llm", settings.log_level)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    try:
        server = Server(
            settings, choose_threads(settings.threads, available_cores(), quota_cores())
        )
    except KitError as error:
        log.error("model.refused", code=error.code, reason=error.reason, fix=error.fix)
        raise SystemExit(EXIT_CONFIG) from error
    beat(server, settings, stopping)
    drain(server, settings.stop_seconds)
    server.close()
    log.info("server.stopped")


if __name__ == "__main__":
    main()
