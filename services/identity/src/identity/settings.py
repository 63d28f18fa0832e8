"""What identity is told at its start."""

from __future__ import annotations

from dataclasses import dataclass

from kit.settings import HttpSettings, secret, setting


@dataclass(frozen=True, kw_only=True)
class Settings(HttpSettings):
    """Read once by `__main__`."""

    host: str = setting(
        "LARES_HOST", help="Name people open the house under; the passkeys' relying party."
    )
    https_port: int = setting(
        "LARES_HTTPS_PORT", default=443, help="Port the house is published on for HTTPS."
    )
    proxies: tuple[str, ...] = setting(
        "LARES_CADDY_ADDRESS",
        default=(),
        help="Addresses or networks of the edge; X-Forwarded-For is believed from them alone.",
    )
    postgres_host: str = setting("LARES_POSTGRES_HOST", help="Address of Postgres.")
    postgres_port: int = setting("LARES_POSTGRES_PORT", default=5432, help="Port of Postgres.")
    postgres_database: str = setting(
        "LARES_POSTGRES_DATABASE", default="lares", help="Name of the main database."
    )
    threads: int = setting(
        "LARES_IDENTITY_THREADS", default=4, help="Requests identity serves at once."
    )
    session_days: int = setting(
        "LARES_SESSION_DAYS", default=14, help="Days until a browser has to sign in again."
    )
    reauthentication_seconds: int = setting(
        "LARES_REAUTHENTICATION_SECONDS",
        default=300,
        help="How long a reauthentication lets a person change sensitive things.",
    )
    db_password: str = secret("db_password", help="Password of the login role svc_identity.")
    django_secret_key: str = secret(
        "django_secret_key", help="Signs device cookies and seals authenticator secrets."
    )
    setup_token: str = secret("setup_token", help="The one-time token of the first owner's link.")

    @property
    def origin(self) -> str:
        """The one origin pages come from."""
        return (
            f"https://{self.host}"
            if self.https_port == 443
            else f"https://{self.host}:{self.https_port}"
        )
