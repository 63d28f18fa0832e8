"""What speaks for a memory as the answer to a question, as numbers. Pure.

A few hundred candidates are weighed at once, column by column. How a text speaks rests on nothing else, and so can be
read as soon as the text is there.

A turn of a conversation is seldom understood alone. So each candidate is looked at with the turn before and the turn
after it: their words count in part, and an answer is known by the question before it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING
from uuid import UUID

from memory.finding import Candidate, Corpus
from memory.recall.question import Question, at

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Column = NDArray[np.float64]
    Places = NDArray[np.int64]

# BM25's usual constants, and how much a neighbour's word counts beside one's own.
K1, B, NEIGHBOUR = 1.2, 0.75, 0.5
# Of what a neighbour lends, so much is nearness and the rest shared words.
_NEAR_SHARE = 0.6
_DAY_S = 86_400.0
_GRACE_DAYS = 7.0
_LONG = math.log1p(60)
_PROPER_MAX = 3

# The order of the numbers of one candidate; recall/weights.py has a weight for each.
FEATURES = (
    "near",
    "said",
    "covers",
    "covers_around",
    "around",
    "two_before",
    "thread",
    "speaker",
    "then",
    "answers_near",
    "answers_said",
    "asks",
    "long",
    "dated",
    "first_person",
    "proper",
    "phatic",
)
# Looked up as words: patterns of as many words cost several times as much, and this is done for every candidate.
_ENDS = ("", ".", ",", "!", "?", ";", ":")
_DATED = frozenset(
    word + end
    for word in (
        "yesterday today tonight tomorrow last next ago week weeks weekend weekends month months year years monday"
        " tuesday wednesday thursday friday saturday sunday mondays tuesdays wednesdays thursdays fridays saturdays"
        " sundays january february march april june july august september october november december recently morning"
        " evening"
    ).split()
    for end in _ENDS
)
_FIRST_PERSON = frozenset(
    "i i'm i've i'd i'll i’m i’ve i’d i’ll my we we're we've we'd we'll our".split()
)
_YEAR = re.compile(r"\b(?:19|20)\d\d\b")
_CAPITAL = re.compile(r" (?=[A-Z])(?<=([\w,]) )([A-Z][a-z]+)")
_PHATIC = re.compile(
    r"\s*(?:wow|thanks|thank you|great|nice|cool|awesome|that's|sounds|yeah|congrat)", re.IGNORECASE
)

Evidence = Sequence[float]
Manner = tuple[float, float, float, float, float]


def weigh(
    question: Question,
    candidates: Sequence[Candidate],
    corpus: Corpus,
    manners: Mapping[UUID, Manner] = MappingProxyType({}),
) -> Column:
    """Return the evidence for each candidate, a row each, in order; `manners` are those that have been read already.

    Every number is finite and grows with what it is named for.
    """
    import numpy as np

    if not candidates:
        return np.zeros((0, len(FEATURES)))
    places = {candidate.id: place for place, candidate in enumerate(candidates)}
    # One place more than there are candidates: -1, who is not among them, has nothing of anything.
    before = _links(candidates, places, lambda each: each.before)
    after = _links(candidates, places, lambda each: each.after)
    earlier, later = before[:-1], after[:-1]
    near = _padded([_unit(candidate.cosine) for candidate in candidates])
    asks = _padded([float(candidate.text.rstrip().endswith("?")) for candidate in candidates])
    own, said, covered = _said(candidates, corpus, earlier, later)
    strength = _strength(near[:-1], said)
    manner = [manners.get(each.id) or manner_of(each.text) for each in candidates]
    return np.column_stack(
        [
            near[:-1],
            said,
            own[:-1],
            covered,
            _around(before, after, strength),
            near[before[earlier]],
            _threads(candidates, strength),
            _concerns(question, candidates),
            _then(question, candidates),
            asks[earlier] * near[earlier],
            asks[earlier] * own[earlier],
            asks[:-1],
            np.array(manner),
        ]
    )


def manner_of(text: str) -> Manner:
    """Return how a text speaks: how long, of a time, of oneself, of how many by name, and whether only politely."""
    words = text.lower().split()
    dated = not _DATED.isdisjoint(words) or (
        ("20" in text or "19" in text) and _YEAR.search(text) is not None
    )
    # After a full stop every word has a capital.
    proper = {name for before, name in _CAPITAL.findall(text) if before == "," or before.islower()}
    return (
        min(math.log1p(text.count(" ") + 1), _LONG),
        float(dated),
        float(not _FIRST_PERSON.isdisjoint(words)),
        float(min(len(proper), _PROPER_MAX)),
        float(_PHATIC.match(text) is not None),
    )


def _padded(numbers: Sequence[float]) -> Column:
    import numpy as np

    return np.array([*numbers, 0.0])


def _strength(near: Column, said: Column) -> Column:
    """Return how strongly each is found beside the others, 0..1: what a neighbour lends."""
    low, high = float(near.min()), float(near.max())
    width = (high - low) or 1.0
    return _NEAR_SHARE * (near - low) / width + (1 - _NEAR_SHARE) * said


def _threads(candidates: Sequence[Candidate], strength: Column) -> Column:
    """Return how strong the best three of each candidate's conversation are, beside the strongest conversation."""
    import numpy as np

    turns: dict[tuple[str, str], list[float]] = {}
    for candidate, worth in zip(candidates, strength.tolist(), strict=True):
        if candidate.thread is not None:
            turns.setdefault((candidate.namespace, candidate.thread), []).append(worth)
    means = {key: sum(sorted(each)[-3:]) / 3 for key, each in turns.items()}
    best = max(means.values(), default=0.0) or 1.0
    return np.array(
        [
            means[candidate.namespace, candidate.thread] / best
            if candidate.thread is not None
            else 0.0
            for candidate in candidates
        ]
    )


def _happened(candidate: Candidate) -> datetime:
    return candidate.occurred_at or candidate.created_at


def _unit(cosine: float | None) -> float:
    # What is no number is no nearness.
    return min(max(cosine, 0.0), 1.0) if cosine is not None and cosine == cosine else 0.0


def _links(
    candidates: Sequence[Candidate],
    places: Mapping[UUID, int],
    link: Callable[[Candidate], UUID | None],
) -> Places:
    """Return for each candidate the place of its neighbour, -1 where it has none among them; last the one of -1."""
    import numpy as np

    found = [
        places.get(ident, -1) if (ident := link(each)) is not None else -1 for each in candidates
    ]
    return np.array([*found, -1], dtype=np.int64)


def _worth(corpus: Corpus) -> dict[str, float]:
    """Return how much each of the question's terms tells, and so that all of them together are 1."""
    rows = corpus.rows
    idf = {
        term: math.log(1 + max(rows - seen + 0.5, 0.5) / (seen + 0.5))
        for term, seen in corpus.document_frequency.items()
    }
    total = sum(idf.values()) or 1.0
    return {term: weight / total for term, weight in idf.items()}


def _said(
    candidates: Sequence[Candidate], corpus: Corpus, before: Places, after: Places
) -> tuple[Column, Column, Column]:
    """Return how much of the question each covers by itself, BM25 over each with its neighbours beside the best, and
    how much they cover together."""
    import numpy as np

    worth = _worth(corpus)
    column = {term: number for number, term in enumerate(worth)}
    weights = np.array([*worth.values()])
    # The last row is the one of who is not there.
    uses = np.zeros((len(candidates) + 1, len(column)))
    for place, candidate in enumerate(candidates):
        for term, count in candidate.terms.items():
            if term in column:
                uses[place, column[term]] = count
    lengths = _padded([float(candidate.words) for candidate in candidates])
    own = (np.sign(uses) * weights).sum(axis=1)
    together = uses[:-1] + NEIGHBOUR * (uses[before] + uses[after])
    length = lengths[:-1] + NEIGHBOUR * (lengths[before] + lengths[after])
    beside = (before >= 0).astype(np.float64) + (after >= 0)
    average = max(corpus.average_words, 1.0)
    norm = K1 * (1 - B + B * length / (average * (1 + NEIGHBOUR * beside)))
    scores = (weights * together / (together + norm[:, None])).sum(axis=1)
    covered = (np.sign(together) * weights).sum(axis=1)
    return own, scores / (float(scores.max()) or 1.0), covered


def _around(before: Places, after: Places, strength: Column) -> Column:
    """Return the strength of the best of up to two turns before and after."""
    import numpy as np

    lent = np.append(strength, 0.0)
    steps = [before[:-1], before[before[:-1]], after[:-1], after[after[:-1]]]
    return np.max([lent[step] for step in steps], axis=0)


def _concerns(question: Question, candidates: Sequence[Candidate]) -> Column:
    """Return how much each was said by whom the question names."""
    import numpy as np

    if not question.named and not question.mine:
        return np.zeros(len(candidates))
    return np.array([question.concerns(each.speaker, each.text) for each in candidates])


def _then(question: Question, candidates: Sequence[Candidate]) -> Column:
    """Return 1 within the time asked for, and less the more days it lies outside, until a week."""
    import numpy as np

    if question.when is None:
        return np.zeros(len(candidates))
    happened = [_happened(each) for each in candidates]
    span = at(question, max(happened))
    return np.array([_within(span, moment) for moment in happened])


def _within(span: tuple[datetime, datetime] | None, happened: datetime) -> float:
    if span is None:
        return 0.0
    since, until = span
    if happened < since:
        away = (since - happened).total_seconds()
    elif happened >= until:
        away = (happened - until).total_seconds()
    else:
        return 1.0
    return max(0.0, 1.0 - away / _DAY_S / _GRACE_DAYS)
