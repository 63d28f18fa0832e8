"""What an embedding request means. Pure."""

import base64
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from embedder.errors import InputInvalid, ModelUnknown

MODEL_NAME = "minilm-l6-v2"
DIMENSIONS = 384
TOKENS_MAX = 256

Vector = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Limits:
    """How much one request may ask."""

    inputs_max: int
    chars_max: int


@dataclass(frozen=True)
class Ask:
    """One checked request."""

    texts: tuple[str, ...]
    base64: bool


@dataclass(frozen=True)
class Encoded:
    """One text's vector, how many tokens it was made of, and whether the text was longer."""

    vector: Vector
    tokens: int
    truncated: bool


def read_ask(body: Any, limits: Limits) -> Ask:
    """Return the request that `body` holds. Raises InputInvalid or ModelUnknown."""
    if not isinstance(body, dict):
        raise InputInvalid("The body is not a JSON object.")
    fields: dict[str, Any] = body
    if fields.get("model", MODEL_NAME) != MODEL_NAME:
        raise ModelUnknown(f"This embedder serves `{MODEL_NAME}` only.")
    if fields.get("dimensions", DIMENSIONS) != DIMENSIONS:
        raise InputInvalid(f"`{MODEL_NAME}` has {DIMENSIONS} dimensions and cannot be shortened.")
    encoding = fields.get("encoding_format", "float")
    if encoding not in ("float", "base64"):
        raise InputInvalid("`encoding_format` is neither float nor base64.")
    return Ask(_read_texts(fields.get("input"), limits), encoding == "base64")


def _read_texts(value: Any, limits: Limits) -> tuple[str, ...]:
    texts: list[Any] = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not texts:
        raise InputInvalid()
    if len(texts) > limits.inputs_max:
        raise InputInvalid(f"{len(texts)} texts at once; at most {limits.inputs_max} are taken.")
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise InputInvalid(
                f"Input {index} is not a text. Lists of token numbers are not taken."
            )
        if not text.strip():
            raise InputInvalid(f"Input {index} is empty.")
        if len(text) > limits.chars_max:
            raise InputInvalid(f"Input {index} has more than {limits.chars_max} characters.")
    return tuple(texts)


def reply(ask: Ask, encoded: list[Encoded]) -> dict[str, Any]:
    """Return the answer in OpenAI's shape. `usage.truncated` lists the inputs whose end was not read."""
    tokens = sum(one.tokens for one in encoded)
    return {
        "object": "list",
        "model": MODEL_NAME,
        "data": [
            {
                "object": "embedding",
                "index": index,
                "embedding": _number_list(one.vector, ask.base64),
            }
            for index, one in enumerate(encoded)
        ],
        "usage": {
            "prompt_tokens": tokens,
            "total_tokens": tokens,
            "truncated": [index for index, one in enumerate(encoded) if one.truncated],
        },
    }


def _number_list(vector: Vector, as_base64: bool) -> str | list[float]:
    # OpenAI's client asks for little-endian float32 in base64; on a big-endian machine the cast swaps.
    return (
        base64.b64encode(vector.astype("<f4").tobytes()).decode() if as_base64 else vector.tolist()
    )
