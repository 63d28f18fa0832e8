"""What speaks for a memory as the answer to a question, as numbers. Pure, and without a library: a few hundred
candidates are weighed in a millisecond or two on one core.

A turn of a conversation is seldom understood alone. So each candidate is looked at with the turn before and the turn
after it: their words count in part, and an answer is known by the question before it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from memory.finding import Candidate, Corpus
from memory.recall.question import Question, at

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
_CAPITAL = re.compile(r" [A-Z][a-z]+")
_PHATIC = re.compile(
    r"\s*(?:wow|thanks|thank you|great|nice|cool|awesome|that's|sounds|yeah|congrat)", re.IGNORECASE
)

Evidence = tuple[float, ...]


def weigh(question: Question, candidates: Sequence[Candidate], corpus: Corpus) -> list[Evidence]:
    """Return the evidence for each candidate, in order; every number is finite and grows with what it is named for."""
    if not candidates:
        return []
    places = {candidate.id: place for place, candidate in enumerate(candidates)}
    before = _links(candidates, places, lambda each: each.before)
    after = _links(candidates, places, lambda each: each.after)
    near = [_unit(candidate.cosine) for candidate in candidates]
    worth = _worth(corpus)
    own = [_covered(candidate.terms, worth) for candidate in candidates]
    said, covered = _said(candidates, corpus, worth, before, after)
    strength = _strength(near, said)
    threads = _threads(candidates, strength)
    asks = [candidate.text.rstrip().endswith("?") for candidate in candidates]
    span = at(question, max(_happened(each) for each in candidates))
    evidence: list[Evidence] = []
    for place, candidate in enumerate(candidates):
        previous = before[place]
        answers = previous >= 0 and asks[previous]
        earlier = before[previous] if previous >= 0 else -1
        evidence.append(
            (
                near[place],
                said[place],
                own[place],
                covered[place],
                _around(place, before, after, strength),
                near[earlier] if earlier >= 0 else 0.0,
                threads[place],
                question.concerns(candidate.speaker, candidate.text),
                _then(span, _happened(candidate)),
                near[previous] if answers else 0.0,
                own[previous] if answers else 0.0,
                float(asks[place]),
                *_manner(candidate.text),
            )
        )
    return evidence


def _manner(text: str) -> tuple[float, float, float, float, float]:
    """Return how a text speaks: how long, of a time, of oneself, of how many by name, and whether only politely."""
    words = set(text.lower().split())
    dated = not words.isdisjoint(_DATED) or (
        ("20" in text or "19" in text) and _YEAR.search(text) is not None
    )
    proper = {
        match.group()
        for match in _CAPITAL.finditer(text)
        # After a full stop every word has a capital.
        if text[match.start() - 1 : match.start()].islower() or text[match.start() - 1] == ","
    }
    return (
        min(math.log1p(text.count(" ") + 1), _LONG),
        float(dated),
        float(not words.isdisjoint(_FIRST_PERSON)),
        float(min(len(proper), _PROPER_MAX)),
        float(_PHATIC.match(text) is not None),
    )


def _strength(near: Sequence[float], said: Sequence[float]) -> list[float]:
    """Return how strongly each is found beside the others, 0..1: what a neighbour lends."""
    low, high = min(near), max(near)
    width = (high - low) or 1.0
    return [
        _NEAR_SHARE * (one - low) / width + (1 - _NEAR_SHARE) * two
        for one, two in zip(near, said, strict=True)
    ]


def _threads(candidates: Sequence[Candidate], strength: Sequence[float]) -> list[float]:
    """Return how strong the best three of each candidate's conversation are, beside the strongest conversation."""
    turns: dict[tuple[str, str], list[float]] = {}
    for candidate, worth in zip(candidates, strength, strict=True):
        if candidate.thread is not None:
            turns.setdefault((candidate.namespace, candidate.thread), []).append(worth)
    means = {key: sum(sorted(each)[-3:]) / 3 for key, each in turns.items()}
    best = max(means.values(), default=0.0) or 1.0
    return [
        means[candidate.namespace, candidate.thread] / best if candidate.thread is not None else 0.0
        for candidate in candidates
    ]


def _happened(candidate: Candidate) -> datetime:
    return candidate.occurred_at or candidate.created_at


def _unit(cosine: float | None) -> float:
    # What is no number is no nearness.
    return min(max(cosine, 0.0), 1.0) if cosine is not None and cosine == cosine else 0.0


def _links(
    candidates: Sequence[Candidate],
    places: Mapping[UUID, int],
    link: Callable[[Candidate], UUID | None],
) -> list[int]:
    """Return for each candidate the place of its neighbour, -1 where it has none among the candidates."""
    found: list[int] = []
    for candidate in candidates:
        ident = link(candidate)
        found.append(places.get(ident, -1) if ident is not None else -1)
    return found


def _worth(corpus: Corpus) -> dict[str, float]:
    """Return how much each of the question's terms tells, and so that all of them together are 1."""
    rows = corpus.rows
    idf = {
        term: math.log(1 + max(rows - seen + 0.5, 0.5) / (seen + 0.5))
        for term, seen in corpus.document_frequency.items()
    }
    total = sum(idf.values()) or 1.0
    return {term: weight / total for term, weight in idf.items()}


def _covered(terms: Mapping[str, float], worth: Mapping[str, float]) -> float:
    return sum(worth.get(term, 0.0) for term in terms)


def _said(
    candidates: Sequence[Candidate],
    corpus: Corpus,
    worth: Mapping[str, float],
    before: Sequence[int],
    after: Sequence[int],
) -> tuple[list[float], list[float]]:
    """Return BM25 over each memory with its neighbours, beside the best, and how much they cover of the question."""
    average = max(corpus.average_words, 1.0)
    scores: list[float] = []
    covered: list[float] = []
    for place, candidate in enumerate(candidates):
        uses = dict(candidate.terms)
        length, beside = float(candidate.words), 0
        for neighbour in (before[place], after[place]):
            if neighbour >= 0:
                other = candidates[neighbour]
                length += NEIGHBOUR * other.words
                beside += 1
                for term, count in other.terms.items():
                    uses[term] = uses.get(term, 0.0) + NEIGHBOUR * count
        norm = K1 * (1 - B + B * length / (average * (1 + NEIGHBOUR * beside)))
        score = total = 0.0
        for term, count in uses.items():
            weight = worth.get(term, 0.0)
            score += weight * count / (count + norm)
            total += weight
        scores.append(score)
        covered.append(total)
    best = max(scores) or 1.0
    return [score / best for score in scores], covered


def _around(
    place: int, before: Sequence[int], after: Sequence[int], strength: Sequence[float]
) -> float:
    """Return the strength of the best of up to two turns before and after."""
    best = 0.0
    for links in (before, after):
        step = links[place]
        for _ in range(2):
            if step < 0:
                break
            best = max(best, strength[step])
            step = links[step]
    return best


def _then(span: tuple[datetime, datetime] | None, happened: datetime) -> float:
    """Return 1 within the time asked for, and less the more days it lies outside, until a week."""
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
