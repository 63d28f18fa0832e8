"""What forward-auth is told at its start."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kit.settings import HttpSettings, secret, setting


@dataclass(frozen=True, kw_only=True)
class Settings(HttpSettings):
    """Read once by `__main__`."""

    host: str = setting("LARES_HOST", help="Name people open the house under.")
    https_port: int = setting(
        "LARES_HTTPS_PORT", default=443, help="Port the house is published on for HTTPS."
    )
    postgres_host: str = setting("LARES_POSTGRES_HOST", help="Address of Postgres.")
    postgres_port: int = setting("LARES_POSTGRES_PORT", default=5432, help="Port of Postgres.")
    policy_file: Path = setting(
        "LARES_POLICY_FILE",
        default=Path("/etc/lares/policy.yaml"),
        help="Which paths ask for what.",
    )
    cache_ms: int = setting(
        "LARES_DECISION_CACHE_MS",
        default=3000,
        help="How long an allowed read is remembered while revocations are heard; 0 never.",
    )
    db_password: str = secret("db_password", help="Password of the login role svc_forward_auth.")
    caller_signing_key: str = secret(
        "caller_signing_key", help="Ed25519 key (PEM) that signs callers; nobody else has it."
    )

    @property
    def authority(self) -> str:
        """The host a browser sends, with its port unless that is the usual one."""
        return self.host if self.https_port == 443 else f"{self.host}:{self.https_port}"
