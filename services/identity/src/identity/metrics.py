"""What identity counts. Labels are words of a fixed set, never a person."""

from kit.metrics import Metrics

METRICS = Metrics("identity", "edge")
EVENTS = METRICS.counter(
    "identity_events_total", "What happened at the door.", ("event", "outcome")
)
AUDIT_DROPPED = METRICS.counter(
    "identity_audit_dropped_total", "Refusals beyond the audit's budget, counted here only."
)
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
