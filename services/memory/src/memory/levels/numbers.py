"""What the levels count, for `/metrics` of the service: the consolidator itself listens to nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contracts.tiers import Tier
from kit import logs
from kit.errors import KitError

from memory.levels.decide import Kind
from memory.levels.plan import LEVELS

if TYPE_CHECKING:
    from kit.clock import Clock
    from kit.metrics import Metrics

    from memory.levels.store import LevelStore

log = logs.get(__name__)
WATCH_SECONDS = 30.0


class LevelNumbers:
    """Gauges read from what the consolidator keeps in Postgres."""

    def __init__(self, metrics: Metrics) -> None:
        self.held = metrics.gauge(
            "level_memories", "Active memories of everybody, as last counted.", ("level",)
        )
        self.moves = metrics.gauge(
            "consolidation_moves", "Moves ever made, of each kind.", ("kind",)
        )
        self.round_seconds = metrics.gauge(
            "consolidation_round_seconds", "How long the last round took."
        )
        self.round_age = metrics.gauge(
            "consolidation_last_round_age_seconds", "How long ago the last round began."
        )
        self.enabled = metrics.gauge("consolidation_enabled", "1 when memories are moved, else 0.")

    async def read(self, store: LevelStore, clock: Clock) -> None:
        """Bring the gauges up to date. Raises DataUnavailable."""
        async with store.plain.own(read_only=True) as conn:
            state = await store.state(conn)
            held = await store.all_occupancy(conn)
            moves = await store.counts(conn, Tier.CONVENIENCE)
        async with store.sacred.own(read_only=True) as conn:
            sacred = await store.counts(conn, Tier.SACRED)
        for level in LEVELS:
            self.held.labels(level).set(held.get(level, 0))
        for kind in Kind:
            self.moves.labels(kind.value).set(moves.get(kind, 0) + sacred.get(kind, 0))
        self.enabled.set(float(state.enabled and state.mode == "on"))
        if state.round_at is not None:
            self.round_age.set(max((clock.now() - state.round_at).total_seconds(), 0.0))
        if state.round_seconds is not None:
            self.round_seconds.set(state.round_seconds)


async def watch_levels(store: LevelStore, numbers: LevelNumbers, clock: Clock) -> None:
    """Keep the gauges true until cancelled."""
    while True:
        try:
            await numbers.read(store, clock)
        except KitError as error:
            log.warning("numbers.waiting", code=error.code)
        except Exception as error:
            # Such as before the first migration, when there is no table yet.
            log.exception("numbers.failed", error)
        await clock.sleep(WATCH_SECONDS)
