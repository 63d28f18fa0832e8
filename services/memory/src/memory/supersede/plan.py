"""Which marks a memory that was just written (or edited) sets, moves or takes back. Pure.

Each memory is replaced by the earliest that replaces it, whatever arrived first: so marks point forward in time, never
in a circle, and come out the same for any order of arrival. What a person has decided, no rule undoes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from contracts.tiers import Tier

from memory.domain import PRIVACY
from memory.supersede.decide import Verdict, begins, kind_of, later_of, replaces
from memory.supersede.reading import Reading

BY_RULE, BY_PERSON = "rule", "person"
# The one rule that rests on a fact of a known shape, and not on words and nearness: measured on dialogue, the others
# marked every third turn.
SURE = "fact"
# A thing that "is" something: of no known shape.
VALUE = "value"


@dataclass(frozen=True, slots=True)
class Known:
    """A memory that may replace or be replaced."""

    id: UUID
    tier: Tier
    reading: Reading
    created_at: datetime
    near: float | None = None
    # A turn of a conversation: half of what is said there is about what was just said.
    turn: bool = False


@dataclass(frozen=True, slots=True)
class Mark:
    """A mark as the books have it."""

    old_id: UUID
    new_id: UUID
    made_by: str
    restored_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Set:
    """Mark `old_id` as replaced by `new_id`; `hidden` where only the newer one's readers may notice."""

    old_id: UUID
    new_id: UUID
    hidden: bool
    valid_to: datetime
    rule: str


@dataclass(frozen=True, slots=True)
class Clear:
    """Take a rule's mark back: it does not hold any more."""

    old_id: UUID
    hidden: bool


Marks = Mapping[tuple[UUID, bool], Mark]


def plan(subject: Known, others: Sequence[Known], marks: Marks) -> list[Set | Clear]:
    """Return what `subject` changes, its own mark first. `marks` are by memory and whether they are hidden.

    1. What the subject is replaced by: the earliest of all that replace it.
    2. What the subject replaces: unless something earlier replaces it already, or a person decided otherwise.
    3. A rule's mark that points to the subject or from it and is not found any more is taken back.
    """
    known = {each.id: each for each in (*others, subject)}
    moves: list[Set | Clear] = []
    for hidden in (False, True):
        wanted = _first(subject, [each for each in others if _hides(each, subject) is hidden])
        moves += _settle(subject, wanted, hidden, marks, known)
    for old in others:
        hidden = _hides(subject, old)
        moves += _settle(old, _judge(subject, old), hidden, marks, known, by=subject)
    return moves


def bears(reading: Reading, turn: bool) -> bool:
    """Say whether a memory can replace or be replaced at all; `turn`, whether it or what it is compared with is one.

    What needs no comparing by this is most of what is said: of two of whom either does not bear, neither is marked.
    """
    if reading.silent:
        return False
    return not turn or any(kind_of(fact) != VALUE for fact in reading.facts)


def _hides(new: Known, old: Known) -> bool:
    return PRIVACY[new.tier] > PRIVACY[old.tier]


def _judge(new: Known, old: Known) -> tuple[Known, Verdict] | None:
    if not later_of(new.reading, old.reading):
        return None
    near = new.near if new.near is not None else old.near
    verdict = replaces(new.reading, old.reading, near)
    if verdict is None or ((new.turn or old.turn) and verdict.rule != SURE):
        return None
    return new, verdict


def _first(old: Known, candidates: Sequence[Known]) -> tuple[Known, Verdict] | None:
    found = [judged for each in candidates if (judged := _judge(each, old)) is not None]
    return min(found, key=lambda each: _order(each[0]), default=None)


def _order(each: Known) -> tuple[datetime, datetime, UUID]:
    return each.reading.holds_at, each.reading.said_at, each.id


def _settle(
    old: Known,
    wanted: tuple[Known, Verdict] | None,
    hidden: bool,
    marks: Marks,
    known: Mapping[UUID, Known],
    by: Known | None = None,
) -> list[Set | Clear]:
    """Compare what is wanted of one memory with its mark; `by` says that only this one's claim was looked at."""
    mark = marks.get((old.id, hidden))
    if mark is not None and mark.made_by == BY_PERSON and mark.restored_at is None:
        return []
    standing = mark if mark is not None and mark.restored_at is None else None
    if wanted is None:
        gone = standing is not None and (by is None or standing.new_id == by.id)
        # A claim of one that was not among those looked at is not for this call to judge.
        if gone and standing is not None and (by is not None or standing.new_id in known):
            return [Clear(old.id, hidden)]
        return []
    new, verdict = wanted
    if mark is not None and mark.restored_at is not None and new.created_at <= mark.restored_at:
        return []
    if standing is not None:
        present = known.get(standing.new_id)
        if standing.new_id == new.id or (present is not None and _order(present) < _order(new)):
            return []
    until = begins(new.reading, old.reading, verdict)
    return [Set(old.id, new.id, hidden, until, verdict.rule)]
