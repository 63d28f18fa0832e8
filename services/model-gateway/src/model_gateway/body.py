"""Bodies: JSON objects in, bounded reads of answers."""

import json
from collections.abc import AsyncIterator
from typing import Any

from model_gateway import errors

Fields = dict[str, Any]
REPLY_BYTES_MAX = 16 * 1024 * 1024


def json_object(body: bytes | bytearray) -> Fields:
    """Return the decoded object. Raises RequestInvalid."""
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        raise errors.RequestInvalid("The body is not JSON.") from None
    if not isinstance(fields, dict):
        raise errors.RequestInvalid("The body is not a JSON object.")
    return fields


def to_json(value: Any) -> bytes:
    """Return `value` as compact JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


async def read_bounded(pieces: AsyncIterator[bytes], bytes_max: int = REPLY_BYTES_MAX) -> bytes:
    """Return the whole body. Raises BackendInvalid when it is larger than `bytes_max`."""
    body = bytearray()
    async for piece in pieces:
        body += piece
        if len(body) > bytes_max:
            raise errors.BackendInvalid(f"The backend's answer is larger than {bytes_max} bytes.")
    return bytes(body)


async def read_json(pieces: AsyncIterator[bytes]) -> Fields:
    """Return an answer's body as a JSON object. Raises BackendInvalid."""
    body = await read_bounded(pieces)
    try:
        value: Any = json.loads(body)
    except (ValueError, RecursionError):
        raise errors.BackendInvalid("The backend's answer is not JSON.") from None
    if not isinstance(value, dict):
        raise errors.BackendInvalid("The backend's answer is not a JSON object.")
    return value
