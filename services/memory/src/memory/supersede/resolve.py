"""Puts memories that replaced each other in the order in which they answer a question. Pure.

Memories tied by "replaced by" form a chain. The one that stood at the time asked for takes the chain's best place and
score; the others follow right below. A question that names no time asks for now: what was replaced is never first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from memory.supersede.when import Kind, When

# Below its successor in the same answer, and the order stays visible in the scores.
STEP = 1e-6


@dataclass(frozen=True, slots=True)
class Standing:
    """One candidate: how well it answers, and when it was true. `moved` says why it stands where it does."""

    id: UUID
    score: float
    said_at: datetime
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    superseded_by: UUID | None = None
    moved: str | None = None

    @property
    def since(self) -> datetime:
        """From when it held, as far as anybody said."""
        return self.valid_from or self.said_at


def resolve(ranked: Sequence[Standing], when: When) -> list[Standing]:
    """Return the same memories, best first: of each chain the one that stood at the time asked for leads.

    A score is only ever exchanged within a chain: whatever is in no chain keeps its score, and nothing is lost.
    """
    known = {each.id: each for each in ranked}
    chains = _chains(ranked, known)
    settled: list[Standing] = []
    for chain in chains:
        if len(chain) == 1:
            settled.append(chain[0])
            continue
        ordered = _order(chain, when)
        scores = sorted((each.score for each in chain), reverse=True)
        ceiling = scores[0]
        for place, each in enumerate(ordered):
            score = (
                ceiling if place == 0 else min(scores[place], ceiling - STEP * place, each.score)
            )
            moved = None
            if place == 0 and each.score < scores[0]:
                moved = "stood then" if when.kind is not Kind.NOW else "replaced what was found"
            elif each.superseded_by is not None:
                moved = "replaced"
            settled.append(replace(each, score=score, moved=moved))
    return sorted(settled, key=lambda each: (-each.score, each.id))


def _chains(ranked: Sequence[Standing], known: Mapping[UUID, Standing]) -> list[list[Standing]]:
    """Group what is tied; a pointer to something that is not here ties nothing."""
    root: dict[UUID, UUID] = {each.id: each.id for each in ranked}

    def find(ident: UUID) -> UUID:
        while root[ident] != ident:
            root[ident] = root[root[ident]]
            ident = root[ident]
        return ident

    for each in ranked:
        if each.superseded_by is not None and each.superseded_by in known:
            root[find(each.id)] = find(each.superseded_by)
    groups: dict[UUID, list[Standing]] = {}
    for each in ranked:
        groups.setdefault(find(each.id), []).append(each)
    return list(groups.values())


def _order(chain: Sequence[Standing], when: When) -> list[Standing]:
    by_time = sorted(chain, key=lambda each: (each.superseded_by is None, each.since, each.id))
    if when.kind is Kind.NOW:
        # What stands comes first; among several that stand, and among what is gone, the better answer.
        return sorted(
            chain, key=lambda each: (each.superseded_by is not None, -each.score, each.id)
        )
    if when.kind is Kind.FIRST:
        return sorted(chain, key=lambda each: (each.since, each.id))
    if when.kind is Kind.BEFORE:
        gone = [each for each in by_time if each.superseded_by is not None]
        current = [each for each in by_time if each.superseded_by is None]
        return sorted(gone, key=lambda each: (-each.score, each.id)) + current
    # Two that stood about as long side by side are of two matters: then the better answer.
    return sorted(
        chain,
        key=lambda each: (-_overlap(each, when), -each.score, -each.since.timestamp(), each.id),
    )


def _overlap(each: Standing, when: When) -> float:
    """Return for how many tenths of the time asked for it stood; what was over by then has less than none."""
    if when.since is None or when.until is None:
        return 0.0
    start = max(each.since, when.since)
    end = min(each.valid_to, when.until) if each.valid_to is not None else when.until
    whole = max((when.until - when.since).total_seconds(), 1.0)
    return round(max(-1.0, (end - start).total_seconds() / whole), 1)
