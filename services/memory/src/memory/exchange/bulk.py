"""Forget many at once: what fits is counted, the count is confirmed, and then it is done whatever happens to us.

The ids are written down first, in one transaction; a batch at a time is erased and struck off. Who dies in between
leaves a lease that runs out, and whoever looks next goes on. Each memory is asked for again by the rights of whoever
began: what they could no longer see by then stays.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from contracts.exchange import ForgetReport, ForgetRequest
from contracts.tiers import Level, Tier
from kit import logs
from kit.errors import KitError

from memory.domain import (
    Entry,
    allowed_tiers,
    aware,
    check_label,
    check_span,
    check_tier,
    parse_level,
    parse_namespace,
    parse_tier,
)
from memory.exchange.eraser import STORES, most_private
from memory.exchange.errors import ForgetCountChanged, ForgetEmpty, ForgetTooMany
from memory.exchange.export import Owner
from memory.exchange.forget import Forget, Report, put_report
from memory.exchange.store import ExchangeStore, statement, text_for
from memory.facts.arm import expand
from memory.facts.sqltext import plain_tiers
from memory.library import now
from memory.presenting import check_writes

if TYPE_CHECKING:
    from kit.clock import Clock
    from kit.pool import CallerLike

    from memory.library import Library

log = logs.get(__name__)
FORGET_MAX = 100_000
BATCH = 50
LEASE_SECONDS = 60.0
ANSWER_SECONDS = 8.0
LOOK_SECONDS = 20.0


@dataclass(frozen=True)
class Wanted:
    """What to forget: everything that fits every condition there is."""

    tiers: tuple[Tier, ...]
    ids: tuple[UUID, ...] | None = None
    namespace: str | None = None
    level: Level | None = None
    source_kind: str | None = None
    source_ref: str | None = None
    thread: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    entity: UUID | None = None

    @property
    def opens(self) -> bool:
        """Whether a sacred memory must be opened to say if it fits."""
        return self.source_kind is not None or self.thread is not None


class ForgetMany:
    """`POST /v1/forget`."""

    def __init__(self, library: Library, forget: Forget) -> None:
        self._library = library
        self._forget = forget
        self._store = ExchangeStore(library)
        self._tasks: dict[UUID, asyncio.Task[None]] = {}

    async def __call__(self, caller: CallerLike, request: ForgetRequest) -> ForgetReport:
        """Return how many memories fit, or once that number is confirmed what became of them.

        The report says `running` when it takes longer than an answer should. Raises ForgetEmpty, ForgetTooMany,
        ForgetCountChanged, what the conditions are refused with, kit.read_only, DataUnavailable.
        """
        check_writes(caller.db_role, caller.read_only)
        wanted = read_wanted(caller, request)
        found = await self._select(caller, wanted)
        count = sum(len(ids) for ids in found.values())
        ident = uuid4()
        if request.dry_run:
            return ForgetReport(erased={}, id=ident, state="counted", memories=count)
        if request.confirm != count:
            raise ForgetCountChanged(f"{count} memories fit by now; nothing was forgotten.")
        if not count:
            return ForgetReport(
                erased=dict.fromkeys(STORES, 0), id=ident, memories=0, verified=True
            )
        await self._begin(caller, ident, found)
        task = self._tasks[ident] = asyncio.create_task(self._work(ident, caller))
        task.add_done_callback(lambda _: self._tasks.pop(ident, None))
        await asyncio.wait([task], timeout=ANSWER_SECONDS)
        return await self._forget.report(caller, ident)

    async def run(self, clock: Clock) -> None:
        """Go on with what somebody began and did not end, until cancelled."""
        while True:
            try:
                while await self.resume():
                    continue
            except KitError as error:
                log.warning("forget.waiting", code=error.code)
            except Exception as error:
                # One job's mistake must not leave all others undone.
                log.exception("forget.failed", error)
            await clock.sleep(LOOK_SECONDS)

    async def resume(self) -> bool:
        """Take up one job whose lease has run out; say whether there was one."""
        async with self._library.plain.pool.own() as conn:
            row = await conn.fetchrow(statement("lease_job"), LEASE_SECONDS)
        if row is None:
            return False
        caller = Owner(row["subject_id"], row["client_kind"], row["client"], row["db_role"])
        await self._work(row["id"], caller)
        return True

    async def _select(self, caller: CallerLike, wanted: Wanted) -> dict[Tier, list[UUID]]:
        found: dict[Tier, list[UUID]] = {}
        left = FORGET_MAX + 1
        about = await self._about(caller, wanted.entity)
        for tier in wanted.tiers:
            async with self._library.shelf(tier).pool.as_caller(caller) as conn:
                ids = list(wanted.ids) if wanted.ids is not None else None
                if tier is Tier.SACRED:
                    rows = await conn.fetch(
                        statement("select_sacred_to_forget"),
                        *(ids, wanted.namespace, wanted.level, wanted.since, wanted.until, left),
                    )
                    chosen = [row["id"] for row in rows]
                    if wanted.opens:
                        entries = [
                            await self._library.sacred.get(conn, tier, ident) for ident in chosen
                        ]
                        chosen = [e.id for e in entries if e is not None and _fits(wanted, e)]
                else:
                    rows = await conn.fetch(
                        text_for("select_to_forget", tier),
                        *(ids, wanted.namespace, wanted.level, wanted.source_kind),
                        *(wanted.source_ref, wanted.thread, wanted.since, wanted.until),
                        *(about, left),
                    )
                    chosen = [row["id"] for row in rows]
            if chosen:
                found[tier] = chosen
            left -= len(chosen)
            if left <= 0:
                raise ForgetTooMany(f"More than {FORGET_MAX} memories fit.")
        return found

    async def _about(self, caller: CallerLike, entity: UUID | None) -> list[UUID] | None:
        """Return the roots, in every tier, of what is shown as the entity; None when none is asked for."""
        if entity is None:
            return None
        async with self._library.plain.pool.as_caller(caller) as conn:
            return await expand(conn, plain_tiers(caller.db_role), [entity])

    async def _begin(self, caller: CallerLike, ident: UUID, found: dict[Tier, list[UUID]]) -> None:
        tier = most_private([each for each in found if each is not Tier.SACRED] or [Tier.SENSITIVE])
        report = Report(ident, tier, now(), 0, dict.fromkeys(STORES, 0), state="running")
        async with self._library.plain.pool.own() as conn:
            await put_report(conn, caller.subject, report)
            await conn.execute(
                statement("put_job"),
                *(ident, caller.subject, caller.db_role, caller.kind),
                *(caller.session_id, LEASE_SECONDS),
            )
            for ids in found.values():
                await conn.execute(statement("put_items"), ident, ids)

    async def _work(self, ident: UUID, caller: CallerLike) -> None:
        """Forget a job's memories, a batch at a time, and end it."""
        plain = self._library.plain
        async with plain.pool.own(read_only=True) as conn:
            row = await conn.fetchrow(statement("get_report"), ident, caller.subject)
        if row is None:
            return
        erased, found = Counter[str](row["erased"]), Counter[str](row["found"])
        memories = int(row["memories"])
        cached = True
        while True:
            async with plain.pool.own() as conn:
                await conn.execute(statement("keep_lease"), ident, LEASE_SECONDS)
                rows = await conn.fetch(statement("next_items"), ident, BATCH)
            batch = [row["memory_id"] for row in rows]
            if not batch:
                break
            visible = await self._forget.visible(caller, batch)
            standing = sorted(set(visible.values()))
            if standing:
                erasure = await self._forget.erase(caller.subject, standing)
                erased.update(erasure.counts)
                found.update(erasure.found)
                memories += len(erasure.tiers)
                cached = cached and erasure.cached
            async with plain.pool.own() as conn:
                await conn.execute(
                    statement("advance_report"), ident, dict(erased), dict(found), memories
                )
                await conn.execute(statement("drop_items"), ident, batch)
        async with plain.pool.own() as conn:
            verified_at = now() if cached and not found else None
            await conn.execute(statement("end_job"), ident, verified_at)
        log.info("forget.job_done", memories=memories)


def read_wanted(caller: CallerLike, request: ForgetRequest) -> Wanted:
    """Return what the request names. Sacred memories are in only when the tier is named, or they are by their ids.

    Raises ForgetEmpty, TierUnknown, TierDenied, LevelUnknown, NamespaceInvalid, LabelInvalid, TimeInvalid.
    """
    conditions = (
        *(request.ids, request.namespace, request.level, request.source, request.thread),
        *(request.entity, request.since, request.until),
    )
    if all(condition is None for condition in conditions):
        raise ForgetEmpty()
    tiers = tuple(dict.fromkeys(parse_tier(name) for name in request.tiers or ()))
    for tier in tiers:
        check_tier(caller.db_role, tier)
    if not tiers:
        tiers = tuple(
            tier
            for tier in allowed_tiers(caller.db_role)
            if tier is not Tier.SACRED or request.ids is not None
        )
    if request.entity is not None:
        # Nothing is derived of a sacred memory, so none is known to be about anybody.
        tiers = tuple(tier for tier in tiers if tier is not Tier.SACRED)
    since, until = aware(request.since), aware(request.until)
    check_span(since, until)
    return Wanted(
        tiers,
        tuple(request.ids) if request.ids is not None else None,
        parse_namespace(request.namespace) if request.namespace is not None else None,
        parse_level(request.level) if request.level is not None else None,
        request.source.kind if request.source is not None else None,
        request.source.ref if request.source is not None else None,
        check_label(request.thread) if request.thread is not None else None,
        since,
        until,
        request.entity,
    )


def _fits(wanted: Wanted, entry: Entry) -> bool:
    return (
        wanted.source_kind in (None, entry.source_kind)
        and wanted.source_ref in (None, entry.source_ref)
        and wanted.thread in (None, entry.thread)
    )
