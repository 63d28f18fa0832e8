"""Names that travel on every hop, without pydantic."""

CALLER_HEADER = "X-Lares-Caller"
