"""What the gateway counts: lares_inference_*. Labels are names from the models file and error codes."""

from typing import Any

from kit.metrics import Metrics

from model_gateway.upstream import Upstream

ANSWER_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)


class Numbers:
    """The gateway's counters."""

    def __init__(self, metrics: Metrics) -> None:
        self.requests = metrics.counter(
            "requests_total", "Requests by model and outcome.", ("model", "outcome")
        )
        self.tokens = metrics.counter(
            "tokens_total", "Tokens by model, read or written.", ("model", "direction")
        )
        self.first_token = metrics.histogram(
            "first_token_seconds",
            "Seconds to the first token, waiting included.",
            ("model",),
            ANSWER_BUCKETS,
        )
        self.answer = metrics.histogram(
            "answer_seconds",
            "Seconds to the end of the answer, waiting included.",
            ("model",),
            ANSWER_BUCKETS,
        )
        self._waiting = metrics.gauge(
            "queue_requests", "Requests that wait for a backend.", ("backend",)
        )
        self._running = metrics.gauge(
            "running_requests", "Requests that a backend works on.", ("backend",)
        )
        self._open = metrics.gauge(
            "breaker_open", "1 while a failing backend is left alone.", ("backend",)
        )

    def watch(self, upstream: Upstream) -> None:
        """Show the state of a backend's queue and breaker."""
        self._waiting.labels(upstream.name).set_function(lambda: upstream.lane.waiting)
        self._running.labels(upstream.name).set_function(lambda: upstream.lane.running)
        self._open.labels(upstream.name).set_function(lambda: int(upstream.breaker.open))

    def count_usage(self, model: str, usage: dict[str, Any] | None, pieces: int = 0) -> None:
        """Count tokens as the backend reports them, or by pieces of the stream where it does not."""
        read = (usage or {}).get("prompt_tokens")
        written = (usage or {}).get("completion_tokens", pieces)
        for direction, count in (("read", read), ("written", written)):
            if isinstance(count, int) and count > 0:
                self.tokens.labels(model, direction).inc(count)
