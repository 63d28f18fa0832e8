"""The orchestrator's settings."""

from dataclasses import dataclass

from kit.settings import HttpSettings, secret, setting


@dataclass(frozen=True, kw_only=True)
class Settings(HttpSettings):
    """Where the neighbours are, and the limits of a turn."""

    postgres_host: str = setting("LARES_POSTGRES_HOST", help="Address of Postgres.")
    postgres_port: int = setting("LARES_POSTGRES_PORT", default=5432, help="Port of Postgres.")
    valkey_host: str = setting("LARES_VALKEY_HOST", help="Address of Valkey.")
    valkey_port: int = setting("LARES_VALKEY_PORT", default=6379, help="Port of Valkey.")
    memory_url: str = setting("LARES_MEMORY_URL", help="Base URL of the memory service.")
    model_gateway_url: str = setting(
        "LARES_MODEL_GATEWAY_URL", help="Base URL of the model gateway."
    )
    gpu_scheduler_url: str = setting(
        "LARES_GPU_SCHEDULER_URL",
        default="",
        help="Base URL of gpu-scheduler, which is told that this process lives; empty: it is not.",
    )
    alive_seconds: float = setting(
        "LARES_AGENTS_ALIVE_SECONDS",
        default=30.0,
        help="How long gpu-scheduler may hear nothing of this process before what it waits for is given up; 2 to 600.",
    )
    model: str = setting(
        "LARES_AGENTS_MODEL",
        default="lares-small",
        help="Model that answers questions, as the gateway names it.",
    )
    quote_memories: bool = setting(
        "LARES_AGENTS_QUOTE_MEMORIES",
        default=True,
        help="Begin an answer about the person's own things with the memory it rests on. Small models garble facts; turn it off with a bigger one.",
    )
    keep_statements: bool = setting(
        "LARES_AGENTS_KEEP_STATEMENTS",
        default=True,
        help="Keep what the person says of themselves in passing, as a sensitive memory of half an hour that stays if it is used.",
    )
    prompt_chars_max: int = setting(
        "LARES_AGENTS_PROMPT_CHARS_MAX",
        default=4000,
        help="Most characters of a prompt, history and memories included.",
    )
    answer_tokens_max: int = setting(
        "LARES_AGENTS_ANSWER_TOKENS_MAX", default=192, help="Most tokens of one answer."
    )
    history_turns_max: int = setting(
        "LARES_AGENTS_HISTORY_TURNS_MAX",
        default=6,
        help="Most earlier exchanges of a conversation in a prompt.",
    )
    recall_limit: int = setting(
        "LARES_AGENTS_RECALL_LIMIT", default=6, help="Most memories recalled for one question."
    )
    recall_score_min: float = setting(
        "LARES_AGENTS_RECALL_SCORE_MIN",
        default=0.25,
        help="Least score of a memory that is shown as a source.",
    )
    turn_seconds_max: int = setting(
        "LARES_AGENTS_TURN_SECONDS_MAX", default=180, help="Longest a turn may run."
    )
    first_token_seconds_max: int = setting(
        "LARES_AGENTS_FIRST_TOKEN_SECONDS_MAX",
        default=60,
        help="Longest wait for the model's next piece of text.",
    )
    disconnect_grace_seconds: float = setting(
        "LARES_AGENTS_DISCONNECT_GRACE_SECONDS",
        default=10.0,
        help="How long an answer goes on when nobody listens any more.",
    )
    turns_per_person_max: int = setting(
        "LARES_AGENTS_TURNS_PER_PERSON_MAX", default=2, help="Most turns of one person at once."
    )
    turns_max: int = setting("LARES_AGENTS_TURNS_MAX", default=8, help="Most turns at once in all.")
    confirmation_seconds: int = setting(
        "LARES_AGENTS_CONFIRMATION_SECONDS",
        default=300,
        help="How long a confirmation waits; no decision means no.",
    )
    db_password: str = secret("db_password", help="Password of the login role svc_orchestrator.")
    valkey_password: str = secret(
        "valkey_password", help="Password of the Valkey user orchestrator."
    )
    caller_public_key: str = secret(
        "caller_public_key", help="Public key that verifies who is asking (PEM)."
    )
