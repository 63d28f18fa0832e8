"""settings -> model -> run: the only wiring."""

from kit import logs
from kit.errors import KitError
from kit.http import serve
from kit.settings import EXIT_CONFIG, load

from transcriber.app import build
from transcriber.settings import Settings

log = logs.get(__name__)


def main() -> None:
    """Serve until SIGTERM. A model that cannot be run exits with 78."""
    settings = load(Settings)
    logs.setup("transcriber", settings.log_level)
    try:
        app = build(settings)
    except KitError as error:
        log.error("model.refused", code=error.code, reason=error.reason, fix=error.fix)
        raise SystemExit(EXIT_CONFIG) from error
    serve(app, settings)


if __name__ == "__main__":
    main()
