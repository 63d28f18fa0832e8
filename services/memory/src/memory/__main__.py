"""Settings -> dependencies -> run: the only wiring. `python -m memory` serves, `python -m memory worker` embeds,
`python -m memory consolidator` moves memories between the levels, `python -m memory reindex` makes the index of words anew.
"""

from __future__ import annotations

import sys

from kit import logs
from kit.errors import KitError
from kit.settings import EXIT_CONFIG, load

log = logs.get(__name__)


def main(arguments: list[str]) -> None:
    """Serve over HTTP, work off the queue, or consolidate, until SIGTERM. A data key that is none exits with 78."""
    processes = {"": _serve, "worker": _work, "consolidator": _consolidate, "reindex": _reindex}
    process = processes.get(" ".join(arguments))
    if process is None:
        raise SystemExit("usage: python -m memory [worker|consolidator|reindex]")
    try:
        process()
    except KitError as error:
        log.error("memory.refused", code=error.code, reason=error.reason, fix=error.fix)
        raise SystemExit(EXIT_CONFIG) from error


def _serve() -> None:
    # Each process imports only what it runs: the worker has no HTTP server, the service no Celery.
    from kit.http import serve

    from memory.app import build
    from memory.settings import Settings

    settings = load(Settings)
    logs.setup("memory", settings.log_level)
    serve(build(settings), settings)


def _work() -> None:
    from memory.settings import WorkerSettings
    from memory.writing.worker import run

    settings = load(WorkerSettings)
    logs.setup("memory-worker", settings.log_level)
    raise SystemExit(run(settings))


def _consolidate() -> None:
    from memory.levels.consolidator import run
    from memory.settings import ConsolidatorSettings

    settings = load(ConsolidatorSettings)
    logs.setup("consolidator", settings.log_level)
    raise SystemExit(run(settings))


def _reindex() -> None:
    from memory.index.upkeep import run
    from memory.settings import StoreSettings

    settings = load(StoreSettings)
    logs.setup("memory-reindex", settings.log_level)
    raise SystemExit(run(settings))


if __name__ == "__main__":
    main(sys.argv[1:])
