"""Start the registry."""

from kit import logs
from kit.http import serve
from kit.settings import load

from state_registry.app import build
from state_registry.settings import Settings


def main() -> None:
    """Read the settings, wire the parts, serve."""
    settings = load(Settings)
    logs.setup("state-registry", settings.log_level)
    serve(build(settings), settings)


if __name__ == "__main__":
    main()
