"""What memory takes and gives when memories leave the house, come back, or are forgotten.

`GET /v1/export` answers with a file, so it has no model: `application/zip` for Markdown, `application/x-ndjson` for
JSON Lines. `POST /v1/import` takes the same two, or one `text/markdown` file, as its body.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import Field

from contracts.base import Contract
from contracts.memory import Erased, Source

IMPORT_BYTES_MAX = 64 * 1024 * 1024
FORGET_IDS_MAX = 1000


class ImportProblem(Contract):
    """One row that was not taken, and why; `file` and `line` say where it stands. It never quotes the row."""

    file: str
    line: int
    id: UUID | None = None
    reason: str


class ImportReport(Contract):
    """`POST /v1/import`: what became of every row, or would become of it (`dry_run`).

    rows = inserted + edited + unchanged + duplicate + quarantined, always. `quarantined` are rows that were not taken,
    counted by `reasons`: among them `conflict` (changed by hand and in the house) and `forgotten`. `missing` counts
    entries that were taken out of a file by hand; they are forgotten only if the request says `delete=true`.
    `notes` counts lines beside the entries, which no import takes; `entities` those that a person had merged, split or
    named and that stand here as they did there.
    """

    dry_run: bool
    format: Literal["markdown", "jsonl"]
    files: int = 0
    rows: int = 0
    inserted: int = 0
    edited: int = 0
    unchanged: int = 0
    duplicate: int = 0
    quarantined: int = 0
    reasons: dict[str, int] = Field(default_factory=dict)
    problems: list[ImportProblem] = Field(default_factory=list)
    problems_left_out: int = 0
    missing: int = 0
    forgotten: int = 0
    notes: int = 0
    entities: int = 0
    namespaces_added: list[str] = Field(default_factory=list)


class ForgetRequest(Contract):
    """`POST /v1/forget`: what every named condition fits. Without `confirm` it only counts.

    `confirm` repeats the count that was answered: if it is another by now, nothing is forgotten.
    """

    ids: list[UUID] | None = Field(default=None, min_length=1, max_length=FORGET_IDS_MAX)
    namespace: str | None = None
    level: str | None = None
    source: Source | None = None
    thread: str | None = Field(default=None, min_length=1, max_length=200)
    entity: UUID | None = None
    since: datetime | None = None
    until: datetime | None = None
    tiers: list[str] | None = Field(default=None, max_length=3)
    dry_run: bool = True
    confirm: int | None = Field(default=None, ge=0)


class RemainingCopy(Contract):
    """A place that keeps old copies for a while: by `until` the last one is gone; null when nobody can say."""

    store: Literal["backups", "write_ahead_log", "dead_rows", "cache", "nightly_files"]
    until: datetime | None
    note: str


class ForgetReport(Erased):
    """What was erased, store by store, and what is left where. It holds no word of what was forgotten.

    `verified` says that every store was searched again for the ids afterwards, and nothing was found; `found` names
    what was, if anything. `remaining` are copies that expire by themselves.
    """

    id: UUID
    state: Literal["counted", "running", "done"] = "done"
    memories: int = 1
    forgotten_at: datetime | None = None
    verified: bool = False
    verified_at: datetime | None = None
    found: dict[str, int] = Field(default_factory=dict)
    remaining: list[RemainingCopy] = Field(default_factory=list)
