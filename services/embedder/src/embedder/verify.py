"""Is this really MiniLM? Compares with vectors of the real model: at image build, at start and in tests.

An exporter's mistake or a machine's odd kernel gives vectors that look fine and find nothing. A cosine tells.
"""

import base64
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from embedder.domain import DIMENSIONS, Encoded, Vector
from embedder.errors import ModelBroken

COSINE_MIN = 0.97


def read_reference(path: Path) -> list[tuple[str, Vector]]:
    """Return (sentence, vector of the real model) pairs."""
    pairs = json.loads(path.read_text())["pairs"]
    vectors = [
        np.frombuffer(base64.b64decode(pair["vector"]), dtype="<f2").astype(np.float32)
        for pair in pairs
    ]
    return [
        (pair["text"], vector)
        for pair, vector in zip(pairs, vectors, strict=True)
        if vector.shape == (DIMENSIONS,)
    ]


def cosines(encode: Callable[[str], Encoded], reference: list[tuple[str, Vector]]) -> list[float]:
    """Return the cosine of each sentence's vector with the real model's."""
    return [
        float(encode(text).vector @ vector / np.linalg.norm(vector)) for text, vector in reference
    ]


def verify(encode: Callable[[str], Encoded], reference_path: Path) -> float:
    """Return the least cosine over the reference. Raises ModelBroken below 0.97."""
    measured = cosines(encode, read_reference(reference_path))
    least = min(measured, default=0.0)
    # Written so that a NaN fails too.
    if not least >= COSINE_MIN:
        raise ModelBroken(
            f"A reference sentence's cosine is {least:.4f}; at least {COSINE_MIN} is needed."
        )
    return least
