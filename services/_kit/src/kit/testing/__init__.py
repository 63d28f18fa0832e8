"""Pytest fixtures of the house: a clock, signed callers, real stores. Loaded by the root conftest.py."""
