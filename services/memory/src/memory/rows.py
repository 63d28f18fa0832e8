"""Rows and vectors as the two databases take and give them: the columns that every tier has, in their order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from contracts.tiers import Level

from memory.domain import Entry


def vector_text(vector: Sequence[float]) -> str:
    """Return a vector as pgvector reads it."""
    return "[" + ",".join(f"{number:.7g}" for number in vector) + "]"


def row_of(entry: Entry) -> tuple[Any, ...]:
    """Return the entry as `insert_memory` takes it."""
    return (
        entry.id,
        entry.subject_id,
        entry.text,
        entry.source_kind,
        entry.source_ref,
        entry.occurred_at,
        entry.created_at,
        entry.updated_at,
        entry.revision,
        entry.namespace,
        entry.level.value,
        entry.thread,
        entry.position,
        entry.speaker,
        *strength_of(entry),
    )


def strength_of(entry: Entry) -> tuple[Any, ...]:
    """Return the columns that an entry has in every tier from `strength` on, in the order of the tables."""
    return (
        entry.strength,
        entry.accesses,
        entry.accessed_at or entry.created_at,
        entry.expires_at,
        entry.archived_at,
        entry.valid_from,
        entry.valid_to,
        entry.superseded_by,
        entry.superseded_at,
    )


def state_of(entry: Entry) -> tuple[Any, ...]:
    """Return what an update changes beside the text and its times, in the order of the statements."""
    return (
        entry.namespace,
        entry.level.value,
        entry.expires_at,
        entry.valid_from,
        entry.valid_to,
        entry.archived_at,
        entry.superseded_by,
        entry.superseded_at,
    )


def kept_columns(row: Any) -> dict[str, Any]:
    """Return the fields of an Entry that every tier keeps as plain columns."""
    return {
        "id": row["id"],
        "subject_id": row["subject_id"],
        "occurred_at": row["occurred_at"],
        "created_at": row["created_at"],
        "updated_at": row["updated_at"],
        "revision": row["revision"],
        "embedded": row["embedded"],
        "namespace": row["namespace"],
        "level": Level(row["level"]),
        "strength": row["strength"],
        "accesses": row["accesses"],
        "accessed_at": row["accessed_at"],
        "expires_at": row["expires_at"],
        "archived_at": row["archived_at"],
        "valid_from": row["valid_from"],
        "valid_to": row["valid_to"],
        "superseded_by": row["superseded_by"],
        "superseded_at": row["superseded_at"],
    }


def count(tag: str) -> int:
    """Return how many rows a statement touched, from its command tag."""
    return int(tag.rsplit(" ", 1)[1])
