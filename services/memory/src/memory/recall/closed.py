"""Sacred memories as candidates: opened for one question, compared one by one, and kept nowhere. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from uuid import UUID

from memory.domain import Entry
from memory.finding import Candidate, Corpus
from memory.recall.question import Question
from memory.recall.words import QUERY_TERMS_MAX, nearness, unit, words


def candidates(
    entries: Sequence[Entry], question: Question, vector: Sequence[float] | None
) -> tuple[list[Candidate], Corpus]:
    """Return every entry as a candidate, beside its neighbours, and the corpus they make."""
    terms = frozenset(list(dict.fromkeys(words(question.bare)))[:QUERY_TERMS_MAX])
    wanted = unit(vector) if vector is not None else None
    seen: Counter[str] = Counter(dict.fromkeys(terms, 0))
    length = 0
    found: list[Candidate] = []
    for entry in entries:
        said = words(entry.text)
        uses = Counter(word for word in said if word in terms)
        seen.update(uses.keys())
        length += len(said)
        cosine = None
        if wanted is not None and entry.embedding is not None:
            cosine = nearness(wanted, entry.embedding)
        found.append(
            candidate(entry, {term: float(n) for term, n in uses.items()}, len(said), cosine)
        )
    average = length / len(entries) if entries else 1.0
    return _beside(found), Corpus(len(entries), average, dict(seen))


def candidate(
    entry: Entry,
    terms: Mapping[str, float] | None = None,
    length: int = 0,
    cosine: float | None = None,
) -> Candidate:
    """Return an opened memory as a candidate."""
    return Candidate(
        id=entry.id,
        tier=entry.tier,
        text=entry.text,
        cosine=cosine,
        terms=terms or {},
        words=length,
        thread=entry.thread,
        position=entry.position,
        speaker=entry.speaker,
        occurred_at=entry.occurred_at,
        created_at=entry.created_at,
        level=entry.level.value,
        strength=entry.strength,
        accesses=entry.accesses,
        accessed_at=entry.accessed_at or entry.created_at,
        valid_from=entry.valid_from,
        valid_to=entry.valid_to,
        superseded_by=entry.superseded_by,
        superseded_at=entry.superseded_at,
        namespace=entry.namespace,
    )


def _beside(found: Sequence[Candidate]) -> list[Candidate]:
    """Tell each candidate of a conversation which stand next to it."""
    threads: dict[tuple[str, str], list[Candidate]] = {}
    for each in found:
        if each.thread is not None and each.position is not None:
            threads.setdefault((each.namespace, each.thread), []).append(each)
    before: dict[UUID, UUID] = {}
    after: dict[UUID, UUID] = {}
    for turns in threads.values():
        turns.sort(key=lambda each: (each.position or 0, each.id))
        for earlier, later in pairwise(turns):
            before[later.id], after[earlier.id] = earlier.id, later.id
    return [replace(each, before=before.get(each.id), after=after.get(each.id)) for each in found]
