"""BM25 over postings that have been read: which memories have a query's terms, and how well. No I/O.

A posting is eight bytes, big-endian: the memory's seq in five, how often it has the term in one, its words in two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Codes = NDArray[np.int64]

# BM25's usual constants.
K1 = 1.2
B = 0.75


@dataclass(frozen=True, slots=True)
class Said:
    """What one tier's index holds of a query: per term every posting that was read, and the counts of all."""

    rows: int
    words: int
    frequency: Mapping[str, int]
    codes: Mapping[str, Codes]

    def terms_of(self, seqs: Sequence[int]) -> dict[int, dict[str, float]]:
        """Return for each memory how often it has each term that was read; those without any are left out."""
        import numpy as np

        found: dict[int, dict[str, float]] = {}
        wanted = np.asarray(sorted(seqs), dtype=np.int64)
        for term, codes in self.codes.items():
            places = np.searchsorted(codes, wanted << 24)
            held = np.minimum(places, len(codes) - 1)
            hits = np.nonzero(codes[held] >> 24 == wanted)[0]
            for seq, code in zip(wanted[hits].tolist(), codes[held[hits]].tolist(), strict=True):
                found.setdefault(seq, {})[term] = float(code >> 16 & 255)
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
        seqs: list[Codes] = []
        parts: list[NDArray[np.float64]] = []
        for term, codes in each.codes.items():
            uses, size = codes >> 16 & 255, codes & 65535
            seen = frequency[term]
            idf = np.log1p((max(rows, seen) - seen + 0.5) / (seen + 0.5))
            parts.append(idf * uses * (K1 + 1) / (uses + K1 * (1 - B + B * size / average)))
            seqs.append(codes >> 24)
        numbers, scores = _summed(np.concatenate(seqs), np.concatenate(parts))
        if only is not None:
            passing = np.isin(numbers, np.asarray(only.get(tier, ()), dtype=np.int64))
            numbers, scores = numbers[passing], scores[passing]
        if len(scores) > limit:
            top = np.argpartition(scores, len(scores) - limit)[-limit:]
            numbers, scores = numbers[top], scores[top]
        found += [
            (tier, number, score)
            for number, score in zip(numbers.tolist(), scores.tolist(), strict=True)
        ]
    found.sort(key=lambda one: (-one[2], -one[1]))
    return found[:limit]


def frequencies(said: Any) -> dict[str, int]:
    """Return in how many memories of all tiers each term is."""
    total: dict[str, int] = {}
    for each in said:
        for term, seen in each.frequency.items():
            total[term] = total.get(term, 0) + seen
    return total


def _summed(numbers: Codes, scores: NDArray[np.float64]) -> tuple[Codes, NDArray[np.float64]]:
    """Return each number once, with the sum of its scores."""
    import numpy as np

    # Runs in order, one per term: merging them is what a stable sort is best at.
    order = np.argsort(numbers, kind="stable")
    numbers, scores = numbers[order], scores[order]
    starts = np.concatenate(([True], numbers[1:] != numbers[:-1])).nonzero()[0]
    return numbers[starts], np.add.reduceat(scores, starts)
