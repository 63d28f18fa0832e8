"""The gateway's settings. The models themselves stand in the file that `models_file` names."""

from dataclasses import dataclass
from pathlib import Path

from kit.settings import SECRETS_DIR, SECRETS_DIR_VARIABLE, HttpSettings, secret, setting


@dataclass(frozen=True, kw_only=True)
class Settings(HttpSettings):
    """Where the models are named and how the outside is reached."""

    connections_max: int = setting(
        "LARES_CONNECTIONS_MAX",
        default=1024,
        help="Most connections served at once; more are answered 503. A stream that waits holds one.",
    )
    models_file: Path = setting(
        "LARES_MODELS_FILE",
        default=Path("/etc/lares/models.yaml"),
        help="The file that names models and backends.",
    )
    local_llm_url: str = setting(
        "LARES_LOCAL_LLM_URL",
        default="",
        help="Replaces ${LARES_LOCAL_LLM_URL} in the models file.",
    )
    embedder_url: str = setting(
        "LARES_EMBEDDER_URL", default="", help="Replaces ${LARES_EMBEDDER_URL} in the models file."
    )
    egress_proxy_url: str = setting(
        "LARES_EGRESS_PROXY_URL",
        default="",
        help="The proxy through which backends outside are reached.",
    )
    gpu_scheduler_url: str = setting(
        "LARES_GPU_SCHEDULER_URL",
        default="",
        help="The scheduler of the GPU nodes; empty: there are none.",
    )
    postgres_host: str = setting(
        "LARES_POSTGRES_HOST",
        default="",
        help="Where accounts and budgets are kept; empty: there are none.",
    )
    postgres_port: int = setting("LARES_POSTGRES_PORT", default=5432, help="Port of Postgres.")
    db_password: str | None = secret(
        "db_password", optional=True, help="Password of svc_model_gateway."
    )
    caller_public_key: str | None = secret(
        "caller_public_key", optional=True, help="Verifies caller tokens."
    )
    disabled: tuple[str, ...] = setting(
        "LARES_INFERENCE_DISABLED",
        default=(),
        help="Off switch: names of models and backends, or `outside` for all that leave the house, or `all`; separated by commas.",
    )
    keep_alive_seconds: float = setting(
        "LARES_INFERENCE_KEEP_ALIVE_SECONDS",
        default=3.0,
        help="After so many seconds of waiting a streaming client gets a comment that says what it waits for.",
    )
    secrets_dir: Path = setting(
        SECRETS_DIR_VARIABLE,
        default=Path(SECRETS_DIR),
        help="Folder of the secret files, for the backends' keys.",
    )
