"""What memory counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kit.metrics import Metrics


class Numbers:
    """The service's own numbers. Tiers are a closed set of words; no id and no text is a label."""

    def __init__(self, metrics: Metrics) -> None:
        self.remembered = metrics.counter("remembered_total", "Memories remembered.", ("tier",))
        self.recalled = metrics.counter(
            "recalls_total", "Recalls answered, whole or by words alone.", ("answer",)
        )
        self.forgotten = metrics.counter("forgotten_total", "Memories forgotten.")
