"""What a memory is compared with: read for several memories at once, each as it would be alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from contracts.tiers import Tier

from memory.domain import Entry, Filters
from memory.facts.subjects import is_self
from memory.index.search import search
from memory.supersede import store
from memory.supersede.plan import Known, Mark
from memory.supersede.readings import Readings

if TYPE_CHECKING:
    from kit.pool import Connection

    from memory.finding import Candidate
    from memory.plain import PlainShelf

PLAIN_TIERS = (Tier.CONVENIENCE, Tier.SENSITIVE)
# How many of each arm are compared with what was written.
NEAR_MAX = 30
TERMS_MAX = 24


@dataclass(slots=True)
class Other:
    """A memory as it was found, not read yet."""

    id: UUID
    tier: Tier
    text: str = field(repr=False)
    speaker: str | None = field(repr=False)
    said_at: datetime
    created_at: datetime
    near: float | None
    turn: bool


@dataclass(slots=True)
class Asked:
    """A memory that is compared, as it was then, and what may replace it or be replaced by it."""

    entry: Entry
    known: Known
    around: dict[UUID, Known] = field(default_factory=dict[UUID, Known])


class Surroundings:
    """Finds what memories are compared with. Inside a transaction of the person's role."""

    def __init__(self, shelf: PlainShelf) -> None:
        self._shelf = shelf
        self.readings = Readings()

    def asks(self, entry: Entry, marked: bool) -> Asked | None:
        """Return a memory as one that is to be compared; None where nothing could come of it."""
        reading = self.readings.of(
            entry.text, entry.speaker, entry.happened_at, turn=_is_turn(entry)
        )
        if reading is None and not marked:
            return None
        # With a mark it bore something once: then the mark may be taken back.
        return Asked(entry, self._known(entry))

    async def look(self, conn: Connection, tier: Tier, asked: Sequence[Asked], model: int) -> None:
        """Put around each of the memories what is near it in meaning or words, or of one slot."""
        if not asked:
            return
        ids = [each.entry.id for each in asked]
        vectors = await store.vectors_of(conn, tier, ids, model)
        terms = await store.terms_of(conn, [each.entry.text for each in asked])
        mates = await store.slot_mates(conn, tier, ids)
        missing: dict[UUID, list[UUID]] = {}
        for each, said in zip(asked, terms, strict=True):
            own = each.entry
            filters = Filters(tiers=PLAIN_TIERS, namespaces=(own.namespace,))
            vector = vectors.get(own.id)
            found, _ = await search(conn, filters, vector, said[:TERMS_MAX], NEAR_MAX, model=model)
            seen = {one.id for one in found}
            missing[own.id] = [one for one in mates.get(own.id, ()) if one not in seen]
            self._put(each, [_candidate(one) for one in found])
        wanted = list(dict.fromkeys(one for each in missing.values() for one in each))
        rows = await self._shelf.many(conn, tier, wanted) if wanted else []
        held = {one.id: one for one in rows if one.archived_at is None}
        for each in asked:
            beside = [held[one] for one in missing[each.entry.id] if one in held]
            self._put(
                each,
                [_other(one) for one in beside if one.namespace == each.entry.namespace],
            )

    async def link(
        self, conn: Connection, asked: Sequence[Asked], marks: Sequence[Mark]
    ) -> dict[UUID, dict[UUID, Known]]:
        """Return for each memory all that it is compared with: also what marks name and the search did not find."""
        wanted = {
            each.entry.id: _ends(marks, each) - {*each.around, each.entry.id} for each in asked
        }
        found = await self.entries(conn, list(set[UUID]().union(*wanted.values())))
        return {
            each.entry.id: each.around
            | {
                one: self._known(found[one])
                for one in sorted(wanted[each.entry.id])
                if one in found
            }
            for each in asked
        }

    async def entries(self, conn: Connection, ids: Sequence[UUID]) -> dict[UUID, Entry]:
        """Return those of the memories that are in a plain tier."""
        found: dict[UUID, Entry] = {}
        for tier in PLAIN_TIERS:
            left = [each for each in ids if each not in found]
            if left:
                found |= {each.id: each for each in await self._shelf.many(conn, tier, left)}
        return found

    def _put(self, asked: Asked, others: Sequence[Other]) -> None:
        for each in others:
            if each.id == asked.entry.id:
                continue
            reading = self.readings.of(
                each.text, each.speaker, each.said_at, turn=each.turn or asked.known.turn
            )
            if reading is not None:
                asked.around[each.id] = Known(
                    each.id, each.tier, reading, each.created_at, each.near, each.turn
                )

    def _known(self, entry: Entry) -> Known:
        reading = self.readings.whole(entry.text, entry.speaker, entry.happened_at)
        return Known(entry.id, entry.tier, reading, entry.created_at, turn=_is_turn(entry))


def about(marks: Sequence[Mark], asked: Asked) -> list[Mark]:
    """Return the marks that are on a memory or on what is around it, or that point to it."""
    own = asked.entry.id
    return [
        mark
        for mark in marks
        if mark.old_id == own or mark.new_id == own or mark.old_id in asked.around
    ]


def _ends(marks: Sequence[Mark], asked: Asked) -> set[UUID]:
    return {each for mark in about(marks, asked) for each in (mark.old_id, mark.new_id)}


def _is_turn(said: Entry | Candidate) -> bool:
    return said.thread is not None or not is_self(said.speaker)


def _candidate(found: Candidate) -> Other:
    said_at = found.occurred_at or found.created_at
    return Other(
        found.id,
        found.tier,
        found.text,
        found.speaker,
        said_at,
        found.created_at,
        found.cosine,
        _is_turn(found),
    )


def _other(entry: Entry) -> Other:
    return Other(
        entry.id,
        entry.tier,
        entry.text,
        entry.speaker,
        entry.happened_at,
        entry.created_at,
        None,
        _is_turn(entry),
    )
