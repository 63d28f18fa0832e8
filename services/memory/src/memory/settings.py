"""Memory's settings: the service and its worker read the same, but only the service listens."""

from __future__ import annotations

from dataclasses import dataclass

from kit.settings import CommonSettings, HttpSettings, secret, setting

from memory.exchange.settings import ExchangeSettings, SyncSettings
from memory.levels.settings import LevelSettings


@dataclass(frozen=True, kw_only=True)
class StoreSettings(CommonSettings):
    """Where the stores and the model gateway are."""

    postgres_host: str = setting("LARES_POSTGRES_HOST", help="Address of Postgres.")
    postgres_port: int = setting("LARES_POSTGRES_PORT", default=5432, help="Port of Postgres.")
    valkey_host: str = setting("LARES_VALKEY_HOST", help="Address of Valkey.")
    valkey_port: int = setting("LARES_VALKEY_PORT", default=6379, help="Port of Valkey.")
    model_gateway_url: str = setting(
        "LARES_MODEL_GATEWAY_URL", help="Base URL of the model gateway."
    )
    embedding_model: str = setting(
        "LARES_MEMORY_EMBEDDING_MODEL",
        default="minilm-l6-v2",
        help="Model that finds memories by meaning, as the gateway names it; a change re-embeds all behind recall.",
    )
    merge: bool = setting(
        "LARES_MEMORY_MERGE",
        default=True,
        help="Whether a memory that repeats another becomes a further source of it.",
    )
    supersede: bool = setting(
        "LARES_MEMORY_SUPERSEDE",
        default=True,
        help="Whether a newer memory that contradicts an older one replaces it; off, both stand side by side.",
    )
    db_password: str = secret("db_password", help="Password of the login role svc_memory.")
    valkey_password: str = secret("valkey_password", help="Password of this process's Valkey user.")
    sacred_data_key: str = secret(
        "sacred_data_key", help="Key of the sacred tier: 32 random bytes in base64."
    )


@dataclass(frozen=True, kw_only=True)
class Settings(StoreSettings, LevelSettings, ExchangeSettings, HttpSettings):
    """The HTTP service."""

    recall_embed_seconds: float = setting(
        "LARES_MEMORY_RECALL_EMBED_SECONDS",
        default=1.5,
        help="Longest wait for a query's embedding; then recall answers by words alone.",
    )
    junk_filter: bool = setting(
        "LARES_MEMORY_JUNK_FILTER",
        default=True,
        help="Whether greetings, boilerplate and the like are refused instead of remembered.",
    )
    writes_per_minute: int = setting(
        "LARES_MEMORY_WRITES_PER_MINUTE",
        default=6000,
        help="Most memories that one client may write in a minute, half of it at once; 0 sets no limit.",
    )
    cache: bool = setting(
        "LARES_MEMORY_CACHE",
        default=True,
        help="Whether answers are kept for a moment in this process and, sealed, in Valkey.",
    )
    caller_public_key: str = secret(
        "caller_public_key", help="Public key that verifies who is asking (PEM)."
    )


@dataclass(frozen=True, kw_only=True)
class WorkerSettings(StoreSettings):
    """The worker, which listens to nobody."""

    embed_seconds: float = setting(
        "LARES_MEMORY_EMBED_SECONDS",
        default=20.0,
        help="Longest wait for a memory's embedding before it is queued again.",
    )
    sweep_seconds: float = setting(
        "LARES_MEMORY_SWEEP_SECONDS",
        default=15.0,
        help="How often what was lost on the way is looked for: due embeddings, interrupted moves.",
    )
    tasks_at_once: int = setting(
        "LARES_MEMORY_TASKS_AT_ONCE", default=2, help="Most embeddings asked for at once."
    )
    extraction: bool = setting(
        "LARES_MEMORY_EXTRACTION",
        default=True,
        help="Whether memories are read for entities and facts; off, what was read before is erased as it is met.",
    )
    extraction_model: str = setting(
        "LARES_MEMORY_EXTRACTION_MODEL",
        default="auto",
        help="Chat model asked for facts beside the rules: off, a name, or auto for one that the models file calls fit.",
    )
    extraction_seconds: float = setting(
        "LARES_MEMORY_EXTRACTION_SECONDS",
        default=60.0,
        help="Longest wait for a chat model's facts before the memory is queued again.",
    )


@dataclass(frozen=True, kw_only=True)
class ConsolidatorSettings(LevelSettings, SyncSettings):
    """The consolidator, which listens to nobody, opens nothing sacred and uses no bus."""

    postgres_host: str = setting("LARES_POSTGRES_HOST", help="Address of Postgres.")
    postgres_port: int = setting("LARES_POSTGRES_PORT", default=5432, help="Port of Postgres.")
    model_gateway_url: str = setting(
        "LARES_MODEL_GATEWAY_URL", help="Base URL of the model gateway."
    )
    round_seconds: float = setting(
        "LARES_MEMORY_ROUND_SECONDS",
        default=60.0,
        help="How often the consolidator looks at the levels.",
    )
    moves_max: int = setting(
        "LARES_MEMORY_MOVES_MAX",
        default=2000,
        help="Most moves in one round; the rest waits for the next.",
    )
    merge: bool = setting(
        "LARES_MEMORY_MERGE",
        default=True,
        help="Whether a memory that repeats another becomes a further source of it.",
    )
    summary_model: str = setting(
        "LARES_MEMORY_SUMMARY_MODEL",
        default="",
        help="Chat model that writes the weekly summaries, as the gateway names it; empty: the memories' own sentences.",
    )
    journal_days: int = setting(
        "LARES_MEMORY_JOURNAL_DAYS",
        default=90,
        help="How long the journal of moves is kept.",
    )
    db_password: str = secret("db_password", help="Password of the login role svc_memory.")
