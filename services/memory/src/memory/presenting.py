"""The border to a caller: what they may do here, and how a memory is shown to them. Only the service has callers."""

from __future__ import annotations

from contracts.identity import Caller
from contracts.memory import Memory, Source
from kit.auth import ReadOnly
from kit.pool import PERSON

from memory.domain import READING_ROLES, Entry
from memory.errors import PersonNeeded


def check_writes(db_role: str, read_only: bool) -> None:
    """Return if the caller may change anything. Raises ReadOnly."""
    if read_only or db_role in READING_ROLES:
        raise ReadOnly()


def check_person(caller: Caller) -> None:
    """Return if a person's own session asks, and not a client that acts for them. Raises PersonNeeded."""
    if caller.kind != PERSON:
        raise PersonNeeded()


def to_memory(entry: Entry) -> Memory:
    """Return the memory as it is shown."""
    return Memory(
        id=entry.id,
        text=entry.text,
        tier=entry.tier,
        source=Source(kind=entry.source_kind, ref=entry.source_ref),
        created_at=entry.created_at,
        updated_at=entry.updated_at,
        occurred_at=entry.occurred_at,
        embedded=entry.embedded,
        namespace=entry.namespace,
        level=entry.level,
        thread=entry.thread,
        position=entry.position,
        speaker=entry.speaker,
        strength=round(entry.strength, 4),
        accesses=entry.accesses,
        accessed_at=entry.accessed_at,
        expires_at=entry.expires_at,
        archived_at=entry.archived_at,
        valid_from=entry.valid_from,
        valid_to=entry.valid_to,
        superseded_by=entry.superseded_by,
        superseded_at=entry.superseded_at,
    )
