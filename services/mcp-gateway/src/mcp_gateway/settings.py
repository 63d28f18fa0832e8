"""The gateway's settings."""

from __future__ import annotations

from dataclasses import dataclass

from kit.settings import HttpSettings, secret, setting


@dataclass(frozen=True, kw_only=True)
class Settings(HttpSettings):
    """Where the neighbours are, by which name the house is reached, and the limits of one token."""

    forward_auth_url: str = setting(
        "LARES_FORWARD_AUTH_URL", help="Base URL of the verifier that knows access tokens."
    )
    memory_url: str = setting("LARES_MEMORY_URL", help="Base URL of the memory service.")
    gpu_scheduler_url: str = setting(
        "LARES_GPU_SCHEDULER_URL", help="Base URL of the GPU scheduler."
    )
    host: str = setting(
        "LARES_HOST",
        default="lares.local",
        help="Name under which browsers and clients reach the house.",
    )
    https_port: int = setting(
        "LARES_HTTPS_PORT", default=443, help="Port under which they reach it."
    )
    message_bytes_max: int = setting(
        "LARES_MCP_MESSAGE_BYTES_MAX", default=128 * 1024, help="Largest MCP message that is taken."
    )
    requests_per_minute: int = setting(
        "LARES_MCP_REQUESTS_PER_MINUTE", default=240, help="Most requests of one token in a minute."
    )
    burst: int = setting(
        "LARES_MCP_BURST", default=60, help="Most requests of one token in one moment."
    )
    at_once: int = setting(
        "LARES_MCP_AT_ONCE", default=8, help="Most requests of one token under way."
    )
    caller_public_key: str = secret(
        "caller_public_key", help="Public key that verifies who is asking (PEM)."
    )

    @property
    def origin(self) -> str:
        """The one web origin that may call: the house's own."""
        return f"https://{self.host}" + ("" if self.https_port == 443 else f":{self.https_port}")
