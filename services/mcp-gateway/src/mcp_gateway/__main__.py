"""Settings -> run: the only wiring."""

from __future__ import annotations

import os

from kit import logs
from kit.http import serve
from kit.settings import load

from mcp_gateway.settings import Settings


def main() -> None:
    """Serve until SIGTERM."""
    settings = load(Settings)
    # Read when the library is imported: no settings of its own from a file, no second log, no colours.
    os.environ["FASTMCP_ENV_FILE"] = os.devnull
    os.environ["FASTMCP_LOG_ENABLED"] = "false"
    from mcp_gateway.app import build

    logs.setup("mcp-gateway", settings.log_level)
    serve(build(settings), settings)


if __name__ == "__main__":
    main()
