"""Settings of exporting, importing, forgetting and the nightly files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kit.settings import CommonSettings, setting


@dataclass(frozen=True, kw_only=True)
class ExchangeSettings(CommonSettings):
    """What the service needs to know of it."""

    exchange_seconds: float = setting(
        "LARES_MEMORY_EXCHANGE_SECONDS",
        default=900.0,
        help="Longest that one export or import may take.",
    )
    backup_days: int = setting(
        "LARES_BACKUP_DAYS",
        default=0,
        help="How long backups of the database are kept, for reports on forgetting; 0 when the house makes none.",
    )
    log_days: int = setting(
        "LARES_DATABASE_LOG_DAYS",
        default=7,
        help="Days after which the database has written its write-ahead log over, for the same reports; 0 promises none.",
    )


@dataclass(frozen=True, kw_only=True)
class SyncSettings(CommonSettings):
    """What the consolidator needs to know of the nightly files."""

    sync: Literal["on", "off"] = setting(
        "LARES_MEMORY_SYNC",
        default="on",
        help="Whether each person's memories are written to Markdown files every night, and edits there taken in.",
    )
    sync_tiers: Literal["convenience", "sensitive"] = setting(
        "LARES_MEMORY_SYNC_TIERS",
        default="convenience",
        help="Most private tier that is written to the nightly files; sacred never is.",
    )
    sync_folder: Path = setting(
        "LARES_MEMORY_SYNC_FOLDER",
        default=Path("/var/lib/lares/memory"),
        help="Folder of the nightly files in the consolidator, a volume; each person has one of their own in it.",
    )
