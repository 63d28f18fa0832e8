"""Levels and their consolidation: what `/v1/levels` and `/v1/consolidation` say."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from contracts.base import Contract, Instant
from contracts.tiers import Level, Tier

MoveKind = Literal["promoted", "demoted", "archived", "expired", "merged", "compressed", "restored"]


class LevelState(Contract):
    """One level: how many of the caller's memories it holds, and what it promises.

    `archived` counts what was put away there; `tokens` is how much of `tokens_max` the memories take.
    """

    level: Level
    count: int
    archived: int
    capacity: int
    ttl_seconds: int | None = None
    half_life_seconds: int | None = None
    owner: str
    tokens: int | None = None
    tokens_max: int | None = None


class LevelList(Contract):
    """`GET /v1/levels`: the five, from what is always in context to what is kept for good."""

    items: list[LevelState]


class Consolidation(Contract):
    """`GET /v1/consolidation`. `dry_run` says that moves are only planned and never made."""

    enabled: bool
    dry_run: bool
    leader: str | None = None
    last_run: Instant | None = None
    next_run: Instant | None = None


class ConsolidationSwitch(Contract):
    """`PUT /v1/consolidation`: the owner's off switch, for the whole house."""

    enabled: bool


class RunRequest(Contract):
    """`POST /v1/consolidation/run`: look at the caller's own memories now."""

    dry_run: bool = True


class JournalEntry(Contract):
    """One move and why. A move that was only planned has no `id`; a merge says which memory it joined `into`."""

    id: int | None = None
    at: Instant
    memory_id: UUID
    tier: Tier
    move: MoveKind
    from_level: Level
    to_level: Level
    score: float
    why: str
    into: UUID | None = None


class MoveList(Contract):
    """The answer to a run: what was done, or with `dry_run` what would be."""

    items: list[JournalEntry]
    dry_run: bool


class Journal(Contract):
    """`GET /v1/consolidation/journal?limit&before`: newest first; `next_before` is null at its end."""

    items: list[JournalEntry]
    next_before: str | None = None
