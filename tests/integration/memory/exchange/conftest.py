"""Leaving and forgetting without HTTP, for what only a crash shows; and the consolidator that writes the files."""

from tests.integration.memory.levels.conftest import consolidators
from tests.integration.memory.tiers.conftest import bench

__all__ = ["bench", "consolidators"]
