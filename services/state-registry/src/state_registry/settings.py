"""What the registry can be told."""

from dataclasses import dataclass
from pathlib import Path

from kit.settings import HttpSettings, secret, setting


@dataclass(frozen=True, kw_only=True)
class Settings(HttpSettings):
    """Where the readings are, and when one is too old to believe."""

    snapshot_path: Path = setting(
        "LARES_SNAPSHOT_PATH",
        default=Path("/snapshot/containers.json"),
        help="File that engine-reader replaces with each reading.",
    )
    services_path: Path = setting(
        "LARES_SERVICES_PATH",
        default=Path("/etc/lares/services"),
        help="Folder of the services' own descriptions (service.yaml): their domains and budgets.",
    )
    stale_seconds: float = setting(
        "LARES_STALE_SECONDS", default=30.0, help="Age from which a reading is called stale."
    )
    valkey_host: str = setting("LARES_VALKEY_HOST", help="Address of Valkey.")
    valkey_port: int = setting("LARES_VALKEY_PORT", default=6379, help="Port of Valkey.")
    valkey_password: str = secret("valkey_password", help="Password of the registry's Valkey user.")
    caller_public_key: str = secret(
        "caller_public_key", help="PEM public key that caller tokens are verified with."
    )
