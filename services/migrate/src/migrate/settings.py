"""What a run is told: where Postgres is, who may log in, how long to wait."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kit.settings import CommonSettings, secret, setting


@dataclass(frozen=True, kw_only=True)
class Settings(CommonSettings):
    """Read from the environment and the secret files; see docs/settings.md."""

    postgres_host: str = setting("LARES_POSTGRES_HOST", help="Address of Postgres.")
    postgres_port: int = setting("LARES_POSTGRES_PORT", default=5432, help="Port of Postgres.")
    folder: Path = setting(
        "LARES_MIGRATIONS_DIR",
        default=Path("/srv/migrations"),
        help="Folder of the numbered SQL files.",
    )
    wait_s: float = setting(
        "LARES_MIGRATE_WAIT_S", default=60.0, help="How long to wait for Postgres to answer."
    )
    busy_wait_s: float = setting(
        "LARES_MIGRATE_BUSY_WAIT_S", default=120.0, help="How long to wait for another run to end."
    )
    lock_timeout_ms: int = setting(
        "LARES_MIGRATE_LOCK_TIMEOUT_MS",
        default=3000,
        help="How long one statement waits for a table's lock.",
    )
    lock_tries: int = setting(
        "LARES_MIGRATE_LOCK_TRIES",
        default=8,
        help="How often a file that met a locked table is tried.",
    )
    superuser_password: str = secret("superuser_password", help="Password of the role postgres.")
    password_svc_migrate: str = secret(
        "db_password_svc_migrate", help="Password to give svc_migrate."
    )
    password_svc_identity: str = secret(
        "db_password_svc_identity", help="Password to give svc_identity."
    )
    password_svc_forward_auth: str = secret(
        "db_password_svc_forward_auth", help="Password to give svc_forward_auth."
    )
    password_svc_memory: str = secret("db_password_svc_memory", help="Password to give svc_memory.")
    password_svc_orchestrator: str = secret(
        "db_password_svc_orchestrator", help="Password to give svc_orchestrator."
    )
    password_svc_model_gateway: str = secret(
        "db_password_svc_model_gateway", help="Password to give svc_model_gateway."
    )
    password_svc_gpu_scheduler: str = secret(
        "db_password_svc_gpu_scheduler", help="Password to give svc_gpu_scheduler."
    )

    def passwords(self) -> Mapping[str, str]:
        """Return each login role's password by the role's name."""
        prefix = "password_"
        return {
            name.removeprefix(prefix): getattr(self, name)
            for name in type(self).__dataclass_fields__
            if name.startswith(prefix)
        }
