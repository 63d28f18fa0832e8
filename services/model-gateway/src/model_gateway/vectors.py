"""Checks that a backend's vectors are the ones that were asked for, and gives them in the wanted encoding."""

import array
import base64
import binascii
import math
import sys
from typing import Any

from model_gateway.body import Fields
from model_gateway.errors import BackendInvalid


def read_vectors(
    reply: Fields, count: int, dimensions: int | None, as_base64: bool
) -> list[Fields]:
    """Return `count` entries in the order of the inputs. Raises BackendInvalid.

    A vector too few or of another length would be stored beside the wrong text or poison an index: refused here.
    """
    data = reply.get("data")
    if not isinstance(data, list) or len(data) != count:
        raise BackendInvalid(f"The backend did not answer with {count} vectors.")
    by_index: dict[int, array.array[float]] = {}
    for entry in data:
        if not isinstance(entry, dict) or not isinstance(entry.get("index"), int):
            raise BackendInvalid("A vector of the backend has no index.")
        by_index[entry["index"]] = _vector(entry.get("embedding"), dimensions)
    if set(by_index) != set(range(count)):
        raise BackendInvalid("The backend's vectors do not match the inputs.")
    return [
        {"object": "embedding", "index": index, "embedding": _encoded(by_index[index], as_base64)}
        for index in range(count)
    ]


def _vector(value: Any, dimensions: int | None) -> "array.array[float]":
    vector = array.array("f")
    try:
        if isinstance(value, str):
            vector.frombytes(base64.b64decode(value, validate=True))
            if sys.byteorder == "big":
                vector.byteswap()
        else:
            vector.extend(value)
    except (TypeError, ValueError, OverflowError, binascii.Error):
        raise BackendInvalid("A vector of the backend is not made of numbers.") from None
    if not vector or (dimensions is not None and len(vector) != dimensions):
        raise BackendInvalid(
            f"A vector of the backend has {len(vector)} dimensions and not {dimensions}."
        )
    if not all(map(math.isfinite, vector)):
        raise BackendInvalid("A vector of the backend holds a number that is not finite.")
    return vector


def _encoded(vector: "array.array[float]", as_base64: bool) -> str | list[float]:
    if not as_base64:
        return vector.tolist()
    if sys.byteorder == "big":
        vector.byteswap()
    return base64.b64encode(vector.tobytes()).decode()
