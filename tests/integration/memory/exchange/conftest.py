"""Leaving and forgetting without HTTP, for what only a crash shows."""

from tests.integration.memory.tiers.conftest import bench

__all__ = ["bench"]
