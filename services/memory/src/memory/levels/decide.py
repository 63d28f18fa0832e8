"""What should move, and why. Pure: it reads a snapshot and a time, and touches nothing.

`plan` answers with one step after the other. Each step is decided by the state before it alone, so whoever stops after
any of them and plans again goes on where it stopped and ends at the same place; and a plan for that end is empty.

In this order:
  1. each memory by itself, over and over until it rests (`next_for`):
       archived, and used since until it is strong again  -> restored to knowledge
       session, used often enough                         -> promoted to working
       working, used often enough                         -> promoted to episodic
       session or working, its time is up                 -> expired: archived in knowledge
       episodic, used often and long enough, still strong -> promoted to knowledge
       episodic, faded                                    -> archived in knowledge
  2. identity that holds too much, the lowest score first            -> demoted to knowledge
  3. near-duplicates of one tier and namespace: the younger joins the older, which then goes through 1 again
  4. any other level that holds too much, the lowest score first     -> archived in knowledge

Nothing leaves: what expires or is spilled stays in the archive, what is merged stays as a further source.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from memory.levels.decay import HALF_LIFE, STRENGTH_MAX, strength_now
from memory.levels.plan import (
    EPISODIC,
    IDENTITY,
    KNOWLEDGE,
    LIMITS,
    SESSION,
    WORKING,
    Limits,
)

FREQUENCY_WEIGHT, RECENCY_WEIGHT, RELEVANCE_WEIGHT = 0.3, 0.3, 0.4
ACCESSES_MAX = 1_000_000
# Identity is the person's own choice: nothing joins it or is joined by it without them.
_MERGEABLE = (SESSION, WORKING, EPISODIC, KNOWLEDGE)


class Kind(StrEnum):
    """What a move does."""

    PROMOTED = "promoted"
    DEMOTED = "demoted"
    ARCHIVED = "archived"
    EXPIRED = "expired"
    MERGED = "merged"
    COMPRESSED = "compressed"
    RESTORED = "restored"


class Why(StrEnum):
    """Why a move is made; the journal holds these words and none of the memory's."""

    USED = "used"
    LASTING = "lasting"
    TIME_UP = "time_up"
    FADED = "faded"
    LEVEL_FULL = "level_full"
    NEAR_DUPLICATE = "near_duplicate"
    SUMMARISED = "summarised"
    USED_AGAIN = "used_again"


WORDS: Mapping[Why, str] = {
    Why.USED: "used often enough to be kept for longer",
    Why.LASTING: "used often, for longer than a week, and still strong",
    Why.TIME_UP: "not used until its time was up",
    Why.FADED: "faded: not used for weeks",
    Why.LEVEL_FULL: "its level was full and it scored lowest",
    Why.NEAR_DUPLICATE: "says the same as an older memory, which it joined",
    Why.SUMMARISED: "a summary stands for it now",
    Why.USED_AGAIN: "used again after it was archived",
}


@dataclass(frozen=True, slots=True)
class Item:
    """One memory as the consolidation sees it: where it stands, and nothing of what it says."""

    id: UUID
    tier: str
    namespace: str
    level: str
    strength: float
    accesses: int
    accessed_at: datetime
    created_at: datetime
    expires_at: datetime | None = None
    archived_at: datetime | None = None
    tokens: int = 0

    @property
    def active(self) -> bool:
        """Whether it takes part in ordinary recall."""
        return self.archived_at is None


@dataclass(frozen=True, slots=True)
class Pair:
    """Two memories that say the same, as far as whoever offers the pair can tell."""

    one: UUID
    other: UUID
    similarity: float


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was observed of one person. `occupancy` counts all active memories by level where `items` are only some."""

    items: tuple[Item, ...]
    pairs: tuple[Pair, ...] = ()
    occupancy: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Move:
    """One step: which memory, where from and to, its score, and why. A merge says which memory it joins."""

    kind: Kind
    id: UUID
    tier: str
    namespace: str
    from_level: str
    to_level: str
    score: float
    reason: Why
    into: UUID | None = None

    @property
    def why(self) -> str:
        """The reason in words."""
        return WORDS[self.reason]


def score(item: Item, now: datetime) -> float:
    """Return how much a memory is worth keeping near, 0..1: how often, how lately, and how relevantly it is used.

    Relevance is its strength, to which every use adds by how much it was about this memory.
    """
    frequency = item.accesses / (item.accesses + 5)
    recency = strength_now(1.0, item.accessed_at, now, EPISODIC)
    relevance = strength_now(item.strength, item.accessed_at, now, item.level) / STRENGTH_MAX
    weighed = FREQUENCY_WEIGHT * frequency + RECENCY_WEIGHT * recency + RELEVANCE_WEIGHT * relevance
    return round(weighed, 6)


def next_for(item: Item, now: datetime, limits: Limits = LIMITS) -> Move | None:
    """Return the next step of one memory by itself; None when it rests where it is."""
    strength = strength_now(item.strength, item.accessed_at, now, item.level)
    if not item.active:
        used_since = item.archived_at is not None and item.accessed_at > item.archived_at
        if used_since and strength >= limits.restore_strength:
            return _move(Kind.RESTORED, item, KNOWLEDGE, now, Why.USED_AGAIN)
        return None
    if item.level == SESSION and item.accesses >= limits.session_accesses:
        return _move(Kind.PROMOTED, item, WORKING, now, Why.USED)
    if item.level == WORKING and item.accesses >= limits.working_accesses:
        return _move(Kind.PROMOTED, item, EPISODIC, now, Why.USED)
    if item.level in (SESSION, WORKING) and _ends(item, limits) <= now:
        return _move(Kind.EXPIRED, item, KNOWLEDGE, now, Why.TIME_UP)
    if item.level == EPISODIC:
        lasting = (
            item.accesses >= limits.episodic_accesses
            and now - item.created_at >= limits.episodic_age
            and strength >= limits.episodic_strength
        )
        if lasting:
            return _move(Kind.PROMOTED, item, KNOWLEDGE, now, Why.LASTING)
        if strength < limits.weak_strength:
            return _move(Kind.ARCHIVED, item, KNOWLEDGE, now, Why.FADED)
    return None


def after(item: Item, move: Move, now: datetime, limits: Limits = LIMITS) -> Item:
    """Return the memory as `move` leaves it; one that is merged away is archived in this picture."""
    strength = strength_now(item.strength, item.accessed_at, now, item.level)
    if move.kind in (Kind.EXPIRED, Kind.ARCHIVED, Kind.MERGED, Kind.COMPRESSED):
        # Noted as of now, so that only a use from here on counts as one of the archive.
        return replace(
            item,
            level=KNOWLEDGE,
            strength=min(strength, limits.archived_strength),
            accessed_at=now,
            expires_at=None,
            archived_at=now,
        )
    return replace(
        item,
        level=move.to_level,
        # What begins to fade begins now, and what stops fading keeps what is left.
        strength=strength,
        accessed_at=now if EPISODIC in (item.level, move.to_level) else item.accessed_at,
        expires_at=limits.expires_at(move.to_level, now),
        archived_at=None,
    )


def joined(survivor: Item, other: Item, now: datetime) -> Item:
    """Return `survivor` after `other` joined it: the uses of both, the strength and the level of the better."""
    level = max(survivor.level, other.level, key=_MERGEABLE.index)
    strength = max(
        strength_now(each.strength, each.accessed_at, now, each.level) for each in (survivor, other)
    )
    ends = [each.expires_at for each in (survivor, other) if each.level == level]
    return replace(
        survivor,
        level=level,
        strength=strength,
        accesses=min(survivor.accesses + other.accesses, ACCESSES_MAX),
        accessed_at=now,
        expires_at=max((end for end in ends if end is not None), default=None),
    )


def mergeable(one: Item, other: Item) -> bool:
    """Say whether two memories may become one: of one tier and namespace, neither archived nor identity."""
    return (
        one.id != other.id
        and one.active
        and other.active
        and (one.tier, one.namespace) == (other.tier, other.namespace)
        and one.level in _MERGEABLE
        and other.level in _MERGEABLE
    )


def plan(snapshot: Snapshot, now: datetime, limits: Limits = LIMITS) -> list[Move]:
    """Return what to do, in order: any beginning of it may be carried out, and the rest planned again."""
    board = _Board(snapshot, now, limits)
    for ident in sorted(board.items):
        board.settle(ident)
    # Before the pairs: what identity gives up may then be merged like anything else.
    board.spill(IDENTITY)
    for pair in sorted(snapshot.pairs, key=_pair_order):
        board.merge(pair)
    for level in _MERGEABLE:
        board.spill(level)
    return board.moves


@dataclass
class _Board:
    """The snapshot as the moves so far have changed it."""

    snapshot: Snapshot
    now: datetime
    limits: Limits
    items: dict[UUID, Item] = field(init=False)
    count: Counter[str] = field(init=False)
    moves: list[Move] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.items = {item.id: item for item in self.snapshot.items}
        seen = Counter(item.level for item in self.items.values() if item.active)
        told = self.snapshot.occupancy
        # What was counted elsewhere may be a moment older than the items; both are lower bounds.
        self.count = seen if told is None else seen | Counter(dict(told))

    def settle(self, ident: UUID) -> None:
        """Take one memory as far as it goes by itself."""
        while (move := next_for(self.items[ident], self.now, self.limits)) is not None:
            self._put(move, after(self.items[ident], move, self.now, self.limits))

    def merge(self, pair: Pair) -> None:
        """Join the younger of a pair to the older, if both are still there."""
        found = [self.items[ident] for ident in (pair.one, pair.other) if ident in self.items]
        if len(found) != 2 or not mergeable(*found):
            return
        survivor, joining = sorted(found, key=lambda item: (item.created_at, item.id))
        merged = joined(survivor, joining, self.now)
        move = _move(Kind.MERGED, joining, merged.level, self.now, Why.NEAR_DUPLICATE)
        self._put(replace(move, into=survivor.id), after(joining, move, self.now, self.limits))
        self.count[survivor.level] -= 1
        self.count[merged.level] += 1
        self.items[survivor.id] = merged
        self.settle(survivor.id)

    def spill(self, level: str) -> None:
        """Empty a level down to what it holds, the lowest score first."""
        held = [item for item in self.items.values() if item.active and item.level == level]
        held.sort(key=lambda each: (score(each, self.now), each.created_at, each.id))
        excess = self.count[level] - self.limits.capacity(level)
        tokens_max = self.limits.levels[level].tokens_max
        # A prompt is built from one tier after the other, each with the limit to itself.
        tokens: Counter[str] = Counter()
        for item in held:
            tokens[item.tier] += item.tokens
        for item in held:
            if excess <= 0 and (tokens_max is None or tokens[item.tier] <= tokens_max):
                continue
            kind = Kind.DEMOTED if level == IDENTITY else Kind.ARCHIVED
            move = _move(kind, item, KNOWLEDGE, self.now, Why.LEVEL_FULL)
            self._put(move, after(item, move, self.now, self.limits))
            excess -= 1
            tokens[item.tier] -= item.tokens

    def _put(self, move: Move, item: Item) -> None:
        before = self.items[item.id]
        self.count[before.level] -= int(before.active)
        self.count[item.level] += int(item.active)
        self.items[item.id] = item
        self.moves.append(move)


def _move(kind: Kind, item: Item, to_level: str, now: datetime, reason: Why) -> Move:
    return Move(
        kind, item.id, item.tier, item.namespace, item.level, to_level, score(item, now), reason
    )


def _ends(item: Item, limits: Limits) -> datetime:
    if item.expires_at is not None:
        return item.expires_at
    ttl = limits.ttl(item.level)
    return item.accessed_at + (ttl if ttl is not None else HALF_LIFE)


def _pair_order(pair: Pair) -> tuple[float, UUID, UUID]:
    first, second = sorted((pair.one, pair.other))
    return -pair.similarity, first, second
