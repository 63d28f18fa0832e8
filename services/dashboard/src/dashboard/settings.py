"""Everything the dashboard can be told, read once at start."""

from dataclasses import dataclass

from kit.settings import HttpSettings, secret, setting


@dataclass(frozen=True, kw_only=True)
class Settings(HttpSettings):
    """Where its neighbours are, and how many streams it holds open."""

    memory_url: str = setting("LARES_MEMORY_URL", help="Address of the memory service.")
    orchestrator_url: str = setting("LARES_ORCHESTRATOR_URL", help="Address of the orchestrator.")
    model_gateway_url: str = setting(
        "LARES_MODEL_GATEWAY_URL", help="Address of the model gateway."
    )
    state_registry_url: str = setting(
        "LARES_STATE_REGISTRY_URL", help="Address of the state registry."
    )
    gpu_scheduler_url: str = setting(
        "LARES_GPU_SCHEDULER_URL", help="Address of the GPU scheduler."
    )
    forward_auth_url: str = setting(
        "LARES_FORWARD_AUTH_URL", help="Address of the verifier of sessions."
    )
    valkey_host: str = setting("LARES_VALKEY_HOST", help="Address of Valkey.")
    valkey_port: int = setting("LARES_VALKEY_PORT", default=6379, help="Port of Valkey.")
    streams_per_person_max: int = setting(
        "LARES_STREAMS_PER_PERSON_MAX",
        default=12,
        help="Most event streams and answers open at once for one person, over all tabs.",
    )
    valkey_password: str = secret(
        "valkey_password", help="Password of the dashboard's Valkey user."
    )
    caller_public_key: str = secret(
        "caller_public_key", help="PEM public key that caller tokens are verified with."
    )
