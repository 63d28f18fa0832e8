"""What the scheduler counts, under `lares_inference_gpu_`. Labels are words of the program, cards and models."""

from __future__ import annotations

from kit.metrics import Metrics

DECISION_BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.05, 0.25)
WAIT_BUCKETS = (0.01, 0.05, 0.25, 1, 2, 4, 8, 15, 30, 60, 120, 300, 900)


class Numbers:
    """The Prometheus numbers of the queue, the cards, the decisions and what waits to be written."""

    def __init__(self, metrics: Metrics) -> None:
        by_class, by_card = ("service_class",), ("node", "card")
        self.queue = metrics.gauge("gpu_queue_requests", "Requests that wait.", by_class)
        self.queue_age = metrics.gauge(
            "gpu_queue_age_seconds",
            "Waiting time of the request that has waited longest.",
            by_class,
        )
        self.running = metrics.gauge("gpu_running_requests", "Requests that are granted.")
        self.leases = metrics.gauge("gpu_leases", "Leases that are held.")
        self.granted = metrics.counter("gpu_granted_total", "Requests that were granted.", by_class)
        self.waited = metrics.histogram(
            "gpu_waited_seconds", "Seconds from an ask to its grant.", by_class, WAIT_BUCKETS
        )
        self.refused = metrics.counter(
            "gpu_refused_total", "Requests that were refused.", ("code", "service_class")
        )
        self.switches = metrics.counter(
            "gpu_moves_total", "Models started, woken, put to sleep or stopped.", ("verb",)
        )
        self.preempted = metrics.counter("gpu_preempted_total", "Grants that were taken back.")
        self.total = metrics.gauge("gpu_card_total_mib", "Memory of a card.", by_card)
        self.used = metrics.gauge("gpu_card_used_mib", "Memory in use, as it was read.", by_card)
        self.booked = metrics.gauge("gpu_card_booked_mib", "Memory that is booked.", by_card)
        self.foreign = metrics.gauge("gpu_card_foreign_mib", "Memory that others use.", by_card)
        self.over = metrics.gauge(
            "gpu_card_over_budget_mib", "What is booked and foreign beyond the card.", by_card
        )
        self.age = metrics.gauge("gpu_card_reading_age_seconds", "Age of a reading.", by_card)
        self.node_up = metrics.gauge("gpu_node_up", "1 while the node answers.", ("node",))
        self.node_sleeps = metrics.gauge(
            "gpu_node_sleeps", "1 while a node that can be woken is off, and may be.", ("node",)
        )
        self.crashes = metrics.gauge(
            "gpu_model_crashes", "Starts in a row that failed.", ("node", "model")
        )
        self.decision = metrics.histogram(
            "gpu_decision_seconds", "Seconds of one round of the loop.", buckets=DECISION_BUCKETS
        )
        self.lag = metrics.gauge("gpu_inbox_lag_seconds", "Waiting time of the oldest event.")
        self.gateways = metrics.gauge("gpu_gateways", "Gateways that are connected.")
        self.cut = metrics.counter(
            "gpu_gateway_closed_total", "Connections of gateways that were closed.", ("code",)
        )
        self.action_failed = metrics.counter(
            "gpu_action_failed_total", "Actions that a node refused or did not get.", ("code",)
        )
        self.waiting_rows = metrics.gauge("gpu_unwritten_rows", "Rows that wait for Postgres.")
        self.dropped_rows = metrics.counter(
            "gpu_dropped_rows_total", "Rows that were given up.", ("kind",)
        )

    def unwritten(self, rows: int) -> None:
        """Say how many rows wait for Postgres."""
        self.waiting_rows.set(rows)

    def dropped(self, kind: str) -> None:
        """Count a row that was given up."""
        self.dropped_rows.labels(kind).inc()
