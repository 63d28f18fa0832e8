"""Hundreds of thousands of memories that are like real ones: real sentences, recombined, with vectors to match.

Sentences come from the development conversations and are embedded by the house's own model; a memory is a half of one
sentence and a half of another, and its vector their weighted sum with a little noise. So words keep their real
frequencies and vectors their real clusters. Nothing of the conversations is kept in the project.
"""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
SENTENCES = 2400
EMBED_AT_ONCE = 16
KINDS = ("turn", "mail", "note", "web")
LEVELS = ("knowledge", "episodic", "knowledge", "knowledge")
BEGIN = datetime(2024, 1, 1, tzinfo=UTC)


def folder() -> Path:
    """Return where the development data lies."""
    return Path(os.environ.get("LARES_BENCH_DATA") or ROOT.parent / "shared" / "data")


def sentences() -> list[str]:
    """Return the turns of the development conversations, those with enough words to be halved."""
    told = json.loads((folder() / "locomo-dev.json").read_text())
    turns = [
        turn["text"]
        for sample in told
        for name, session in sample["conversation"].items()
        if isinstance(session, list) and name.startswith("session_")
        for turn in session
    ]
    fit = [turn for turn in turns if 8 <= len(turn.split()) <= 40]
    # Evenly over all conversations, the same ones each time.
    return [fit[index * len(fit) // SENTENCES] for index in range(min(SENTENCES, len(fit)))]


def embed(url: str, texts: list[str]) -> np.ndarray[Any, Any]:
    """Return one vector of length one per text, from a server of OpenAI's protocol."""
    vectors: list[list[float]] = []
    for start in range(0, len(texts), EMBED_AT_ONCE):
        body = json.dumps({"model": "minilm-l6-v2", "input": texts[start : start + EMBED_AT_ONCE]})
        asked = urllib.request.Request(
            f"{url}/v1/embeddings", body.encode(), {"content-type": "application/json"}
        )
        with urllib.request.urlopen(asked, timeout=60) as answer:
            vectors += [each["embedding"] for each in json.load(answer)["data"]]
    found = np.asarray(vectors, dtype=np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


@dataclass(frozen=True)
class Corpus:
    """The sentences and their vectors; memories are drawn from them by number, the same ones each time."""

    texts: list[str]
    vectors: np.ndarray[Any, Any]

    def draw(self, start: int, count: int) -> Iterator[tuple[Any, ...]]:
        """Yield rows: id, text, kind, level, thread, position, occurred_at, vector."""
        rng = np.random.default_rng(start)
        first = rng.integers(len(self.texts), size=count)
        second = rng.integers(len(self.texts), size=count)
        noise = rng.normal(0, 0.02, (count, self.vectors.shape[1]))
        mixed = 0.65 * self.vectors[first] + 0.35 * self.vectors[second] + noise
        mixed /= np.linalg.norm(mixed, axis=1, keepdims=True)
        for offset in range(count):
            number = start + offset
            head, tail = self.texts[first[offset]].split(), self.texts[second[offset]].split()
            yield (
                UUID(int=(0x4000 << 64) | (0x8000 << 48) | number),
                " ".join(head[: 2 * len(head) // 3] + tail[len(tail) // 2 :]),
                KINDS[number % 4],
                LEVELS[number // 7 % 4],
                f"thread-{number // 50}",
                number % 50,
                BEGIN + timedelta(seconds=60 * number),
                mixed[offset].astype(np.float16),
            )

    def queries(self, count: int) -> list[tuple[str, np.ndarray[Any, Any]]]:
        """Return questions no memory was made of: the words of two sentences, and a vector between them."""
        rng = np.random.default_rng(99)
        found: list[tuple[str, np.ndarray[Any, Any]]] = []
        for first, second in rng.integers(len(self.texts), size=(count, 2)):
            vector = 0.6 * self.vectors[first] + 0.4 * self.vectors[second]
            words = self.texts[first].split()[-7:] + self.texts[second].split()[:3]
            found.append((" ".join(words), vector / np.linalg.norm(vector)))
        return found


def halfvec(vector: np.ndarray[Any, Any]) -> bytes:
    """Return a vector in pgvector's binary form of halfvec."""
    return len(vector).to_bytes(2, "big") + b"\0\0" + vector.astype(">f2").tobytes()
