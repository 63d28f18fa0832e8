"""The numbers that a scraper reads of this node."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import get_args

from contracts.gpunode import CardReading, InstancePhase, InstanceState
from kit.metrics import Metrics

PHASES: tuple[str, ...] = get_args(InstancePhase)
# From a wake of a tenth of a second to a start of minutes.
LIFE_BUCKETS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)


class Numbers:
    """Cards, instances, actions and requests."""

    def __init__(self) -> None:
        self.metrics = Metrics("node-agent", "inference")
        gauge, counter = self.metrics.gauge, self.metrics.counter
        self._cards = {
            "total": gauge("node_card_total_mib", "Memory of a card.", ("card",)),
            "used": gauge("node_card_used_mib", "Memory of a card that is used.", ("card",)),
            "ours": gauge("node_card_ours_mib", "Memory of a card that models use.", ("card",)),
        }
        self._unreadable = gauge("node_cards_unreadable_count", "Cards that cannot be read.")
        self._instances = gauge("node_instances_count", "Instances by phase.", ("phase",))
        self._seconds = self.metrics.histogram(
            "node_instance_seconds", "What starts, wakes, sleeps and stops take.", ("verb",), LIFE_BUCKETS
        )  # fmt: skip
        self._ends = counter("node_failures_total", "Instances that failed.", ("why",))
        self.actions = counter("node_actions_total", "Actions taken.", ("verb",))
        self.refused = counter("node_refused_total", "Requests and actions refused.", ("code",))
        self.proxied = counter(
            "node_proxied_total", "Requests passed on, by outcome.", ("outcome",)
        )
        self.in_flight = gauge("node_in_flight_count", "Requests being passed on.")

    def finished(self, verb: str, outcome: str, seconds: float) -> None:
        """Count how an instance got where it is."""
        if outcome == "ok":
            self._seconds.labels(verb).observe(seconds)
        else:
            self._ends.labels(outcome).inc()

    def show(self, cards: Sequence[CardReading], instances: Sequence[InstanceState]) -> None:
        """Set what is read each second."""
        for card in cards:
            self._cards["total"].labels(card.id).set(card.total_mib)
            self._cards["used"].labels(card.id).set(card.used_mib)
            self._cards["ours"].labels(card.id).set(sum(use.used_mib for use in card.ours))
        self._unreadable.set(sum(card.error is not None for card in cards))
        phases = Counter(one.phase for one in instances)
        for phase in PHASES:
            self._instances.labels(phase).set(phases.get(phase, 0))
