"""Recall's way to entities: who a question names, and which memories mention them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from contracts.tiers import Tier
from kit.pool import Connection

from memory.facts.model import key_of
from memory.facts.nodes import roots_of
from memory.facts.sqltext import one, over

NAMES_MAX = 32


async def entity_ids_for(
    conn: Connection,
    tiers: Sequence[Tier],
    names: Sequence[str],
    namespaces: Sequence[str] | None = None,
) -> dict[str, list[UUID]]:
    """Return, by each of `names` as it was given, the entities that bear it, whole or as a first name.

    The ids are those that a reader of these tiers is shown.
    """
    keys = {key_of(name): name for name in names[:NAMES_MAX]}
    keys.pop("", None)
    if not keys or not tiers:
        return {}
    rows = await conn.fetch(
        over("names_in_question", tuple(tiers)),
        list(keys),
        list(namespaces) if namespaces is not None else None,
    )
    found: dict[str, list[UUID]] = {}
    for row in rows:
        whole, first = keys.get(row["key"]), keys.get(row["key"].split(" ", 1)[0])
        for name in {whole, first} - {None}:
            ids = found.setdefault(str(name), [])
            if row["node_id"] not in ids:
                ids.append(row["node_id"])
    return found


async def expand(conn: Connection, tiers: Sequence[Tier], ids: Sequence[UUID]) -> list[UUID]:
    """Return the roots, in all of these tiers, of what is shown under `ids`: what a filter by entity compares with."""
    found: Mapping[UUID, list[UUID]] = await roots_of(conn, tiers, ids)
    return [root for roots in found.values() for root in roots]


async def memories_of(
    conn: Connection, tiers: Sequence[Tier], roots: Sequence[UUID], limit: int
) -> list[tuple[UUID, float]]:
    """Return at most `limit` memories that mention any of these roots, the most telling first, each with its weight.

    A mention of somebody who is mentioned everywhere weighs little; one of several asked for weighs more than one.
    """
    found: list[tuple[float, datetime, UUID]] = []
    for tier in tiers if roots else ():
        rows = await conn.fetch(one("memories_of", tier), list(roots), limit)
        found += [(float(row["weight"]), row["created_at"], row["id"]) for row in rows]
    found.sort(reverse=True)
    return [(memory_id, weight) for weight, _, memory_id in found[:limit]]
