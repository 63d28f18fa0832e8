"""Answers kept for a moment: in this process, then sealed in Valkey, then asked of Postgres."""
