"""BM25 over postings that have been read: which memories have a query's terms, and how well. No I/O.

A posting is eight bytes, big-endian: the memory's seq in five, how often it has the term in one, its words in two.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Codes = NDArray[np.int64]
    Scores = NDArray[np.float32]

# BM25's usual constants.
K1 = 1.2
B = 0.75
# A sum for every memory of a person with more than this would be more memory than a search may take.
DENSE_MAX = 4_000_000


@dataclass(frozen=True, slots=True)
class Said:
    """What one tier's index holds of a query: per term every posting that was read, and the counts of all."""

    rows: int
    words: int
    frequency: Mapping[str, int]
    codes: Mapping[str, Codes]

    def terms_of(self, seqs: Iterable[int]) -> dict[int, dict[str, float]]:
        """Return for each memory how often it has each term that was read; those without any are left out."""
        import numpy as np

        found: dict[int, dict[str, float]] = {}
        wanted = np.sort(np.fromiter(seqs, dtype=np.int64))
        least = wanted << 24
        for term, codes in self.codes.items():
            held = codes[np.minimum(np.searchsorted(codes, least), len(codes) - 1)]
            mine = held >> 24 == wanted
            uses = (held[mine] >> 16 & 255).tolist()
            for seq, count in zip(wanted[mine].tolist(), uses, strict=True):
                terms = found.get(seq)
                if terms is None:
                    found[seq] = {term: float(count)}
                else:
                    terms[term] = float(count)
        return found


def read(rows: Sequence[Any]) -> Said:
    """Return what the statement `said` answered for one tier. The row without a term counts the corpus."""
    import numpy as np

    total, words = 0, 0
    frequency: dict[str, int] = {}
    parts: dict[str, list[bytes | None]] = {}
    for row in rows:
        term = row["term"]
        if not term:
            total, words = row["frequency"], int(row["words"])
            continue
        frequency[term] = frequency.get(term, 0) + row["frequency"]
        parts.setdefault(term, []).append(row["codes"])
    codes: dict[str, Codes] = {}
    for term, blocks in parts.items():
        whole = [block for block in blocks if block is not None]
        if len(whole) < len(blocks):
            # Too frequent to be read: then not of fresh memories either, or those alone would have it.
            continue
        found = np.frombuffer(b"".join(whole), dtype=">i8").astype(np.int64)
        if len(found) > 1 and bool((found[1:] < found[:-1]).any()):
            # A late commit, or a text that was edited: blocks overlap.
            found.sort()
        codes[term] = found
    return Said(total, words, frequency, codes)


def best(
    said: Mapping[Any, Said], limit: int, only: Mapping[Any, Sequence[int]] | None = None
) -> list[tuple[Any, int, float]]:
    """Return at most `limit` (tier, seq, score), best first; ties go by seq, newest first.

    Scores are BM25 over the corpus of all tiers together, so that a term is as rare in one tier as in another. `only`
    names the memories that may be found, by tier.
    """
    import numpy as np

    rows = sum(each.rows for each in said.values())
    average = max(sum(each.words for each in said.values()) / rows, 1.0) if rows else 1.0
    frequency = frequencies(said.values())
    found: list[tuple[Any, int, float]] = []
    for tier, each in said.items():
        if not each.codes:
            continue
        parts: list[tuple[Codes, Scores]] = []
        for term, codes in each.codes.items():
            uses = (codes >> 16 & 255).astype(np.float32)
            size = (codes & 65535).astype(np.float32)
            seen = frequency[term]
            idf = math.log1p((max(rows, seen) - seen + 0.5) / (seen + 0.5))
            # In place: doubles would be twice the work.
            size *= K1 * B / average
            size += K1 * (1 - B)
            size += uses
            uses *= idf * (K1 + 1)
            uses /= size
            parts.append((codes >> 24, uses))
        allowed = None if only is None else np.asarray(only.get(tier, ()), dtype=np.int64)
        numbers, scores = _top(parts, limit, allowed)
        found += [
            (tier, number, score)
            for number, score in zip(numbers.tolist(), scores.tolist(), strict=True)
        ]
    found.sort(key=lambda one: (-one[2], -one[1]))
    return found[:limit]


def frequencies(said: Iterable[Said]) -> dict[str, int]:
    """Return in how many memories of all tiers each term is."""
    total: dict[str, int] = {}
    for each in said:
        for term, seen in each.frequency.items():
            total[term] = total.get(term, 0) + seen
    return total


def _top(
    parts: Sequence[tuple[Codes, Scores]], limit: int, allowed: Codes | None
) -> tuple[Codes, Scores]:
    """Return the memories with the greatest sums, at most `limit`, of those that are allowed; in no order."""
    import numpy as np

    first = int(min(numbers[0] for numbers, _ in parts))
    span = int(max(numbers[-1] for numbers, _ in parts)) - first + 1
    if span > DENSE_MAX:
        numbers, scores = _summed(parts)
        if allowed is not None:
            passing = np.isin(numbers, allowed)
            numbers, scores = numbers[passing], scores[passing]
        return _greatest(numbers, scores, limit)
    # One cell per memory between the first and the last: adding up needs no sorting.
    sums = np.zeros(span, dtype=np.float32)
    for numbers, scores in parts:
        sums[numbers - first] += scores
    if allowed is not None:
        places = np.unique(allowed) - first
        places = places[(places >= 0) & (places < span)]
        places = places[sums[places] > 0]
        return _greatest(places + first, sums[places], limit)
    # The rarest term's memories give a score that the best ones must reach; few of the others do.
    rarest = sums[min(parts, key=lambda part: len(part[0]))[0] - first]
    floor = np.partition(rarest, len(rarest) - limit)[-limit] if len(rarest) > limit else 0.0
    places = np.flatnonzero(sums >= max(floor, np.finfo(np.float32).tiny))
    return _greatest(places + first, sums[places], limit)


def _greatest(numbers: Codes, scores: Scores, limit: int) -> tuple[Codes, Scores]:
    import numpy as np

    if len(scores) > limit:
        # Ties go to the newest, so that the same question has the same answer.
        top = np.lexsort((numbers, scores))[-limit:]
        return numbers[top], scores[top]
    return numbers, scores


def _summed(parts: Sequence[tuple[Codes, Scores]]) -> tuple[Codes, Scores]:
    """Return each number once, with the sum of its scores."""
    import numpy as np

    numbers = np.concatenate([each for each, _ in parts])
    scores = np.concatenate([each for _, each in parts])
    # Runs in order, one per term: merging them is what a stable sort is best at.
    order = np.argsort(numbers, kind="stable")
    numbers, scores = numbers[order], scores[order]
    starts = np.concatenate(([True], numbers[1:] != numbers[:-1])).nonzero()[0]
    return numbers[starts], np.add.reduceat(scores, starts)
