"""Settings -> Django -> serve, or one command. The only wiring."""

from __future__ import annotations

import logging
import sys

from kit import logs
from kit.errors import KitError
from kit.settings import load

from identity import config
from identity.settings import Settings


def main() -> int:
    """Start identity; returns the exit status."""
    settings = load(Settings)
    config.configure(settings)
    from identity import cli

    arguments = cli.parser().parse_args()
    if arguments.command:
        logs.setup("identity", "WARNING", stream=sys.stderr)
        try:
            return cli.main(arguments)
        except KitError as error:
            print(f"{error.reason} {error.fix}", file=sys.stderr)
            return 1
    logs.setup("identity", settings.log_level)
    # One line per refused request would say nothing that the audit and the metrics do not.
    logging.getLogger("django.request").setLevel(logging.ERROR)
    logging.getLogger("django.security").setLevel(logging.ERROR)
    from django.core.wsgi import WSGIHandler

    from identity.serve import run

    run(settings, WSGIHandler())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
