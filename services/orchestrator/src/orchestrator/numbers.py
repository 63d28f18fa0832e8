"""What the orchestrator counts. Labels are words of the program, never a person's."""

from kit.metrics import Metrics

SECONDS_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120)


class Numbers:
    """The prometheus numbers of turns, decisions and confirmations."""

    def __init__(self, metrics: Metrics) -> None:
        self._turns = metrics.counter("turns_total", "Turns that ended.", ("intent", "status"))
        self._seconds = metrics.histogram(
            "turn_seconds", "Seconds from words to end.", ("intent",), SECONDS_BUCKETS
        )
        self._first = metrics.histogram(
            "first_token_seconds",
            "Seconds from words to the model's first token.",
            buckets=SECONDS_BUCKETS,
        )
        self._decisions = metrics.counter("decisions_total", "Policy's verdicts.", ("verdict",))
        self._confirmations = metrics.counter(
            "confirmations_total", "Confirmations that ended.", ("state",)
        )
        self._redacted = metrics.counter(
            "redacted_turns_total", "Turns whose words went with a memory."
        )
        self._present = metrics.gauge(
            "known_to_scheduler", "1 while gpu-scheduler hears that this process lives."
        )

    def present(self, heard: bool) -> None:
        """Note whether the scheduler heard this process."""
        self._present.set(heard)

    def turn(self, intent: str, status: str, duration_ms: int, first_token_ms: int | None) -> None:
        """Count a turn that ended."""
        self._turns.labels(intent, status).inc()
        self._seconds.labels(intent).observe(duration_ms / 1000)
        if first_token_ms is not None:
            self._first.observe(first_token_ms / 1000)

    def decision(self, verdict: str) -> None:
        """Count a verdict."""
        self._decisions.labels(verdict).inc()

    def confirmation(self, state: str) -> None:
        """Count a confirmation that ended."""
        self._confirmations.labels(state).inc()

    def redacted(self, turns: int) -> None:
        """Count turns whose words went away."""
        self._redacted.inc(turns)
