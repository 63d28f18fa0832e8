"""Settings -> engine, cards, catalogue -> node -> server: the only wiring."""

from kit import logs
from kit.settings import load

from node_agent.settings import Settings


def main() -> None:
    """Serve until SIGTERM."""
    settings = load(Settings)
    logs.setup("node-agent", settings.log_level)


if __name__ == "__main__":
    main()
