"""What identity counts. Labels are events and outcomes of a fixed set, never a person."""

from prometheus_client import Counter, Histogram

EVENTS = Counter("lares_edge_identity_events_total", "What happened at the door.", ["event", "outcome"])
AUDIT_DROPPED = Counter("lares_edge_identity_audit_dropped_total", "Refusals beyond the audit's budget, counted here only.")
REQUESTS = Histogram(
    "lares_edge_identity_request_seconds",
    "Time of a request.",
    ["method", "status"],
    buckets=(0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 3),
)
