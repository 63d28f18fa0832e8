"""Texts to vectors, through model-gateway and never past the house's walls for what must stay inside."""

from __future__ import annotations

import base64
import binascii
import math
import random
import sys
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from contracts.names import TIER_HEADER
from contracts.tiers import Tier
from kit.client import ServiceClient
from kit.errors import KitError

from memory.errors import EmbedderUnavailable, EmbeddingRefused
from memory.writing.errors import EmbeddingInvalid

if TYPE_CHECKING:
    from memory.store import Model
    from memory.writing.models import Models
    from memory.writing.store import Vector

# The gateway's words for an answer that was none, which one text of the batch may have caused.
_INVALID = frozenset({"inference.backend_invalid", "inference.backend_failed"})
_PROBE = "The house remembers."


@dataclass(frozen=True, slots=True)
class Embedded:
    """What came of a batch: vectors by the place of their text, and the places of texts the model does not take."""

    vectors: dict[int, Vector]
    refused: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class QueryVector:
    """A question's vector, and the model that made it: it may be compared with that model's vectors alone."""

    model: int
    numbers: Vector


class Embedder:
    """model-gateway's `/v1/embeddings`."""

    def __init__(
        self,
        client: ServiceClient,
        models: Models,
        invalid: Callable[[], None] = lambda: None,
    ) -> None:
        self._client = client
        self._models = models
        self._invalid = invalid

    async def active(self) -> Model:
        """Return the model that makes the vectors of questions now. Raises DataUnavailable."""
        return await self._models.active()

    async def query(self, text: str, timeout_s: float) -> QueryVector:
        """Return the vector of a question within `timeout_s`. Raises EmbedderUnavailable, EmbeddingRefused.

        A question can be as private as its answer: it never leaves the house.
        """
        model = await self._models.active()
        try:
            vectors = await self._ask([text], Tier.SACRED, timeout_s, model.name, model.dimensions)
        except EmbeddingInvalid as error:
            raise EmbedderUnavailable(error.reason) from None
        return QueryVector(model.id, vectors[0])

    async def probe(self, name: str, timeout_s: float) -> Vector:
        """Return a vector of a model that is not registered yet. Raises EmbedderUnavailable, EmbeddingRefused, EmbeddingInvalid."""
        return (await self._ask([_PROBE], Tier.CONVENIENCE, timeout_s, name, None))[0]

    async def many(
        self, texts: Sequence[str], tier: Tier, timeout_s: float, model: Model
    ) -> Embedded:
        """Return the vectors of the texts, each call within `timeout_s`. Raises EmbedderUnavailable.

        A batch that is refused is asked for text by text, so that one that the model chokes on holds up no other. By
        halves would be fewer calls, but several refusals in a row, which the gateway takes for a dead backend; in any
        order, so that those at fault are not all met first. If it stops answering on the way, what was not tried is in
        neither part of the answer.
        """
        places = range(len(texts))
        try:
            found = await self._ask(list(texts), tier, timeout_s, model.name, model.dimensions)
            return Embedded(dict(zip(places, found, strict=True)), ())
        except (EmbeddingRefused, EmbeddingInvalid):
            pass
        vectors: dict[int, Vector] = {}
        refused: list[int] = []
        for place in random.sample(places, len(places)):
            try:
                vectors[place] = (
                    await self._ask([texts[place]], tier, timeout_s, model.name, model.dimensions)
                )[0]
            except (EmbeddingRefused, EmbeddingInvalid):
                refused.append(place)
            except EmbedderUnavailable:
                if not vectors:
                    raise
                break
        if refused and not vectors:
            await self._check_well(tier, timeout_s, model)
        return Embedded(vectors, tuple(refused))

    async def _check_well(self, tier: Tier, timeout_s: float, model: Model) -> None:
        """Return if the model answers an ordinary text: then the fault is with the texts. Raises EmbedderUnavailable."""
        try:
            await self._ask([_PROBE], tier, timeout_s, model.name, model.dimensions)
        except (EmbeddingRefused, EmbeddingInvalid) as error:
            raise EmbedderUnavailable(error.reason) from None

    async def _ask(
        self, texts: list[str], tier: Tier, timeout_s: float, name: str, dimensions: int | None
    ) -> list[Vector]:
        try:
            reply = await self._client.post(
                "/v1/embeddings",
                json={"model": name, "input": texts, "encoding_format": "base64"},
                headers={TIER_HEADER: tier.value},
                timeout_s=timeout_s,
            )
            return read_vectors(reply.json(), len(texts), dimensions)
        except EmbeddingInvalid:
            self._invalid()
            raise
        except KitError as error:
            if error.code in _INVALID:
                self._invalid()
                raise EmbeddingInvalid() from error
            # What will not get better by waiting is told apart, so that it is not tried for ever.
            if error.status < 500 and error.status not in (401, 404, 408, 429):
                raise EmbeddingRefused() from error
            raise EmbedderUnavailable() from error


def read_vectors(body: Any, texts: int, dimensions: int | None) -> list[Vector]:
    """Return one vector a text, in the texts' order. Raises EmbeddingInvalid.

    Too few, twice the same place, another length than the model's, a NaN, an infinity or only zeros: none of it may
    ever stand beside a memory.
    """
    try:
        data: list[Any] = body["data"]
        placed = {int(entry["index"]): _numbers(entry["embedding"]) for entry in data}
    except (KeyError, TypeError, ValueError, OverflowError, binascii.Error):
        raise EmbeddingInvalid() from None
    if len(data) != texts or set(placed) != set(range(texts)):
        raise EmbeddingInvalid()
    vectors: list[Vector] = [placed[place] for place in range(texts)]
    for vector in vectors:
        if dimensions is not None and len(vector) != dimensions:
            raise EmbeddingInvalid(
                f"The embedding model gave {len(vector)} dimensions and is registered with {dimensions}."
            )
        if not any(vector) or not all(map(math.isfinite, vector)):
            raise EmbeddingInvalid()
    return vectors


def _numbers(value: Any) -> array[float]:
    if isinstance(value, str):
        numbers = array("f")
        numbers.frombytes(base64.b64decode(value, validate=True))
        if sys.byteorder == "big":
            numbers.byteswap()
        return numbers
    return array("f", [float(number) for number in value])
