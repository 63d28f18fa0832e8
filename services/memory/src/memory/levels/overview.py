"""What a person may see and do about the levels: their occupancy, the switch, a run by hand, the journal."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from contracts.identity import Caller
from contracts.levels import (
    Consolidation,
    ConsolidationSwitch,
    Journal,
    JournalEntry,
    LevelList,
    LevelState,
    MoveList,
)
from contracts.tiers import Level, Tier
from kit.clock import Clock
from kit.pool import PERSON

from memory.domain import allowed_tiers, check_list_limit
from memory.levels.act import Actor
from memory.levels.decide import WORDS, Move, plan
from memory.levels.errors import (
    ConsolidationBusy,
    ConsolidationDenied,
    ConsolidationOff,
    JournalCursorInvalid,
)
from memory.levels.observe import Observer
from memory.levels.plan import IDENTITY
from memory.levels.store import Entered, LevelStore
from memory.presenting import check_writes

# A run by hand is a request that somebody waits for; what is left is the next round's.
MOVES_MAX = 500
LEADER_GONE = timedelta(minutes=5)
_IDENTITY_ROWS_MAX = 1000
_EPOCH = datetime.fromtimestamp(0, UTC)
_CURSOR = re.compile(r"([0-9]{1,17})-([0-9]{1,16})")


class Overview:
    """`/v1/levels` and `/v1/consolidation`."""

    def __init__(
        self, store: LevelStore, observer: Observer, actor: Actor, mode: str, clock: Clock
    ) -> None:
        self._store = store
        self._observer = observer
        self._actor = actor
        self._mode = mode
        self._clock = clock

    async def levels(self, caller: Caller) -> LevelList:
        """Return the five levels with how many of the memories that the caller may see each holds."""
        active: Counter[str] = Counter()
        archived: Counter[str] = Counter()
        tokens = 0
        for tiers in _by_database(caller):
            async with self._store.pool(tiers[0]).as_caller(caller) as conn:
                for tier in tiers:
                    for level, (held, away) in (await self._store.occupancy(conn, tier)).items():
                        active[level] += held
                        archived[level] += away
                    if tier is not Tier.SACRED:
                        items = await self._store.identity(conn, tier, _IDENTITY_ROWS_MAX)
                        tokens += sum(item.tokens for item in items)
        return LevelList(
            items=[
                LevelState(
                    level=Level(table.level),
                    count=active[table.level],
                    archived=archived[table.level],
                    capacity=table.capacity,
                    ttl_seconds=_seconds(table.ttl),
                    half_life_seconds=_seconds(table.half_life),
                    owner=table.owner,
                    tokens=tokens if table.level == IDENTITY else None,
                    tokens_max=table.tokens_max,
                )
                for table in self._actor.limits.levels.values()
            ]
        )

    async def consolidation(self) -> Consolidation:
        """Return whether it is on, who leads it and when it runs."""
        async with self._store.plain.own(read_only=True) as conn:
            state = await self._store.state(conn)
        now = self._clock.now()
        lives = state.next_round_at is not None and now - state.next_round_at < LEADER_GONE
        mode = state.mode if lives else self._mode
        enabled = state.enabled and mode != "off"
        return Consolidation(
            enabled=enabled,
            dry_run=mode == "dry_run",
            leader=state.leader if lives else None,
            last_run=state.round_at,
            next_run=state.next_round_at if lives and enabled else None,
        )

    async def switch(self, caller: Caller, request: ConsolidationSwitch) -> Consolidation:
        """Turn it on or off for the whole house. Raises ConsolidationDenied, kit.read_only."""
        check_writes(caller.db_role, caller.read_only)
        if caller.kind != PERSON or caller.role != "owner":
            raise ConsolidationDenied()
        async with self._store.plain.own() as conn:
            await self._store.switch(conn, request.enabled)
        return await self.consolidation()

    async def run(self, caller: Caller, *, dry_run: bool) -> MoveList:
        """Plan for the caller's own memories now, and unless it is a dry run make the moves.

        Raises ConsolidationDenied, ConsolidationOff, ConsolidationBusy, kit.read_only.
        """
        if caller.kind != PERSON:
            raise ConsolidationDenied("Only a person, signed in, may run the consolidation.")
        if dry_run:
            return MoveList(items=await self._planned(caller.subject), dry_run=True)
        check_writes(caller.db_role, caller.read_only)
        state = await self.consolidation()
        if not state.enabled or state.dry_run:
            raise ConsolidationOff()
        async with self._store.plain.own() as guard:
            if not await self._store.hold_subject(guard, caller.subject):
                raise ConsolidationBusy()
            return MoveList(items=await self._made(caller.subject), dry_run=False)

    async def _planned(self, subject: UUID) -> list[JournalEntry]:
        now = self._clock.now()
        seen = await self._observer.look(subject, now)
        moves = plan(seen.snapshot, now, self._actor.limits)
        return [_planned(move, now) for move in moves[:MOVES_MAX]]

    async def _made(self, subject: UUID) -> list[JournalEntry]:
        now = self._clock.now()
        seen = await self._observer.look(subject, now)
        made: list[JournalEntry] = []
        for move in plan(seen.snapshot, now, self._actor.limits)[:MOVES_MAX]:
            entered = await self._actor(subject, move, now)
            if entered is not None:
                made.append(_shown(entered))
        return made

    async def journal(self, caller: Caller, limit: int, before: str | None) -> Journal:
        """Return the moves of the caller's memories in the tiers and namespaces they may see, newest first.

        Raises LimitInvalid, JournalCursorInvalid.
        """
        limit = check_list_limit(limit)
        start = _read_cursor(before) if before is not None else None
        found: list[Entered] = []
        async with self._store.plain.as_caller(caller) as conn:
            hidden = await self._store.hidden(conn)
        for tiers in _by_database(caller):
            async with self._store.pool(tiers[0]).own(read_only=True) as conn:
                # One more than asked for says whether there is more.
                found += await self._store.journal(
                    conn, tiers, caller.subject, hidden, start, limit + 1
                )
        found.sort(key=lambda entered: (entered.at, entered.id), reverse=True)
        last = found[limit - 1] if len(found) > limit else None
        return Journal(
            items=[_shown(entered) for entered in found[:limit]],
            next_before=_write_cursor(last) if last else None,
        )


def _by_database(caller: Caller) -> list[Sequence[Tier]]:
    tiers = allowed_tiers(caller.db_role)
    plain = [tier for tier in tiers if tier is not Tier.SACRED]
    return [group for group in (plain, [tier for tier in tiers if tier is Tier.SACRED]) if group]


def _planned(move: Move, now: datetime) -> JournalEntry:
    return JournalEntry(
        at=now,
        memory_id=move.id,
        tier=Tier(move.tier),
        move=move.kind.value,
        from_level=Level(move.from_level),
        to_level=Level(move.to_level),
        score=round(move.score, 4),
        why=move.why,
        into=move.into,
    )


def _shown(entered: Entered) -> JournalEntry:
    return JournalEntry(
        id=entered.id,
        at=entered.at,
        memory_id=entered.memory_id,
        tier=Tier(entered.tier),
        move=entered.kind.value,
        from_level=Level(entered.from_level),
        to_level=Level(entered.to_level),
        score=round(entered.score, 4),
        why=WORDS[entered.reason],
        into=entered.into,
    )


def _seconds(span: timedelta | None) -> int | None:
    return int(span.total_seconds()) if span is not None else None


def _write_cursor(entered: Entered) -> str:
    since = entered.at - _EPOCH
    # Whole microseconds: a float of seconds would round, and a page would repeat or skip an entry.
    micros = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
    return f"{micros}-{entered.id}"


def _read_cursor(raw: str) -> tuple[datetime, int]:
    found = _CURSOR.fullmatch(raw)
    if found is None:
        raise JournalCursorInvalid()
    return _EPOCH + timedelta(microseconds=int(found[1])), int(found[2])
