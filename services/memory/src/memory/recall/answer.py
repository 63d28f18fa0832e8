"""From what was ranked to what is answered: time decides among what replaced each other, and reasons are given. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from uuid import UUID

from contracts.memory import Recalled, RecallResult, Understood, When

from memory.domain import Entry, Filters
from memory.presenting import to_memory
from memory.recall.question import NOTHING, ROLES, Question, folded, speaker_of
from memory.recall.rank import Ranked
from memory.recall.reasons import reasons
from memory.supersede.reading import Reading
from memory.supersede.resolve import Standing
from memory.supersede.settle import Found, settle

# What is settled: beyond, nothing reaches an answer's end.
SETTLED_MAX = 100


@dataclass
class Asking:
    """One recall while it is answered; `model` is the embedding model whose vectors are compared."""

    query: str
    filters: Filters
    limit: int
    moment: datetime
    model: int
    question: Question = NOTHING
    sealed: dict[UUID, Entry] = field(default_factory=dict[UUID, Entry], repr=False)
    names: list[str] = field(default_factory=list[str])
    # Whose names stand before the colon of what was found.
    told: set[str] = field(default_factory=set[str], repr=False)
    degraded: bool = False

    @property
    def asked_at(self) -> datetime:
        """The moment the question is asked from."""
        return self.filters.as_of or self.moment


def missing(ranked: Sequence[Ranked]) -> list[UUID]:
    """Return the ids of what replaced any of the best and is not among `ranked` itself."""
    present = {each.candidate.id for each in ranked}
    wanted = (each.candidate.superseded_by for each in ranked)
    return sorted({ident for ident in wanted if ident is not None and ident not in present})


def settled(
    asking: Asking,
    ranked: Sequence[Ranked],
    readings: Mapping[UUID, Reading] = MappingProxyType({}),
) -> list[Standing]:
    """Return the best `limit`, the one first that stands at the time the question is about.

    `readings` are what some of them say, as far as that has been read for who says it now.
    """
    # What was added for having replaced something has no place yet, and takes one from what it replaced.
    added = [each for each in ranked if not each.evidence]
    best = [each for each in ranked if each.evidence][: max(SETTLED_MAX, asking.limit)]
    found = [found_as(each, asking.told) for each in [*best, *added]]
    standings, _ = settle(asking.query, found, asking.asked_at, readings)
    return standings[: asking.limit]


def result(
    asking: Asking,
    ranked: Sequence[Ranked],
    best: Sequence[Standing],
    known: Mapping[UUID, Entry],
) -> RecallResult:
    """Return the answer: what was forgotten in the meantime is not in it."""
    by_id = {each.candidate.id: each for each in ranked}
    results = [
        Recalled(
            memory=to_memory(known[standing.id]),
            score=round(min(max(standing.score, 0.0), 1.0), 6),
            reasons=reasons(by_id[standing.id], asking.question, asking.asked_at, standing.moved),
            age_seconds=_age(asking.moment, known[standing.id]),
        )
        for standing in best
        if standing.id in known
    ]
    return RecallResult(
        results=results,
        degraded="lexical_only" if asking.degraded else None,
        understood=_understood(asking),
    )


def _understood(asking: Asking) -> Understood:
    question = asking.question
    when = None
    if question.when is not None:
        when = When(since=question.when.since, until=question.when.until, phrase=question.phrase)
    return Understood(when=when, names=sorted({*question.named, *asking.names}))


def found_as(ranked: Ranked, told: set[str]) -> Found:
    """Return a candidate as settling needs it; `told` are the names that stand before the colon of texts."""
    candidate = ranked.candidate
    speaker = candidate.speaker
    if told and speaker is None and (said := speaker_of(None, candidate.text)) in told:
        speaker = said
    # What somebody else said is part of a conversation, also where nobody named the thread.
    other = speaker if speaker is not None and folded(speaker) not in ROLES else None
    return Found(
        id=candidate.id,
        score=ranked.score,
        text=candidate.text,
        speaker=speaker,
        said_at=candidate.occurred_at or candidate.created_at,
        cosine=candidate.cosine,
        valid_from=candidate.valid_from,
        valid_to=candidate.valid_to,
        superseded_by=candidate.superseded_by,
        thread=candidate.thread or other,
    )


def _age(moment: datetime, entry: Entry) -> int:
    return max(0, int((moment - entry.happened_at).total_seconds()))
