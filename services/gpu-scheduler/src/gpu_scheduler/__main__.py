"""Start the scheduler."""

from kit import logs
from kit.errors import KitError
from kit.http import serve
from kit.settings import EXIT_CONFIG, load

from gpu_scheduler.app import SERVICE, build
from gpu_scheduler.policy import read
from gpu_scheduler.settings import Settings

# A hello names at most 2048 requests.
MESSAGE_BYTES_MAX = 4 * 1024 * 1024


def main() -> None:
    """Read the settings and the policy, wire the parts, serve."""
    settings = load(Settings)
    logs.setup(SERVICE, settings.log_level)
    try:
        read(settings.scheduling_file)
    except KitError as error:
        logs.get(__name__).error("policy.refused", code=error.code, reason=error.reason)
        raise SystemExit(EXIT_CONFIG) from error
    serve(build(settings), settings, websocket_bytes_max=MESSAGE_BYTES_MAX)


if __name__ == "__main__":
    main()
