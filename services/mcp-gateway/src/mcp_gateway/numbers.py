"""What the gateway counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kit.metrics import Metrics


class Numbers:
    """The service's own numbers. Tools and codes are closed sets of words."""

    def __init__(self, metrics: Metrics) -> None:
        self.called = metrics.counter(
            "mcp_tool_calls_total", "Tools called, by how it ended.", ("tool", "outcome")
        )
        self.refused = metrics.counter(
            "mcp_refused_total", "Requests refused at the gate.", ("code",)
        )
