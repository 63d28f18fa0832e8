"""Many old memories in a few sentences, without a language model: which belong together, and what stands for them. Pure.

The sentences are the memories' own. Those that share most with all the others are taken, one after the other, each
as far as it says something that those before it did not.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from operator import mul
from uuid import UUID

MEMBERS_MIN, MEMBERS_MAX = 3, 40
# Memories that are not of one thread belong together when they are this near to the middle of their group, and
# happened within this time.
NEARNESS_MIN = 0.55
SPAN_MAX = timedelta(days=92)
SENTENCES_MAX = 6
SENTENCE_CHARS_MAX = 300
SUMMARY_CHARS_MAX = 1500
CONSIDERED_MAX = 200
REPETITION = 0.7
# Of a model's summary, how much of what it says must be in the memories.
GROUNDED_MIN = 0.6
_SENTENCE = re.compile(r"(?<=[.!?…])\s+|\n+")
_WORD = re.compile(r"\w{3,}", re.UNICODE)
_STOP = frozenset(
    [
        "the",
        "and",
        "that",
        "this",
        "with",
        "for",
        "was",
        "were",
        "are",
        "but",
        "not",
        "you",
        "your",
        "she",
        "her",
        "his",
        "him",
        "they",
        "them",
        "their",
        "from",
        "have",
        "has",
        "had",
        "will",
        "would",
        "could",
        "about",
        "there",
        "what",
        "when",
        "where",
        "which",
        "who",
        "how",
        "our",
        "out",
        "its",
        "it's",
        "been",
        "than",
        "then",
        "too",
        "very",
    ]
)


@dataclass(frozen=True, slots=True)
class Stale:
    """A memory that nobody has used for long."""

    id: UUID
    namespace: str
    text: str = field(repr=False)
    revision: int
    happened_at: datetime
    thread: str | None = field(default=None, repr=False)
    vector: Sequence[float] | None = field(default=None, repr=False)


def groups(stale: Iterable[Stale]) -> list[list[Stale]]:
    """Return what belongs together: by thread, else by nearness in meaning; never across namespaces.

    Each group has MEMBERS_MIN to MEMBERS_MAX memories in the order in which they happened; the rest stays for itself.
    """
    by_thread: dict[tuple[str, str], list[Stale]] = {}
    loose: list[Stale] = []
    for each in sorted(stale, key=lambda memory: (memory.happened_at, memory.id)):
        if each.thread is not None:
            by_thread.setdefault((each.namespace, each.thread), []).append(each)
        else:
            loose.append(each)
    found: list[list[Stale]] = []
    for members in by_thread.values():
        parts = [
            members[start : start + MEMBERS_MAX] for start in range(0, len(members), MEMBERS_MAX)
        ]
        found += [part for part in parts if len(part) >= MEMBERS_MIN]
    return found + _near(loose)


@dataclass
class _Cluster:
    members: list[Stale]
    sums: list[float]

    def nearness(self, vector: Sequence[float]) -> float:
        norm = math.sqrt(sum(map(mul, self.sums, self.sums))) * math.sqrt(
            sum(map(mul, vector, vector))
        )
        return sum(map(mul, self.sums, vector)) / norm if norm else 0.0


def _near(loose: Sequence[Stale]) -> list[list[Stale]]:
    clusters: list[_Cluster] = []
    for each, vector in [(each, each.vector) for each in loose]:
        if vector is None:
            continue
        open_ones = [
            cluster
            for cluster in clusters
            if cluster.members[0].namespace == each.namespace
            and len(cluster.sums) == len(vector)
            and len(cluster.members) < MEMBERS_MAX
            and each.happened_at - cluster.members[0].happened_at <= SPAN_MAX
        ]
        nearness = [cluster.nearness(vector) for cluster in open_ones]
        if nearness and max(nearness) >= NEARNESS_MIN:
            best = open_ones[nearness.index(max(nearness))]
            best.members.append(each)
            best.sums = [one + other for one, other in zip(best.sums, vector, strict=True)]
        else:
            clusters.append(_Cluster([each], list(vector)))
    return [cluster.members for cluster in clusters if len(cluster.members) >= MEMBERS_MIN]


def sentences(text: str) -> list[str]:
    """Return the sentences of a text, without blank edges and none longer than SENTENCE_CHARS_MAX."""
    found: list[str] = []
    for part in _SENTENCE.split(text):
        sentence = part.strip()
        if len(sentence) > SENTENCE_CHARS_MAX:
            # Cut at a word: half a word would be found by nobody and read like a mistake.
            sentence = sentence[:SENTENCE_CHARS_MAX].rsplit(" ", 1)[0] + " …"
        if _WORD.search(sentence):
            found.append(sentence)
    return found


def central(texts: Sequence[str]) -> list[str]:
    """Return the sentences that say most of what the texts say, in the order in which they stand there."""
    all_sentences = [sentence for text in texts for sentence in sentences(text)]
    candidates = list(dict.fromkeys(all_sentences))[:CONSIDERED_MAX]
    vectors = _weighed(candidates)
    near = [[_cosine(one, other) for other in vectors] for one in vectors]
    middle = [sum(row) for row in near]
    most = max(middle, default=0.0) or 1.0
    chosen: list[int] = []
    length = 0
    while len(chosen) < SENTENCES_MAX:
        open_ones = [
            index
            for index in range(len(candidates))
            if index not in chosen and length + len(candidates[index]) <= SUMMARY_CHARS_MAX
        ]
        if not open_ones:
            break

        def worth(index: int) -> tuple[float, int]:
            repeated = max((near[index][taken] for taken in chosen), default=0.0)
            return middle[index] / most - REPETITION * repeated, -index

        best = max(open_ones, key=worth)
        chosen.append(best)
        length += len(candidates[best])
    return [candidates[index] for index in sorted(chosen)]


def summary(members: Sequence[Stale], said: Sequence[str]) -> str:
    """Return the text of a summary: how many memories it stands for, from when to when, and what they say."""
    first, last = members[0].happened_at.date(), members[-1].happened_at.date()
    when = f"on {first}" if first == last else f"from {first} to {last}"
    lines = "\n".join(f"- {sentence}" for sentence in said)
    return f"Summary of {len(members)} memories {when}:\n{lines}"


def grounded(said: str, texts: Iterable[str]) -> bool:
    """Say whether a summary that somebody else wrote says what the texts say, as far as its words can tell."""
    known = {word for text in texts for word in _words(text)}
    words = _words(said)
    return bool(words) and sum(word in known for word in words) / len(words) >= GROUNDED_MIN


def _words(text: str) -> list[str]:
    return [word for word in _WORD.findall(text.casefold()) if word not in _STOP]


def _weighed(texts: Sequence[str]) -> list[dict[str, float]]:
    counts = [Counter(_words(text)) for text in texts]
    seen = Counter(word for count in counts for word in count)
    weighed: list[dict[str, float]] = []
    for count in counts:
        vector = {
            word: uses * (math.log(len(texts) / seen[word]) + 1) for word, uses in count.items()
        }
        norm = math.sqrt(sum(value * value for value in vector.values())) or 1.0
        weighed.append({word: value / norm for word, value in vector.items()})
    return weighed


def _cosine(one: dict[str, float], other: dict[str, float]) -> float:
    if len(other) < len(one):
        one, other = other, one
    return sum(value * other[word] for word, value in one.items() if word in other)
