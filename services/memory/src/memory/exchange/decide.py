"""What becomes of each row of an import: a pure decision, and a tally in which every row is counted once."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

from contracts.tiers import Tier

from memory.domain import Entry
from memory.exchange.record import TIMES, Incoming, shown

PROBLEMS_MAX = 200


class Outcome(StrEnum):
    """What a row comes to; together they count every row."""

    INSERTED = "inserted"
    EDITED = "edited"
    UNCHANGED = "unchanged"
    DUPLICATE = "duplicate"
    QUARANTINED = "quarantined"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do with a row. `change` are the fields an edit sets; `reason` says why a row is not taken."""

    outcome: Outcome
    reason: str | None = None
    change: dict[str, object] = field(default_factory=dict)
    tier: Tier | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """What the house knows of a row's id: the memory, that it was merged into another, or that it was forgotten."""

    entry: Entry | None = None
    merged: bool = False
    forgotten: bool = False


@dataclass(slots=True)
class Found:
    """What the house has for a batch's ids."""

    entries: dict[UUID, Entry] = field(default_factory=dict)
    merged: set[UUID] = field(default_factory=set)
    forgotten: set[UUID] = field(default_factory=set)
    hidden: set[UUID] = field(default_factory=set)

    def standing(self, ident: UUID) -> Standing:
        """Return what is known of one id."""
        return Standing(
            self.entries.get(ident), ident in self.merged, ident in self.forgotten | self.hidden
        )

    def knows(self, ident: UUID) -> bool:
        """Say whether anything is known of it."""
        return (
            ident in self.entries
            or ident in self.merged
            or ident in self.forgotten
            or ident in self.hidden
        )


def decide(incoming: Incoming, standing: Standing, *, resurrect: bool) -> Verdict:
    """Decide for a row with an id.

    1. Forgotten here: not taken, unless the person asks for it back.
    2. Not here: inserted, with all its fields.
    3. Merged into another since: that one says it already; a hand-made change of it has nowhere to go.
    4. Here, and the hand changed nothing, or wants what is so already: unchanged. The house's own account of it
       (strength, level, what replaced it) is newer than any file.
    5. Changed by hand and by the house: a conflict. Neither is overwritten.
    6. Changed by hand alone: an edit.
    """
    if standing.entry is None and not standing.merged:
        if standing.forgotten and not resurrect:
            return Verdict(Outcome.QUARANTINED, "forgotten")
        return Verdict(Outcome.INSERTED)
    if standing.entry is None:
        if incoming.text_changed or incoming.fields_changed:
            return Verdict(Outcome.QUARANTINED, "conflict")
        return Verdict(Outcome.DUPLICATE)
    change, conflict = _wanted(incoming, standing.entry)
    if conflict:
        return Verdict(Outcome.QUARANTINED, "conflict")
    tier = change.pop("tier", None)
    if not change and tier is None:
        return Verdict(Outcome.UNCHANGED)
    return Verdict(Outcome.EDITED, change=change, tier=tier if isinstance(tier, Tier) else None)


def _wanted(incoming: Incoming, present: Entry) -> tuple[dict[str, object], bool]:
    """Return what the hand changed and the memory does not have yet, and whether the house changed the same."""
    read = incoming.record.entry
    change: dict[str, object] = {}
    conflict = False
    if incoming.text_changed and shown(read.text) != shown(present.text):
        change["text"] = read.text
        conflict = present.revision != read.revision
    if incoming.fields_changed:
        times = {
            name: getattr(read, name)
            for name in TIMES
            if getattr(read, name) != getattr(present, name)
        }
        change |= times
        conflict = conflict or (bool(times) and present.updated_at != read.updated_at)
    base = incoming.base or (read.tier, read.namespace, read.level)
    for name, was in zip(("tier", "namespace", "level"), base, strict=True):
        wants, has = getattr(read, name), getattr(present, name)
        if wants not in (was, has):
            change[name] = wants
            conflict = conflict or has != was
    return change, conflict


@dataclass(frozen=True, slots=True)
class Problem:
    """A row that is not taken: where it stands and why, never what it says."""

    file: str
    line: int
    id: UUID | None
    reason: str


@dataclass(slots=True)
class Tally:
    """Counts rows and keeps the first problems. `rows` is the sum of the outcomes by construction."""

    outcomes: Counter[Outcome] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    problems: list[Problem] = field(default_factory=list)
    files: int = 0
    notes: int = 0
    missing: int = 0
    forgotten: int = 0
    entities: int = 0
    problems_max: int = PROBLEMS_MAX

    def count(self, verdict: Verdict, file: str, line: int, ident: UUID | None = None) -> None:
        """Count one row."""
        self.outcomes[verdict.outcome] += 1
        if verdict.reason is not None:
            self.reasons[verdict.reason] += 1
            if len(self.problems) < self.problems_max:
                # A file's name is the sender's own; it goes back to them and nowhere else.
                self.problems.append(Problem(file[:200], line, ident, verdict.reason))

    def refuse(self, reason: str, file: str, line: int, ident: UUID | None = None) -> None:
        """Count one row that cannot be read."""
        self.count(Verdict(Outcome.QUARANTINED, reason), file, line, ident)

    @property
    def rows(self) -> int:
        """How many rows came in."""
        return sum(self.outcomes.values())
