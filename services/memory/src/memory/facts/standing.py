"""Which fact stands at a time: pure decisions over the facts of one chain, as far as they were known.

A fact holds at a moment if it covers it and no later fact of its chain that covers it, too, says otherwise. Later is what
began later, and of two that began together what was learned later. Otherwise is: another object while both affirm, or
the same object affirmed here and denied there. So a fact with an end of its own only interrupts another.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Row:
    """A fact as it is kept, with the node that it is about and when it ends by itself or with its memory."""

    id: UUID
    tier: str
    namespace: str
    memory_id: UUID
    node_id: UUID
    object_node_id: UUID | None
    predicate: str
    qualifier: str = field(repr=False)
    chain: str = field(repr=False)
    polarity: bool
    object_text: str = field(repr=False)
    object_key: str = field(repr=False)
    valid_from: datetime
    ends_at: datetime | None
    learned_at: datetime
    retired_at: datetime | None
    confidence: float
    extractor: str
    span_from: int
    span_to: int
    source_kind: str
    source_ref: str | None = field(repr=False)
    holds: bool = False
    superseded_by: UUID | None = None
    superseded_from: datetime | None = None

    @property
    def line(self) -> tuple[UUID, str, str]:
        """What it stands in line with: the facts of one entity and chain."""
        return self.node_id, self.namespace, self.chain


def covers(fact: Row, moment: datetime) -> bool:
    """Whether the fact speaks of this moment."""
    return fact.valid_from <= moment and (fact.ends_at is None or moment < fact.ends_at)


def otherwise(one: Row, other: Row) -> bool:
    """Whether the two cannot both be so."""
    if one.object_key == other.object_key:
        return one.polarity != other.polarity
    return one.polarity and other.polarity


def place(fact: Row) -> Any:
    """Return what orders the facts of a chain."""
    return fact.valid_from, fact.learned_at, fact.id


def judged(facts: Iterable[Row], known: Sequence[Row], as_of: datetime) -> list[Row]:
    """Return `facts` with whether each holds at `as_of` and what took its place, judged by all that is `known`."""
    lines: dict[tuple[UUID, str, str], list[Row]] = {}
    for each in known:
        lines.setdefault(each.line, []).append(each)
    for line in lines.values():
        line.sort(key=place)
    found: list[Row] = []
    for fact in facts:
        later = [
            other
            for other in lines.get(fact.line, ())
            if place(other) > place(fact) and otherwise(fact, other)
        ]
        successor = next((other for other in later if other.ends_at is None), None)
        holds = covers(fact, as_of) and not any(covers(other, as_of) for other in later)
        found.append(
            replace(
                fact,
                holds=holds,
                superseded_by=successor.id if successor else None,
                superseded_from=successor.valid_from if successor else None,
            )
        )
    return found
