"""Start the dashboard's backend."""

from kit import logs
from kit.http import serve
from kit.settings import load

from dashboard.app import build
from dashboard.settings import Settings


def main() -> None:
    """Read the settings, wire the parts, serve."""
    settings = load(Settings)
    logs.setup("dashboard", settings.log_level)
    serve(build(settings), settings)


if __name__ == "__main__":
    main()
