"""What is noted of every turn: measured peaks, a minute of each card, and the numbers that a scraper reads."""

from __future__ import annotations

from datetime import datetime

from kit.clock import Clock

from gpu_scheduler.core.model import ServiceClass, State
from gpu_scheduler.fleet import Fleet
from gpu_scheduler.keeping import Keeper
from gpu_scheduler.loop import Loop, Turn
from gpu_scheduler.numbers import Numbers
from gpu_scheduler.store import Minute
from gpu_scheduler.troubles import over_mib, sleeps
from gpu_scheduler.views import Views

GAUGES_SECONDS = 1.0


class Bookkeeping:
    """Notes, and decides nothing."""

    def __init__(
        self, loop: Loop, fleet: Fleet, keeper: Keeper, numbers: Numbers, clock: Clock
    ) -> None:
        self._loop = loop
        self._fleet = fleet
        self._keeper = keeper
        self._numbers = numbers
        self._clock = clock
        self._minutes: dict[str, datetime] = {}
        self._gauged_at = float("-inf")
        self._cards: set[tuple[str, str]] = set()
        self._nodes: set[str] = set()
        self._models: set[tuple[str, str]] = set()

    def turned(self, state: State, turn: Turn) -> float | None:
        """Note a turn."""
        self._numbers.decision.observe(turn.seconds)
        self._numbers.lag.set(self._loop.lag_seconds)
        for key in list(state.peaks_unsaved):
            self._keeper.peak(key, state.peaks[key])
        state.peaks_unsaved.clear()
        if turn.now - self._gauged_at >= GAUGES_SECONDS:
            self._gauged_at = turn.now
            self._gauge(state, turn.now)
        return None

    def _gauge(self, state: State, now: float) -> None:
        numbers = self._numbers
        leases = sum(1 for request in state.granted.values() if request.lease)
        numbers.leases.set(leases)
        numbers.running.set(len(state.granted) - leases)
        oldest = dict.fromkeys(ServiceClass, 0.0)
        for waiting in state.queue.values():
            for request in waiting.values():
                waited = now - request.arrived
                oldest[request.service_class] = max(oldest[request.service_class], waited)
        for kind in ServiceClass:
            numbers.queue.labels(kind.value).set(state.queued_by_class[kind])
            numbers.queue_age.labels(kind.value).set(oldest[kind])
        names = set(self._fleet.names())
        for gone in self._nodes - names:
            numbers.node_sleeps.remove(gone)
        for name in names:
            numbers.node_sleeps.labels(name).set(sleeps(state, name, now))
        self._nodes = names
        # Of what is not offered any more nothing is said, so that no alert outlives its model.
        declared = state.books.keys() & state.deployments.keys()
        for key in self._models - declared:
            numbers.crashes.remove(*key)
        for key in declared:
            numbers.crashes.labels(*key).set(state.books[key].crashes)
        self._models = declared
        self._cards_of(state, now)

    def _cards_of(self, state: State, now: float) -> None:
        wall = self._clock.now()
        minute = wall.replace(second=0, microsecond=0)
        numbers, seen = self._numbers, set[tuple[str, str]]()
        for card in Views(state, self._fleet.said(), now, wall).cards():
            labels = (card.node, card.id)
            seen.add(labels)
            numbers.total.labels(*labels).set(card.total_mib)
            numbers.used.labels(*labels).set(card.used_mib)
            numbers.booked.labels(*labels).set(card.booked_mib)
            numbers.foreign.labels(*labels).set(card.foreign_mib)
            numbers.over.labels(*labels).set(over_mib(card))
            if card.read_at is not None:
                numbers.age.labels(*labels).set(max(0.0, (wall - card.read_at).total_seconds()))
            if self._minutes.get(card.id) != minute and not card.stale:
                self._minutes[card.id] = minute
                self._keeper.minute(
                    Minute(
                        card=card.id,
                        at=minute,
                        node=card.node,
                        total_mib=card.total_mib,
                        used_mib=card.used_mib,
                        booked_mib=card.booked_mib,
                        utilisation_percent=card.utilisation_percent,
                        watts=card.watts,
                        parts=[part.model_dump(exclude_none=True) for part in card.parts],
                    )
                )
        for gone in self._cards - seen:
            of_a_card = (numbers.total, numbers.used, numbers.booked, numbers.foreign)
            for gauge in (*of_a_card, numbers.over, numbers.age):
                gauge.remove(*gone)
            self._minutes.pop(gone[1], None)
        self._cards = seen
