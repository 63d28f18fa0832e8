"""The levels as rows: what the consolidation reads and writes, in both databases. It never reads what a memory says."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from contracts.tiers import CHANGED_TOPIC, Tier
from kit import outbox, sql
from kit.pool import Connection, Pool

from memory.levels.decay import HALF_LIFE
from memory.levels.decide import (
    FREQUENCY_WEIGHT,
    RECENCY_WEIGHT,
    RELEVANCE_WEIGHT,
    Item,
    Kind,
    Move,
    Why,
)
from memory.levels.plan import Limits, tokens_of

# The consolidation acts for people who are not there: as the application itself, for one of them at a time.
ROLE = "lares_app"
PLAIN_TIERS = (Tier.CONVENIENCE, Tier.SENSITIVE)
SUBJECTS_MAX = 1000
_STATEMENTS = sql.load(Path(__file__).with_name("queries.sql"))
_HALF_LIFE_S = HALF_LIFE.total_seconds()
# What the bus is told of a move. A demotion leaves the memory where recall finds it, as an edit does.
_CHANGES: Mapping[Kind, str] = {
    Kind.PROMOTED: "promoted",
    Kind.DEMOTED: "edited",
    Kind.ARCHIVED: "archived",
    Kind.EXPIRED: "archived",
    Kind.COMPRESSED: "archived",
    Kind.MERGED: "merged",
    Kind.RESTORED: "restored",
}
_JOURNAL_END = datetime(9999, 1, 1, tzinfo=UTC)
_ID_END = 2**62


@dataclass(frozen=True, slots=True)
class State:
    """Whether the consolidation is on, who leads it, and when it last ran."""

    enabled: bool = True
    mode: str = "on"
    leader: str | None = None
    round_at: datetime | None = None
    next_round_at: datetime | None = None
    round_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Entered:
    """One move as the journal keeps it."""

    id: int
    at: datetime
    memory_id: UUID
    tier: str
    kind: Kind
    from_level: str
    to_level: str
    score: float
    reason: Why
    into: UUID | None


def statements() -> Mapping[str, sql.Query]:
    """Return every statement by name, with the role and database it is prepared under."""
    return _STATEMENTS


Announce = Callable[[Connection, UUID, UUID, Tier, str], Awaitable[None]]
"""Writes the event of a change into the running transaction: memory, subject, tier, what changed."""


async def announce_change(
    conn: Connection, memory_id: UUID, subject: UUID, tier: Tier, change: str
) -> None:
    """Write the event for a process that keeps no copies of its own."""
    event_id = uuid4()
    payload = {
        "event_id": event_id,
        "memory_id": memory_id,
        "subject_id": subject,
        "tier": tier.value,
        "change": change,
    }
    await outbox.add(conn, f"{books(tier)}.outbox", CHANGED_TOPIC, payload, event_id=event_id)


class LevelStore:
    """Statements of the levels over the pools of both databases."""

    def __init__(self, plain: Pool, sacred: Pool, announce: Announce | None = None) -> None:
        self.plain = plain
        self.sacred = sacred
        self._announce = announce or announce_change
        self._texts = {tier: {name: text(name, tier) for name in _STATEMENTS} for tier in Tier}

    def pool(self, tier: Tier) -> Pool:
        """Return the pool of the database that a tier lives in."""
        return self.sacred if tier is Tier.SACRED else self.plain

    async def moving(
        self, conn: Connection, tier: Tier, now: datetime, limits: Limits, limit: int
    ) -> list[Item]:
        """Return memories that may move by themselves, `limit` of each kind at most, longest unused first."""
        passing = await conn.fetch(
            self._texts[tier]["observe_passing"],
            now,
            limits.session_accesses,
            limits.working_accesses,
            limit,
        )
        episodic = await conn.fetch(
            self._texts[tier]["observe_episodic"],
            now,
            _HALF_LIFE_S,
            limits.weak_strength,
            limits.episodic_accesses,
            now - limits.episodic_age,
            limits.episodic_strength,
            limit,
        )
        again = await conn.fetch(
            self._texts[tier]["observe_used_again"], limits.restore_strength, limit
        )
        return [item_of(row, tier) for row in (*passing, *episodic, *again)]

    async def weakest(
        self, conn: Connection, tier: Tier, level: str, now: datetime, limit: int
    ) -> list[Item]:
        """Return those of a level that score lowest."""
        rows = await conn.fetch(
            self._texts[tier]["observe_weakest"],
            level,
            now,
            _HALF_LIFE_S,
            FREQUENCY_WEIGHT,
            RECENCY_WEIGHT,
            RELEVANCE_WEIGHT,
            limit,
        )
        return [item_of(row, tier) for row in rows]

    async def identity(self, conn: Connection, tier: Tier, limit: int) -> list[Item]:
        """Return what is always in context, with its size."""
        rows = await conn.fetch(self._texts[tier]["observe_identity"], limit)
        return [item_of(row, tier, tokens_of(row["characters"])) for row in rows]

    async def occupancy(
        self, conn: Connection, tier: Tier, *, passing: bool = False
    ) -> dict[str, tuple[int, int]]:
        """Return by level how many memories are active and how many archived; `passing` leaves out knowledge."""
        rows = await conn.fetch(self._texts[tier]["occupancy_passing" if passing else "occupancy"])
        return {row["level"]: (row["active"], row["archived"]) for row in rows}

    async def take(self, conn: Connection, tier: Tier, memory_id: UUID) -> Item | None:
        """Return one memory, held until the transaction ends."""
        row = await conn.fetchrow(self._texts[tier]["take_item"], memory_id)
        return item_of(row, tier) if row else None

    async def take_many(self, conn: Connection, tier: Tier, ids: Sequence[UUID]) -> list[Item]:
        """Return those of the memories that are here, held until the transaction ends."""
        rows = await conn.fetch(self._texts[tier]["take_items"], list(ids))
        return [item_of(row, tier) for row in rows]

    async def put(self, conn: Connection, tier: Tier, item: Item) -> None:
        """Write where a memory stands now."""
        await conn.execute(
            self._texts[tier]["put_item"],
            item.id,
            item.level,
            item.strength,
            item.accesses,
            item.accessed_at,
            item.expires_at,
            item.archived_at,
        )

    async def put_uses(self, conn: Connection, tier: Tier, items: Sequence[Item]) -> None:
        """Write what uses have changed, in one statement."""
        await conn.execute(
            self._texts[tier]["put_uses"],
            [item.id for item in items],
            [item.strength for item in items],
            [item.accesses for item in items],
            [item.accessed_at for item in items],
            [item.expires_at for item in items],
        )

    async def hold(self, conn: Connection, memory_id: UUID) -> bool:
        """Be the only one who changes this memory until the plain transaction ends; False when somebody else is."""
        return bool(await conn.fetchval(self.book("hold_memory"), str(memory_id)))

    async def hold_subject(self, conn: Connection, subject: UUID) -> bool:
        """Be the only one who consolidates for this person until the transaction ends."""
        return bool(await conn.fetchval(self.book("try_subject"), str(subject)))

    async def take_lead(self, conn: Connection) -> bool:
        """Be the one consolidator of the house until the transaction ends; False when another is."""
        return bool(await conn.fetchval(self.book("lead_rounds")))

    async def enter(
        self, conn: Connection, subject: UUID, move: Move, *, announced: bool = False
    ) -> Entered:
        """Write the move into the journal of its database, count it, and announce it unless that was done.

        As the service itself.
        """
        tier = Tier(move.tier)
        texts = self._texts[tier]
        row = await conn.fetchrow(
            texts["put_move"],
            subject,
            move.id,
            tier.value,
            move.namespace,
            move.kind.value,
            move.from_level,
            move.to_level,
            move.score,
            move.reason.value,
            move.into,
        )
        await conn.execute(texts["count_move"], move.kind.value)
        if not announced:
            await self._announce(conn, move.id, subject, tier, _CHANGES[move.kind])
        return Entered(
            row["id"],
            row["at"],
            move.id,
            move.tier,
            move.kind,
            move.from_level,
            move.to_level,
            move.score,
            move.reason,
            move.into,
        )

    async def journal(
        self,
        conn: Connection,
        tiers: Sequence[Tier],
        subject: UUID,
        hidden: Sequence[str],
        before: tuple[datetime, int] | None,
        limit: int,
    ) -> list[Entered]:
        """Return the moves of tiers that are in one database, newest first."""
        rows = await conn.fetch(
            self._texts[tiers[0]]["list_moves"],
            subject,
            [tier.value for tier in tiers],
            list(hidden),
            *(before or (_JOURNAL_END, _ID_END)),
            limit,
        )
        return [_entered(row) for row in rows]

    async def prune(self, conn: Connection, tier: Tier, before: datetime, limit: int) -> str:
        """Drop the journal's oldest entries, `limit` at most; return the command tag."""
        return await conn.execute(self._texts[tier]["prune_moves"], before, limit)

    async def counts(self, conn: Connection, tier: Tier) -> dict[str, int]:
        """Return how many moves of each kind there ever were, in the tier's database."""
        rows = await conn.fetch(self._texts[tier]["list_counts"])
        return {row["kind"]: row["moves"] for row in rows}

    def text(self, name: str, tier: Tier) -> str:
        """Return a statement as it reads for one tier."""
        return self._texts[tier][name]

    def book(self, name: str) -> str:
        """Return a statement on the books that only the plain database keeps."""
        return self._texts[Tier.CONVENIENCE][name]

    async def hidden(self, conn: Connection) -> list[str]:
        """Return the namespaces that whoever the transaction runs for must not see."""
        return list(await conn.fetchval(self.book("hidden_namespaces")))

    async def state(self, conn: Connection) -> State:
        """Return the switch and the last round."""
        row = await conn.fetchrow(self.book("get_state"))
        return State(**dict(row)) if row else State()

    async def switch(self, conn: Connection, enabled: bool) -> None:
        """Turn the consolidation on or off, for every process and over restarts."""
        await conn.execute(self.book("put_switch"), enabled)

    async def put_round(self, conn: Connection, state: State) -> None:
        """Note a round and who led it; without one, only who leads and when the next is due."""
        await conn.execute(
            self.book("put_round"),
            state.mode,
            state.leader,
            state.round_at,
            state.next_round_at,
            state.round_seconds,
        )

    async def subjects(self, limit: int) -> list[tuple[UUID, datetime | None]]:
        """Return whose turn it is, and when they last had one: those who waited longest first."""
        known: list[UUID] = []
        for pool, tier in ((self.plain, Tier.CONVENIENCE), (self.sacred, Tier.SACRED)):
            async with pool.own(read_only=True) as conn:
                rows = await conn.fetch(self._texts[tier]["all_subjects"], SUBJECTS_MAX)
                known += [row["subject_id"] for row in rows]
        async with self.plain.own() as conn:
            await conn.execute(self.book("note_subjects"), known)
            rows = await conn.fetch(self.book("next_subjects"), limit)
        return [(row["subject_id"], row["looked_at"]) for row in rows]

    async def end_turn(
        self, conn: Connection, subject: UUID, looked_at: datetime, occupancy: Mapping[str, int]
    ) -> None:
        """Note that a person had their turn, and what was counted."""
        await conn.execute(self.book("end_turn"), subject, looked_at, dict(occupancy))

    async def all_occupancy(self, conn: Connection) -> dict[str, int]:
        """Return by level how many active memories there are of everybody, as last counted."""
        rows = await conn.fetch(self.book("all_occupancy"))
        return {row["level"]: row["held"] for row in rows}


def books(tier: Tier) -> str:
    """Return the schema in which a tier's database keeps the service's own books."""
    return "sacred" if tier is Tier.SACRED else "memory"


def text(name: str, tier: Tier) -> str:
    """Return a statement as it reads for one tier."""
    written = re.sub(r"(?<![\w.])memory\.", f"{books(tier)}.", str(_STATEMENTS[name]))
    return written.replace("convenience.", f"{tier.value}.")


def item_of(row: Any, tier: Tier, tokens: int = 0) -> Item:
    """Return a row as the consolidation sees it."""
    return Item(
        id=row["id"],
        tier=tier.value,
        namespace=row["namespace"],
        level=row["level"],
        strength=row["strength"],
        accesses=row["accesses"],
        accessed_at=row["accessed_at"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        archived_at=row["archived_at"],
        tokens=tokens,
    )


def _entered(row: Any) -> Entered:
    return Entered(
        row["id"],
        row["at"],
        row["memory_id"],
        row["tier"],
        Kind(row["kind"]),
        row["from_level"],
        row["to_level"],
        row["score"],
        Why(row["reason"]),
        row["into_id"],
    )
