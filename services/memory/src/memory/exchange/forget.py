"""Forget: everything goes, a report without a word stays, and nothing is called verified before it was looked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from contracts.exchange import ForgetReport
from contracts.tiers import Tier

from memory.domain import allowed_tiers
from memory.errors import MemoryNotFound
from memory.exchange.copies import Copies
from memory.exchange.eraser import PLAIN, STORES, Cache, Eraser, Erasure, most_private
from memory.exchange.store import statement, text_for
from memory.library import now
from memory.presenting import check_writes

if TYPE_CHECKING:
    from kit.pool import CallerLike, Connection

    from memory.library import Library

NO_BACKUPS = Copies(backup_days=0, log_days=7)


class Forget:
    """`DELETE /v1/memories/{id}` and `GET /v1/forgotten/{id}`."""

    def __init__(
        self,
        library: Library,
        wake: Callable[[Tier], None],
        copies: Copies = NO_BACKUPS,
        caches: Sequence[Cache] = (),
    ) -> None:
        self._library = library
        self._wake = wake
        self._copies = copies
        self._eraser = Eraser(library, caches)

    async def __call__(self, caller: CallerLike, memory_id: UUID) -> ForgetReport:
        """Return how much was erased, per store, once it is gone; all zero when it was already forgotten.

        A memory that was merged into another is that one by now: the whole of it is forgotten.
        Raises MemoryNotFound, Busy, kit.read_only, DataUnavailable.
        """
        check_writes(caller.db_role, caller.read_only)
        ident = (await self.visible(caller, [memory_id])).get(memory_id)
        if ident is None and await self._buried(caller, memory_id) is None:
            raise MemoryNotFound()
        # What was forgotten already is cleared again: a crash between the two databases may have left a part.
        erasure = await self.erase(caller.subject, [ident or memory_id])
        if not erasure.tiers:
            return await self._already(caller, memory_id, erasure)
        report = Report.of(memory_id, erasure)
        await self._keep(caller.subject, report)
        return self._shown(report, erasure.found["nightly_files"])

    async def erase(self, subject: UUID, ids: Sequence[UUID]) -> Erasure:
        """Erase memories that somebody who may has asked to forget. Raises Busy, ForgetTooMany, DataUnavailable."""
        erasure = await self._eraser(subject, ids)
        for tier in set(erasure.tiers.values()):
            self._wake(tier)
        return erasure

    async def visible(self, caller: CallerLike, ids: Sequence[UUID]) -> dict[UUID, UUID]:
        """Return for each id the caller may see the memory that it stands for: itself, or what it was merged into."""
        found: dict[UUID, UUID] = {}
        for tier in allowed_tiers(caller.db_role):
            async with self._library.shelf(tier).pool.as_caller(caller) as conn:
                if tier is Tier.SACRED:
                    rows = await conn.fetch(statement("find_standing_sacred"), list(ids))
                else:
                    rows = await conn.fetch(text_for("find_visible", tier), list(ids))
                    merged = await conn.fetch(text_for("find_survivors", tier), list(ids))
                    found |= {row["merged_id"]: row["memory_id"] for row in merged}
                found |= {row["id"]: row["id"] for row in rows}
        return found

    async def report(self, caller: CallerLike, ident: UUID) -> ForgetReport:
        """Return the report on a memory or a bulk forget, after another look at every store. Raises MemoryNotFound."""
        allowed = allowed_tiers(caller.db_role)
        for tier in (Tier.SACRED, Tier.CONVENIENCE):
            shelf = self._library.shelf(tier)
            async with shelf.pool.own(read_only=True) as conn:
                row = await conn.fetchrow(text_for("get_report", tier), ident, caller.subject)
            if row is not None and Tier(row["tier"]) in allowed:
                return await self._looked(caller, Report.read(row))
        buried = await self._buried(caller, ident)
        if buried is None:
            raise MemoryNotFound()
        # Forgotten before reports were kept, or along with what it was made of.
        report = Report(ident, buried[0], buried[1], 1, dict.fromkeys(STORES, 0))
        return await self._looked(caller, report, keep=False)

    async def _already(self, caller: CallerLike, ident: UUID, erasure: Erasure) -> ForgetReport:
        report = await self.report(caller, ident)
        erased = dict(erasure.counts)
        return report.model_copy(update={"erased": erased})

    async def _looked(
        self, caller: CallerLike, report: Report, *, keep: bool = True
    ) -> ForgetReport:
        if report.state != "done" or (keep and await self._buried(caller, report.id) is None):
            # A bulk forget looks as it goes; its own id is no memory's.
            return self._shown(report, report.found.get("nightly_files", 0))
        found = await self._eraser.look(caller.subject, [report.id])
        report.found, report.verified_at = dict(found), None if found else now()
        if keep:
            books = _books(report.tier)
            async with self._library.shelf(books).pool.own() as conn:
                await conn.execute(
                    text_for("verify_report", books),
                    *(report.id, caller.subject, report.found, report.verified_at),
                )
        return self._shown(report, found["nightly_files"])

    async def _buried(self, caller: CallerLike, ident: UUID) -> tuple[Tier, datetime] | None:
        """Return where a memory was forgotten and when, if the caller has a part in that tier: else they learn nothing."""
        for tier in (Tier.SACRED, Tier.CONVENIENCE):
            shelf = self._library.shelf(tier)
            async with shelf.pool.own(read_only=True) as conn:
                rows = await conn.fetch(text_for("get_tombstones", tier), caller.subject, [ident])
            for row in rows:
                if Tier(row["tier"]) in allowed_tiers(caller.db_role):
                    return Tier(row["tier"]), row["forgotten_at"]
        return None

    async def _keep(self, subject: UUID, report: Report) -> None:
        books = _books(report.tier)
        async with self._library.shelf(books).pool.own() as conn:
            await put_report(conn, subject, report)

    def _shown(self, report: Report, in_files: int) -> ForgetReport:
        files = self._copies.remaining(report.forgotten_at, in_files)
        return ForgetReport(
            erased=report.erased,
            id=report.id,
            state="done" if report.state == "done" else "running",
            memories=report.memories,
            forgotten_at=report.forgotten_at,
            verified=report.verified_at is not None,
            verified_at=report.verified_at,
            found=report.found,
            remaining=files,
        )


class Report:
    """A report as it is kept: ids, counts and times."""

    def __init__(
        self,
        ident: UUID,
        tier: Tier,
        forgotten_at: datetime,
        memories: int,
        erased: dict[str, int],
        found: dict[str, int] | None = None,
        verified_at: datetime | None = None,
        state: str = "done",
    ) -> None:
        self.id, self.tier, self.forgotten_at, self.memories = ident, tier, forgotten_at, memories
        self.erased, self.found = erased, found or {}
        self.verified_at, self.state = verified_at, state

    @classmethod
    def of(cls, ident: UUID, erasure: Erasure) -> Report:
        """Return the report on what was just erased."""
        moment = now()
        verified = erasure.cached and not erasure.found
        tier = erasure.tiers.get(ident) or most_private(list(erasure.tiers.values()))
        return cls(
            ident,
            tier,
            moment,
            len(erasure.tiers),
            dict(erasure.counts),
            dict(erasure.found),
            moment if verified else None,
        )

    @classmethod
    def read(cls, row: Any) -> Report:
        """Return a report from its row."""
        return cls(
            row["id"],
            Tier(row["tier"]),
            row["forgotten_at"],
            row["memories"],
            row["erased"],
            row["found"],
            row["verified_at"],
            row["state"],
        )


async def put_report(conn: Connection, subject: UUID, report: Report) -> None:
    """Keep a report, or what has become of it."""
    await conn.execute(
        text_for("put_report", _books(report.tier)),
        *(report.id, subject, report.tier.value, report.state, report.memories),
        *(report.erased, report.found, report.forgotten_at, report.verified_at),
    )


def _books(tier: Tier) -> Tier:
    return Tier.CONVENIENCE if tier in PLAIN else Tier.SACRED
