"""Prepares Postgres for the house: roles, databases, and the numbered SQL files."""
