"""What gpu-scheduler can be told."""

from dataclasses import dataclass
from pathlib import Path

from kit.settings import HttpSettings, secret, setting


@dataclass(frozen=True, kw_only=True)
class Settings(HttpSettings):
    """Where its neighbours are, the file of its policy, and the off switch."""

    postgres_host: str = setting("LARES_POSTGRES_HOST", help="Address of Postgres.")
    postgres_port: int = setting("LARES_POSTGRES_PORT", default=5432, help="Port of Postgres.")
    valkey_host: str = setting("LARES_VALKEY_HOST", help="Address of Valkey.")
    valkey_port: int = setting("LARES_VALKEY_PORT", default=6379, help="Port of Valkey.")
    egress_proxy_url: str = setting(
        "LARES_EGRESS_PROXY_URL",
        help="The proxy that connections to GPU nodes go through, by CONNECT.",
    )
    scheduling_file: Path = setting(
        "LARES_SCHEDULING_FILE",
        default=Path("/etc/lares/scheduling.yaml"),
        help="File of the policy: classes, queue limits, margins, what a switch must be worth.",
    )
    disabled: bool = setting(
        "LARES_GPU_SCHEDULER_DISABLED",
        default=False,
        help="Off switch of all GPU scheduling: nothing is started or granted, every ask is refused at once.",
    )
    grace_seconds: float = setting(
        "LARES_GATEWAY_GRACE_SECONDS",
        default=2.0,
        help="How long a gateway that lost its connection keeps its places.",
    )
    node_silence_seconds: float = setting(
        "LARES_NODE_SILENCE_SECONDS",
        default=3.0,
        help="Silence from which a GPU node is taken to be away.",
    )
    node_idle_seconds: float = setting(
        "LARES_GPU_NODE_IDLE_SECONDS",
        default=0.0,
        help="Idle time after which a node that allows it and can be woken is asked to suspend; 0: never.",
    )
    history_days: int = setting(
        "LARES_GPU_HISTORY_DAYS",
        default=7,
        help="How long the cards' minutes and the scheduler's decisions are kept.",
    )
    db_password: str = secret("db_password", help="Password of the role svc_gpu_scheduler.")
    valkey_password: str = secret(
        "valkey_password", help="Password of the scheduler's Valkey user."
    )
    caller_public_key: str = secret(
        "caller_public_key", help="PEM public key that caller tokens are verified with."
    )
    caddy_address: str = setting(
        "LARES_CADDY_ADDRESS",
        help="Address of the edge on the scheduler's network: from there only a joining node is let through.",
    )
    wake_dir: Path = setting(
        "LARES_WAKE_DIR",
        default=Path("/var/lib/lares/wake"),
        help="Folder in which the host is asked to wake a GPU node.",
    )
    node_authority: str = secret(
        "node_authority", help="PEM certificate of the authority that signs GPU nodes."
    )
    node_authority_key: str = secret("node_authority_key", help="PEM key of that authority.")
    node_client_certificate: str = secret(
        "node_client_certificate", help="PEM certificate that the scheduler shows to GPU nodes."
    )
    node_client_key: str = secret("node_client_key", help="PEM key of that certificate.")
