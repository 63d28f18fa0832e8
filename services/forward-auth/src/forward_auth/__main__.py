"""Settings -> policy -> serve. The only wiring."""

from __future__ import annotations

from kit import logs
from kit.http import serve
from kit.settings import load

from forward_auth import policy
from forward_auth.app import build
from forward_auth.settings import Settings

log = logs.get(__name__)
EXIT_CONFIG = 78


def main() -> int:
    """Start forward-auth; returns the exit status."""
    settings = load(Settings)
    logs.setup("forward-auth", settings.log_level)
    try:
        rules = policy.load(settings.policy_file)
    except policy.PolicyError as error:
        log.error("policy.refused", reason=str(error))
        return EXIT_CONFIG
    serve(build(settings, rules), settings)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
