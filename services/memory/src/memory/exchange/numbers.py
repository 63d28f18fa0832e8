"""What is counted of leaving, coming back and forgetting."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kit.metrics import Metrics


class ExchangeNumbers:
    """Formats and outcomes are closed sets of words; no id, file or text is a label."""

    def __init__(self, metrics: Metrics) -> None:
        self.exports = metrics.counter("exports_total", "Exports begun, by format.", ("format",))
        self.imported = metrics.counter(
            "import_rows_total", "Rows of imports that were not dry runs, by outcome.", ("outcome",)
        )
        self.forgets = metrics.counter(
            "forgets_total", "Forgetting, by whether a second look found nothing.", ("verified",)
        )
