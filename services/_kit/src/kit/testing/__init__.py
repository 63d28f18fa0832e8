"""Pytest fixtures of the house: a clock, signed callers, real stores. The root conftest.py loads the modules in here."""
