"""Texts to vectors, through model-gateway and never past the house's walls for what must stay inside."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from contracts.tiers import Tier
from kit.client import ServiceClient
from kit.errors import KitError

from memory.domain import DIMENSIONS
from memory.errors import EmbedderUnavailable, EmbeddingRefused

TIER_HEADER = "X-Lares-Max-Tier"


class Embedder:
    """model-gateway's `/v1/embeddings`, for one model."""

    def __init__(self, client: ServiceClient, model: str) -> None:
        self._client = client
        self._model = model

    async def embed(self, text: str, tier: Tier, timeout_s: float) -> list[float]:
        """Return the vector of `text` within `timeout_s`. Raises EmbedderUnavailable, EmbeddingRefused."""
        try:
            reply = await self._client.post(
                "/v1/embeddings",
                json={"model": self._model, "input": [text]},
                headers={TIER_HEADER: tier.value},
                timeout_s=timeout_s,
            )
            return _vector(reply.json())
        except KitError as error:
            # What will not get better by waiting is told apart, so that it is not tried for ever.
            if error.status < 500 and error.status not in (401, 404, 408, 429):
                raise EmbeddingRefused() from error
            raise EmbedderUnavailable() from error


def _vector(body: Any) -> list[float]:
    try:
        numbers: Sequence[Any] = body["data"][0]["embedding"]
        vector = [float(number) for number in numbers]
    except (KeyError, IndexError, TypeError, ValueError):
        raise EmbedderUnavailable("The embedding model gave an answer that is no vector.") from None
    if (
        len(vector) not in DIMENSIONS
        or not all(math.isfinite(number) for number in vector)
        or not any(vector)
    ):
        raise EmbedderUnavailable("The embedding model gave a vector of the wrong kind.")
    return vector
