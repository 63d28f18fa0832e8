"""What gpu-scheduler can be told."""

from dataclasses import dataclass

from kit.settings import HttpSettings


@dataclass(frozen=True, kw_only=True)
class Settings(HttpSettings):
    """Add a field with kit.settings.setting() or secret(); `make docs` writes it into docs/settings.md."""
