"""What forgetting cannot reach at once: places that keep old copies for a while, and until when.

Only what is known is promised. How long backups and the write-ahead log live is the owner's to say, in settings; a
date without a basis is not given.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from contracts.exchange import RemainingCopy


@dataclass(frozen=True)
class Copies:
    """How long what was deleted lives on elsewhere, as the settings say."""

    backup_days: int
    log_days: int

    def remaining(self, forgotten_at: datetime, in_files: int = 0) -> list[RemainingCopy]:
        """Return where a copy may be left of what was forgotten at that time."""
        copies = [
            RemainingCopy(
                store="dead_rows",
                until=forgotten_at + timedelta(days=2),
                note="Deleted rows can be read by nobody and leave the tables with the next night's VACUUM."
                " The disk's bytes are written over later.",
            ),
            RemainingCopy(
                store="write_ahead_log",
                until=forgotten_at + timedelta(days=self.log_days) if self.log_days else None,
                note="Postgres writes its log over as it goes on: by its owner's estimate, within this time.",
            ),
            RemainingCopy(
                store="cache",
                until=forgotten_at + timedelta(minutes=5),
                note="Answers in Valkey are sealed and are not read again; its append-only file holds ids and what"
                " is sealed, never a readable word.",
            ),
        ]
        backups = RemainingCopy(
            store="backups",
            until=forgotten_at + timedelta(days=self.backup_days) if self.backup_days else None,
            note="Backups made before keep what they hold until they expire."
            if self.backup_days
            else "The house makes no backups by itself. One of your own keeps what it holds until you delete it.",
        )
        copies.append(backups)
        if in_files:
            copies.append(
                RemainingCopy(
                    store="nightly_files",
                    until=forgotten_at + timedelta(days=1),
                    note="The consolidator takes it out of the Markdown files within minutes while it runs.",
                )
            )
        return copies
