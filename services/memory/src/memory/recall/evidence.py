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
# Half of the context's strength is nearness; words are a share of what a perfect match would get.
_DAY_S = 86_400.0
_GRACE_DAYS = 7.0
_LONG = math.log1p(60)
_PROPER_MAX = 3

# The order of the numbers of one candidate; recall/weights.py has a weight for each.
FEATURES = (
    "near",
    "said",
    "said_best",
    "covers",
    "covers_around",
    "around",
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
_DATED = re.compile(
    r"\b(?:yesterday|to(?:day|night|morrow)|last|next|ago|week(?:end)?s?|months?|years?|(?:mon|tues|wednes|thurs|fri|satur|sun)day"
    r"|january|february|march|april|june|july|august|september|october|november|december|recently|morning|evening"
    r"|(?:19|20)\d\d)\b",
    re.IGNORECASE,
)
_FIRST_PERSON = re.compile(r"\b(?:I|my|My|we|We|our|Our)\b")
_PROPER = re.compile(r"(?<=[a-z,] )[A-Z][a-z]+")
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
    best = max(said) or 1.0
    strength = [near[place] + said[place] for place in range(len(candidates))]
    asks = [candidate.text.rstrip().endswith("?") for candidate in candidates]
    span = at(question, max((_happened(each) for each in candidates), default=None))
    evidence: list[Evidence] = []
    for place, candidate in enumerate(candidates):
        text, previous = candidate.text, before[place]
        answers = previous >= 0 and asks[previous]
        evidence.append(
            (
                near[place],
                said[place],
                said[place] / best,
                own[place],
                covered[place],
                _around(place, before, after, strength),
                question.concerns(candidate.speaker),
                _then(span, _happened(candidate)),
                near[previous] if answers else 0.0,
                own[previous] if answers else 0.0,
                float(asks[place]),
                min(math.log1p(text.count(" ") + 1), _LONG),
                float(_DATED.search(text) is not None),
                float(_FIRST_PERSON.search(text) is not None),
                float(min(len(set(_PROPER.findall(text))), _PROPER_MAX)),
                float(_PHATIC.match(text) is not None),
            )
        )
    return evidence


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
    """Return BM25 over each memory with its neighbours, 0..1, and how much of the question they cover together."""
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
    return scores, covered


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
