"""A recall request as the search takes it, and which memories that lets through. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypeVar

from contracts.memory import RecallRequest

from memory.domain import (
    Entry,
    Filters,
    aware,
    check_label,
    check_span,
    chosen_tiers,
    parse_level,
    parse_namespace,
)

Word = TypeVar("Word")


def read_filters(db_role: str, request: RecallRequest) -> Filters:
    """Return what the request asks of a memory.

    Raises TierUnknown, TierDenied, LevelUnknown, NamespaceInvalid, LabelInvalid, TimeInvalid.
    """
    since, until = aware(request.since), aware(request.until)
    check_span(since, until)
    return Filters(
        tiers=chosen_tiers(db_role, request.tiers),
        namespaces=_each(request.namespaces, parse_namespace),
        levels=_each(request.levels, parse_level),
        sources=_each(request.sources, check_label),
        threads=_each(request.threads, check_label),
        entities=tuple(request.entities) if request.entities is not None else None,
        since=since,
        until=until,
        as_of=aware(request.as_of),
        archived=request.archived,
        superseded=request.superseded,
    )


def passes(entry: Entry, filters: Filters, now: datetime) -> bool:
    """Say whether the filters let a memory through that no index knows; the tiers are the caller's to choose.

    Nothing is derived from a sacred memory, so it is never about an entity.
    """
    ended = entry.archived_at is not None or (
        entry.expires_at is not None and entry.expires_at <= now
    )
    return (
        (filters.archived or not ended)
        and (filters.superseded or entry.superseded_by is None)
        and filters.entities is None
        and _among(entry.namespace, filters.namespaces)
        and _among(entry.level, filters.levels)
        and _among(entry.source_kind, filters.sources)
        and _among(entry.thread, filters.threads)
        and (filters.since is None or entry.happened_at >= filters.since)
        and (filters.until is None or entry.happened_at < filters.until)
    )


def _each(words: list[str] | None, parse: Callable[[str], Word]) -> tuple[Word, ...] | None:
    return None if words is None else tuple(dict.fromkeys(parse(word) for word in words))


def _among(value: object, asked: Sequence[object] | None) -> bool:
    return asked is None or value in asked
