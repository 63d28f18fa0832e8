"""One process: a WSGI server with a few threads, a heartbeat while the database answers, and housekeeping."""

from __future__ import annotations

import os
import signal
import threading
import time
from types import FrameType
from typing import Any

from kit import logs
from kit.http import check_bind

from identity.config import BODY_BYTES_MAX, HEADER_BYTES_MAX
from identity.settings import Settings

log = logs.get(__name__)
BEAT_SECONDS = 10.0
RETRY_SECONDS = 1.0
HOUSEKEEPING_SECONDS = 600.0


def database_answers() -> bool:
    """Whether Postgres takes a statement now."""
    from django.db import DatabaseError, InterfaceError, connection

    try:
        connection.close_if_unusable_or_obsolete()
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except (DatabaseError, InterfaceError):
        connection.close()
        return False
    return True


def tidy() -> None:
    """Delete what has expired: sessions, counters, used codes. Letters and tokens stay, they are history."""
    from django.utils import timezone

    from identity import regulation
    from identity.house.models import Session

    ended, _ = Session.objects.filter(expire_date__lt=timezone.now()).delete()
    log.info("housekeeping.done", sessions_expired=ended, buckets_stale=regulation.forget_stale())


class Background(threading.Thread):
    """Touches the heartbeat while ready, and tidies now and then."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(name="background", daemon=True)
        self._path = settings.heartbeat_path
        self._stop = threading.Event()
        self._ready: bool | None = None

    def run(self) -> None:
        """Run until `stop`."""
        next_tidy = time.monotonic() + 60
        while not self._stop.is_set():
            ready = database_answers()
            if ready:
                self._touch()
                if time.monotonic() >= next_tidy:
                    self._tidy()
                    next_tidy = time.monotonic() + HOUSEKEEPING_SECONDS
            if ready != self._ready:
                (log.info if ready else log.warning)(
                    "health.ready" if ready else "health.not_ready"
                )
                self._ready = ready
            self._stop.wait(BEAT_SECONDS if ready else RETRY_SECONDS)

    def stop(self) -> None:
        """End the thread and remove the heartbeat."""
        self._stop.set()
        self._path.unlink(missing_ok=True)

    def _touch(self) -> None:
        try:
            self._path.touch()
        except OSError as error:
            log.exception("health.heartbeat_unwritable", error)

    def _tidy(self) -> None:
        from django.db import DatabaseError, InterfaceError

        try:
            tidy()
        except (DatabaseError, InterfaceError) as error:
            log.exception("housekeeping.failed", error)


def run(settings: Settings, application: Any) -> None:
    """Serve until SIGTERM; running requests get `stop_seconds` to finish."""
    import waitress.server

    check_bind(settings.bind)
    background = Background(settings)
    server = waitress.server.create_server(
        application,
        listen=f"{settings.bind}:{settings.port}",
        threads=settings.threads,
        connection_limit=settings.connections_max,
        backlog=128,
        channel_timeout=60,
        cleanup_interval=15,
        max_request_header_size=HEADER_BYTES_MAX,
        max_request_body_size=BODY_BYTES_MAX,
        # Bodies up to the limit stay in memory: the root file system is read-only.
        inbuf_overflow=BODY_BYTES_MAX * 2,
        outbuf_overflow=4 * 1024 * 1024,
        # The edge's headers are read by Django itself (identity.client), from the edge's address alone.
        clear_untrusted_proxy_headers=False,
        ident="lares",
    )

    def stop(number: int, frame: FrameType | None) -> None:
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    background.start()
    log.info("service.started", bind=settings.bind, port=settings.port, pid=os.getpid())
    try:
        # Returns at SystemExit, after its threads have finished what they were doing.
        server.run()
    finally:
        background.stop()
        server.close()
        log.info("service.stopped")
