"""What the gateway counts: lares_inference_*. Labels are names from the models file and error codes."""

from kit.metrics import Metrics

from model_gateway.accounts.writer import Accounts
from model_gateway.call import Call
from model_gateway.gpu.link import Link
from model_gateway.upstream import Upstream

MICROS = 1_000_000
SECONDS_PER_HOUR = 3600.0
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
        self._unwritten = metrics.gauge(
            "accounts_waiting_calls", "Calls whose account is not in the database yet."
        )
        self._dropped = metrics.gauge(
            "accounts_dropped_calls", "Calls whose account was lost since the start."
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

        self.queue = metrics.histogram(
            "queue_seconds",
            "Seconds that a request waited for its turn.",
            ("way",),
            ANSWER_BUCKETS,
        )
        self.ways = metrics.counter(
            "way_requests_total",
            "Requests by the way that answered or was tried last.",
            ("model", "way", "outcome"),
        )
        self.cost = metrics.counter(
            "cost_total", "What answers cost, in the currency of models.yaml.", ("way",)
        )
        self.energy = metrics.counter(
            "watt_hours_total", "What answers drew, where cards tell.", ("way",)
        )
        self.falls = metrics.counter(
            "fall_overs_total",
            "Requests that a way could not answer and that passed to the next.",
            ("model", "way", "reason"),
        )

        self._scheduler = metrics.gauge(
            "gpu_scheduler_up", "1 while the gateway is connected to the GPU scheduler.", ()
        )
        self._places = metrics.gauge(
            "gpu_requests", "Requests that wait for a GPU or run on one.", ()
        )

    def watch(self, upstream: Upstream) -> None:
        """Show the state of a backend's queue and breaker."""
        self._waiting.labels(upstream.name).set_function(lambda: upstream.lane.waiting)
        self._running.labels(upstream.name).set_function(lambda: upstream.lane.running)
        self._open.labels(upstream.name).set_function(lambda: int(upstream.breaker.open))

    def watch_gpu(self, link: Link) -> None:
        """Show whether the scheduler is there and how much waits or runs with it."""
        self._scheduler.set_function(lambda: int(link.connected))
        self._places.set_function(lambda: link.places)

    def watch_accounts(self, accounts: Accounts) -> None:
        """Show what waits to be written down, and what never will be."""
        self._unwritten.set_function(lambda: accounts.waiting)
        self._dropped.set_function(lambda: accounts.dropped)

    def count(self, call: Call, outcome: str, seconds: float) -> None:
        """Count a request that is over, its tokens as reported, or by pieces of the stream where they are not."""
        self.requests.labels(call.model, outcome).inc()
        self.answer.labels(call.model).observe(seconds)
        way = call.way or ""
        self.ways.labels(call.model, way, outcome).inc()
        self.queue.labels(way).observe(call.queue_seconds)
        if call.watt_seconds:
            self.energy.labels(way).inc(call.watt_seconds / SECONDS_PER_HOUR)
        if call.cost_micros:
            self.cost.labels(way).inc(call.cost_micros / MICROS)
        read = call.tally.tokens_read or 0
        written = call.tally.tokens_written
        for direction, count in (
            ("read", read),
            ("written", call.tally.pieces if written is None else written),
        ):
            if count > 0:
                self.tokens.labels(call.model, direction).inc(count)
