"""The settings of the levels, which the service and the consolidator share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from kit.settings import CommonSettings, setting

from memory.levels.plan import EPISODIC, KNOWLEDGE, LEVELS, LIMITS, SESSION, WORKING, Limits


@dataclass(frozen=True, kw_only=True)
class LevelSettings(CommonSettings):
    """How much each level holds and what it takes to rise; levels/plan.py has the rest of the table."""

    consolidation: Literal["on", "off", "dry_run"] = setting(
        "LARES_MEMORY_CONSOLIDATION",
        default="on",
        help="Moves between levels: on, off, or dry_run, which only plans them. The owner's switch counts as well.",
    )
    session_capacity: int = setting(
        "LARES_MEMORY_SESSION_CAPACITY",
        default=LEVELS[SESSION].capacity,
        help="Most memories a person has in the level session.",
    )
    working_capacity: int = setting(
        "LARES_MEMORY_WORKING_CAPACITY",
        default=LEVELS[WORKING].capacity,
        help="Most memories a person has in the level working.",
    )
    episodic_capacity: int = setting(
        "LARES_MEMORY_EPISODIC_CAPACITY",
        default=LEVELS[EPISODIC].capacity,
        help="Most memories a person has in the level episodic.",
    )
    knowledge_capacity: int = setting(
        "LARES_MEMORY_KNOWLEDGE_CAPACITY",
        default=LEVELS[KNOWLEDGE].capacity,
        help="Most memories a person has in the level knowledge, the archive not counted.",
    )
    session_accesses: int = setting(
        "LARES_MEMORY_SESSION_ACCESSES",
        default=LIMITS.session_accesses,
        help="Uses that take a memory from session to working.",
    )
    working_accesses: int = setting(
        "LARES_MEMORY_WORKING_ACCESSES",
        default=LIMITS.working_accesses,
        help="Uses that take a memory from working to episodic.",
    )

    def limits(self) -> Limits:
        """Return what the consolidation decides by."""
        capacity = {
            SESSION: self.session_capacity,
            WORKING: self.working_capacity,
            EPISODIC: self.episodic_capacity,
            KNOWLEDGE: self.knowledge_capacity,
        }
        return replace(
            LIMITS.with_capacity({level: max(count, 1) for level, count in capacity.items()}),
            session_accesses=max(self.session_accesses, 1),
            working_accesses=max(self.working_accesses, 1),
        )
