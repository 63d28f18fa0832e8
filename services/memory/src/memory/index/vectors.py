"""Nearness of vectors that were read beforehand. No I/O."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

Key = TypeVar("Key", bound=Hashable)
# pgvector sends a halfvec as its length, an unused number, and halves, big-endian.
_HEAD = 4


def cosines(packed: Mapping[Key, bytes | None], query: Sequence[float]) -> dict[Key, float]:
    """Return how near each of these is to the query; what has no vector of the query's length is left out."""
    import numpy as np

    size = _HEAD + 2 * len(query)
    held = {key: each for key, each in packed.items() if each is not None and len(each) == size}
    if not held:
        return {}
    halves = np.frombuffer(b"".join(held.values()), dtype=">f2").reshape(len(held), size // 2)
    matrix = halves[:, _HEAD // 2 :].astype(np.float32)
    wanted = np.asarray(query, dtype=np.float32)
    lengths = np.sqrt(np.einsum("ij,ij->i", matrix, matrix) * np.dot(wanted, wanted))
    near = (matrix @ wanted) / np.where(lengths > 0, lengths, np.float32(1))
    return dict(zip(held, near.tolist(), strict=True))


def numbers(packed: bytes) -> list[float]:
    """Return the numbers of a vector as pgvector sends it."""
    import numpy as np

    return np.frombuffer(packed, dtype=">f2", offset=_HEAD).astype(np.float64).tolist()
