"""Values of a record as JSON writes them, read without trust: each is what it must be, or refused with a fixed word."""

from __future__ import annotations

import math
import re
import struct
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from memory.domain import lasting
from memory.errors import TimeInvalid
from memory.levels.decay import STRENGTH_MAX

_KIND = re.compile(r"[a-z][a-z0-9_.-]{0,39}")


class BadRecord(Exception):
    """A record that cannot be taken. `reason` is a fixed word and never quotes what it refuses."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


def present(plain: dict[str, Any]) -> dict[str, Any]:
    """Return what is not None."""
    return {key: value for key, value in plain.items() if value is not None}


def read_list(raw: Any, most: int) -> list[Any]:
    """Return a list of at most so many; an absent one is empty. Raises BadRecord."""
    if raw is None:
        return []
    if not isinstance(raw, list) or len(raw) > most:
        raise BadRecord("list_invalid")
    return raw


def read_word(raw: Any, words: tuple[str, ...], reason: str) -> str:
    """Return one of the words. Raises BadRecord with this reason."""
    if raw not in words:
        raise BadRecord(reason)
    return raw


def read_kind(raw: Any) -> str:
    """Return a source's kind. Raises BadRecord."""
    if not isinstance(raw, str) or not _KIND.fullmatch(raw):
        raise BadRecord("source_invalid")
    return raw


def read_text(raw: Any, most: int) -> str | None:
    """Return a short text. Raises BadRecord."""
    if raw is None:
        return None
    if not isinstance(raw, str) or not 1 <= len(raw) <= most:
        raise BadRecord("field_invalid")
    if any(character == "\0" or "\ud800" <= character <= "\udfff" for character in raw):
        raise BadRecord("text_unprintable")
    return raw


def read_number(raw: Any, least: int, most: int) -> int | None:
    """Return a whole number within its range. Raises BadRecord."""
    if raw is None:
        return None
    if type(raw) is not int or not least <= raw <= most:
        raise BadRecord("number_invalid")
    return raw


def read_strength(raw: Any) -> float:
    """Return a strength as the database keeps it; 1 when there is none. Raises BadRecord."""
    if raw is None:
        return 1.0
    if type(raw) not in (int, float) or not math.isfinite(raw) or not 0 <= raw <= STRENGTH_MAX:
        raise BadRecord("number_invalid")
    return single(raw)


def single(number: float) -> float:
    """Return the number as four bytes keep it."""
    # As the database keeps it: four bytes.
    return float(struct.unpack("<f", struct.pack("<f", number))[0])


def short(number: float) -> float:
    """Return the shortest number that the database keeps as this one."""
    for digits in range(1, 10):
        short = float(f"{number:.{digits}g}")
        if single(short) == single(number):
            return short
    return number


def moment_text(moment: datetime | None) -> str | None:
    """Return a moment as it is written."""
    if moment is None:
        return None
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def read_time(raw: Any) -> datetime | None:
    """Return a moment that names its time zone, in UTC. Raises BadRecord."""
    if raw is None:
        return None
    try:
        moment = datetime.fromisoformat(raw)
        if moment.utcoffset() is None:
            raise BadRecord("time_invalid")
        return lasting(moment)
    except TimeInvalid:
        raise BadRecord("time_invalid") from None
    except (ValueError, TypeError, OverflowError):
        raise BadRecord("time_invalid") from None


def read_uuid(raw: Any) -> UUID | None:
    """Return an id. Raises BadRecord."""
    if raw is None:
        return None
    try:
        return UUID(raw)
    except (ValueError, TypeError, AttributeError):
        raise BadRecord("id_invalid") from None
