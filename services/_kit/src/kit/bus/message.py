"""One event as it travels in a stream: who it is, what it says in ids, and the trace it belongs to."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from kit import ids

TOPIC = re.compile(r"^[a-z][a-z0-9_.]{0,63}$")
CHARS_MAX = 128
BYTES_MAX = 8192


@dataclass(frozen=True)
class Message:
    """One entry of a stream. `deliveries` is 1 the first time it is handed to a handler."""

    topic: str
    entry_id: str
    event_id: UUID
    payload: dict[str, Any]
    traceparent: str | None
    published_at: datetime
    deliveries: int = 1


def stream_key(topic: str) -> str:
    """Return the key of a topic's stream. Raises ValueError for what is no topic."""
    if not TOPIC.match(topic):
        raise ValueError(f"{topic!r} is not a topic")
    return f"lares:stream:{topic}"


def dead_key(topic: str, group: str) -> str:
    """Return the key of the stream where a group's undeliverable messages of a topic end."""
    return f"{group}:dead:{topic}"


def fields(payload: Any, event_id: UUID, traceparent: str) -> dict[str, str]:
    """Return the entry to add. Raises ContentRefused unless `payload` is ids and short words."""
    if hasattr(payload, "model_dump"):
        payload = payload.model_dump(mode="json")
    data = ids.encode(payload, chars_max=CHARS_MAX, bytes_max=BYTES_MAX)
    return {"event_id": str(event_id), "traceparent": traceparent, "data": data}


def parse(topic: str, entry_id: str, entry: Mapping[str, str], deliveries: int = 1) -> Message:
    """Read an entry. Raises ValueError when it is not one of ours."""
    try:
        payload = json.loads(entry["data"])
        milliseconds = int(entry_id.split("-")[0])
        if not isinstance(payload, dict):
            raise ValueError("the data is not an object")  # noqa: TRY004 - one error for all malformed entries
        return Message(
            topic=topic,
            entry_id=entry_id,
            event_id=UUID(entry["event_id"]),
            payload=payload,
            traceparent=entry.get("traceparent"),
            published_at=datetime.fromtimestamp(milliseconds / 1000, UTC),
            deliveries=deliveries,
        )
    except (KeyError, AttributeError) as error:
        raise ValueError(f"no {error}") from None
