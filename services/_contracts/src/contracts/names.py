"""Names that travel on every hop, without pydantic."""

CALLER_HEADER = "X-Lares-Caller"
SERVICE_HEADER = "X-Lares-Service"  # which service calls; the networks say who can
