"""What must be known again after a restart, in Postgres behind typed methods."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from kit import sql
from kit.pool import Pool

QUERIES = sql.load(Path(__file__).with_name("queries.sql"))
PeakKey = tuple[str, str, str]  # node, model, fingerprint


@dataclass(frozen=True, slots=True)
class KeptLease:
    """A lease that is held, as a restart finds it."""

    id: str
    holder: str
    agent: str | None
    purpose: str
    service_class: str
    model: str | None
    memory_mib: int | None
    node: str
    card: str | None
    instance_id: str | None
    fence: int
    ttl_seconds: float


@dataclass(frozen=True, slots=True)
class Minute:
    """One card in one minute: what is shown over time."""

    card: str
    at: datetime
    node: str
    total_mib: int
    used_mib: int
    booked_mib: int
    utilisation_percent: float | None
    watts: float | None
    parts: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Decided:
    """One thing that was decided, and why."""

    at: datetime
    verb: str
    subject: str
    why: str


class Store:
    """The scheduler's tables. Each method is one transaction and raises DataUnavailable."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def next_epoch(self) -> int:
        """Return the number of this life of the scheduler: higher than every one before."""
        async with self._pool.own() as conn:
            return int(await conn.fetchval(QUERIES.next_epoch))

    async def epochs(self, count: int) -> int:
        """Go on by so many lives; return the number of the last. Higher than every one before."""
        async with self._pool.own() as conn:
            return int(await conn.fetchval(QUERIES.next_epochs, count))

    async def peaks(self) -> dict[PeakKey, int]:
        """Return the measured peaks, MiB on each card."""
        async with self._pool.own(read_only=True) as conn:
            rows = await conn.fetch(QUERIES.read_peaks)
        return {(row["node"], row["model"], row["fingerprint"]): row["peak_mib"] for row in rows}

    async def keep_peaks(self, peaks: Mapping[PeakKey, int]) -> None:
        """Keep measured peaks; a lower one than is kept changes nothing."""
        async with self._pool.own() as conn:
            await conn.executemany(
                QUERIES.keep_peak, [(*key, peak) for key, peak in sorted(peaks.items())]
            )

    async def leases(self) -> list[KeptLease]:
        """Return the leases that nobody has released."""
        async with self._pool.own(read_only=True) as conn:
            rows = await conn.fetch(QUERIES.read_leases)
        names = KeptLease.__dataclass_fields__
        return [KeptLease(**{name: row[name] for name in names}) for row in rows]

    async def keep_lease(self, lease: KeptLease) -> None:
        """Keep a lease from its grant on."""
        async with self._pool.own() as conn:
            await conn.execute(
                QUERIES.keep_lease,
                *(lease.id, lease.holder, lease.agent, lease.purpose, lease.service_class),
                *(lease.model, lease.memory_mib, lease.node, lease.card, lease.instance_id),
                *(lease.fence, lease.ttl_seconds),
            )

    async def renew_leases(self, ids: list[str]) -> None:
        """Note that holders of leases live."""
        async with self._pool.own() as conn:
            await conn.executemany(QUERIES.renew_lease, [(one,) for one in ids])

    async def end_leases(self, ids: list[str]) -> None:
        """Forget leases that are over."""
        async with self._pool.own() as conn:
            await conn.executemany(QUERIES.end_lease, [(one,) for one in ids])

    async def orders(self) -> list[tuple[str, str, bool]]:
        """Return the standing orders: kind, name, whether it holds."""
        async with self._pool.own(read_only=True) as conn:
            rows = await conn.fetch(QUERIES.read_orders)
        return [(row["kind"], row["name"], row["enabled"]) for row in rows]

    async def keep_orders(self, orders: Mapping[tuple[str, str], bool]) -> None:
        """Keep standing orders by kind and name."""
        async with self._pool.own() as conn:
            await conn.executemany(
                QUERIES.keep_order, [(*key, enabled) for key, enabled in sorted(orders.items())]
            )

    async def words(self) -> dict[str, Any]:
        """Return what nodes that can be woken said last, by their names."""
        async with self._pool.own(read_only=True) as conn:
            return {row["node"]: row["said"] for row in await conn.fetch(QUERIES.read_words)}

    async def keep_words(self, words: Mapping[str, Any]) -> None:
        """Keep what nodes said last."""
        async with self._pool.own() as conn:
            await conn.executemany(QUERIES.keep_word, sorted(words.items()))

    async def keep_decisions(self, epoch: int, decided: list[Decided]) -> None:
        """Add to the journal."""
        async with self._pool.own() as conn:
            await conn.executemany(
                QUERIES.keep_decision,
                [(one.at, epoch, one.verb, one.subject, one.why) for one in decided],
            )

    async def decisions(self, before: datetime, limit: int) -> list[Decided]:
        """Return the newest decisions before an instant."""
        async with self._pool.own(read_only=True) as conn:
            rows = await conn.fetch(QUERIES.read_decisions, before, limit)
        return [Decided(**row) for row in rows]

    async def keep_minutes(self, minutes: list[Minute]) -> None:
        """Add to the cards' history; a minute that is there stays as it is."""
        async with self._pool.own() as conn:
            await conn.executemany(
                QUERIES.keep_minute,
                [
                    (
                        *(one.card, one.at, one.node, one.total_mib, one.used_mib, one.booked_mib),
                        *(one.utilisation_percent, one.watts, one.parts),
                    )
                    for one in minutes
                ],
            )

    async def minutes(
        self, since: datetime, until: datetime, card: str | None, limit: int, step_minutes: int = 1
    ) -> list[Minute]:
        """Return the cards' history, oldest first, at most `limit` rows: of every `step_minutes` the fullest."""
        async with self._pool.own(read_only=True) as conn:
            rows = await conn.fetch(
                QUERIES.read_minutes, since, until, card, limit, step_minutes * 60
            )
        return [Minute(**row) for row in rows]

    async def forget(self, days: int) -> None:
        """Forget decisions and minutes older than `days`, a bounded number at a time."""
        async with self._pool.own() as conn:
            await conn.execute(QUERIES.forget_decisions, days)
            await conn.execute(QUERIES.forget_minutes, days)
