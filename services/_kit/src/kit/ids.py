"""What may travel in a queue or a stream: ids and short words, never what a person wrote.

Valkey keeps what it is given in memory, in its append-only file and in its backups, outside of every tier.
"""

from __future__ import annotations

import json
import re
from typing import Any
from uuid import UUID

from kit.errors import KitError

# No space fits in: a name, an id, a time or a state does, a sentence does not.
_WORD = re.compile(r"^[A-Za-z0-9_.:@/+~=-]*$")
_DEPTH_MAX = 4


class ContentRefused(KitError):
    """Something other than ids and short words was about to enter a queue or a stream."""

    code, status = "bus.content_refused", 500
    reason = "A message for another service held more than ids and short words."
    fix = "This is a fault of the sending service: send the row's id and let the receiver read the row."


def encode(payload: Any, *, chars_max: int, bytes_max: int) -> str:
    """Return `payload` as JSON. Raises ContentRefused, naming the place and never the value."""
    text = json.dumps(checked(payload, chars_max=chars_max), separators=(",", ":"))
    if len(text) > bytes_max:
        raise ContentRefused(f"The payload has {len(text)} bytes, the limit is {bytes_max}.")
    return text


def checked(value: Any, *, chars_max: int, place: str = "payload", depth: int = 0) -> Any:
    """Return `value` in plain JSON types if it is ids, numbers and short words all through. Raises ContentRefused."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, str):
        if len(value) > chars_max or not _WORD.match(value):
            raise ContentRefused(f"{place} is not an id or a short word.")
        return value
    if depth < _DEPTH_MAX and isinstance(value, (list, tuple)):
        return [
            checked(item, chars_max=chars_max, place=f"{place}[{index}]", depth=depth + 1)
            for index, item in enumerate(value)
        ]
    if depth < _DEPTH_MAX and isinstance(value, dict):
        return {
            checked(key, chars_max=chars_max, place=f"a key of {place}"): checked(
                item, chars_max=chars_max, place=f"{place}.{key}", depth=depth + 1
            )
            for key, item in value.items()
        }
    raise ContentRefused(f"{place} has a type that cannot travel.")
