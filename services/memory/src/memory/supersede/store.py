"""The marks of supersession: on the memories for everybody, in the books how to undo them, and hidden ones beside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from contracts.tiers import Tier
from kit import sql

from memory.facts.sqltext import PLAIN_TIERS
from memory.index.vectors import numbers
from memory.supersede.plan import Mark

if TYPE_CHECKING:
    from kit.pool import Connection

    from memory.domain import Entry
    from memory.finding import Candidate

_STATEMENTS = sql.load(Path(__file__).with_name("queries.sql"))
SLOT_MATES_MAX = 40


def statements() -> Mapping[str, sql.Query]:
    """Return every statement by name, with the role and database it is prepared under."""
    return _STATEMENTS


def text_of(name: str, tier: Tier = Tier.CONVENIENCE) -> str:
    """Return a statement as it reads for one tier's tables."""
    text = str(_STATEMENTS[name])
    return text.replace("convenience.", f"{tier.value}.") if tier is not Tier.CONVENIENCE else text


async def hold_person(conn: Connection, subject: UUID) -> None:
    """Be the only one who decides about this person's memories until the transaction ends."""
    await conn.execute(text_of("hold_person"), str(subject))


async def hold_rows(conn: Connection, memory_ids: Sequence[UUID]) -> None:
    """Hold those of the memories that are in a plain tier until the transaction ends."""
    for tier in PLAIN_TIERS:
        await conn.execute(text_of("hold_rows", tier), list(memory_ids))


async def vectors_of(
    conn: Connection, tier: Tier, memory_ids: Sequence[UUID], model: int
) -> dict[UUID, list[float]]:
    """Return the vectors of a model that the memories have."""
    rows = await conn.fetch(text_of("vectors_of", tier), list(memory_ids), model)
    return {row["memory_id"]: numbers(row["vector"]) for row in rows}


async def terms_of(conn: Connection, texts: Sequence[str]) -> list[list[str]]:
    """Return for each text its terms as the index knows them, each once."""
    rows = await conn.fetch(text_of("terms_of"), list(texts))
    return [row["terms"] for row in rows]


async def slot_mates(
    conn: Connection, tier: Tier, memory_ids: Sequence[UUID]
) -> dict[UUID, list[UUID]]:
    """Return for each memory those that say something of the same kind of the same subject, whatever their words."""
    found: dict[UUID, list[UUID]] = {}
    for row in await conn.fetch(text_of("slot_mates", tier), list(memory_ids), SLOT_MATES_MAX):
        found.setdefault(row["id"], []).append(row["memory_id"])
    return found


async def marked_among(conn: Connection, memory_ids: Sequence[UUID]) -> set[UUID]:
    """Return those of the memories that a mark is on or points to. As the service itself."""
    return {row["id"] for row in await conn.fetch(text_of("marked_among"), list(memory_ids))}


async def hidden_among(conn: Connection, memory_ids: Sequence[UUID]) -> set[UUID]:
    """Return those of the memories that a hidden mark is on or points to."""
    return {row["id"] for row in await conn.fetch(text_of("hidden_among"), list(memory_ids))}


async def books(conn: Connection, ids: Sequence[UUID], new_ids: Sequence[UUID]) -> list[Mark]:
    """Return the marks on any of these memories, and all that point to `new_ids`. As the service itself."""
    return [_mark(row) for row in await conn.fetch(text_of("books"), list(ids), list(new_ids))]


async def hidden(conn: Connection, ids: Sequence[UUID], new_ids: Sequence[UUID]) -> list[Mark]:
    """Return the hidden marks on any of these memories, and all that point to `new_ids`."""
    return [_mark(row) for row in await conn.fetch(text_of("hidden"), list(ids), list(new_ids))]


async def noticed(conn: Connection, found: Sequence[Candidate]) -> list[Candidate]:
    """Return the candidates with the marks that only readers of what is sensitive may notice."""
    ids = [each.id for each in found if each.superseded_by is None]
    rows = await conn.fetch(text_of("hidden_of"), ids) if ids else []
    by = {row["old_id"]: row for row in rows}
    return [
        replace(
            each,
            superseded_by=by[each.id]["new_id"],
            valid_to=each.valid_to or by[each.id]["valid_to"],
        )
        if each.id in by
        else each
        for each in found
    ]


async def mark(
    conn: Connection,
    old: Entry,
    new_id: UUID,
    valid_to: datetime,
    now: datetime,
    before: datetime | None,
) -> bool:
    """Mark a memory as replaced; False when it is gone. `before` is what its `valid_to` was without any mark."""
    return bool(
        await conn.fetchval(text_of("mark", old.tier), old.id, new_id, now, before, valid_to)
    )


async def unmark(conn: Connection, old: Entry, before: datetime | None, known: bool) -> bool:
    """Take the mark off a memory; False when it had none. Where `known`, its `valid_to` is again what it was."""
    if known:
        return bool(await conn.fetchval(text_of("unmark", old.tier), old.id, before))
    return bool(await conn.fetchval(text_of("unmark_only", old.tier), old.id))


async def valid_to_before(conn: Connection, old_id: UUID) -> tuple[bool, datetime | None]:
    """Say whether the books know the memory's mark, and what `valid_to` was before it. As the service itself."""
    rows = await conn.fetch(text_of("books"), [old_id], [])
    row = next((each for each in rows if each["old_id"] == old_id), None)
    if row is None or row["restored_at"] is not None:
        return False, None
    return True, row["valid_to_before"]


async def book(
    conn: Connection,
    old: Entry,
    new_id: UUID,
    made_by: str,
    rule: str,
    before: datetime | None,
    now: datetime,
) -> None:
    """Note who marked a memory and how to undo it. As the service itself."""
    await conn.execute(text_of("book"), old.id, new_id, old.subject_id, made_by, rule, before, now)


async def hide(
    conn: Connection,
    old: Entry,
    new_id: UUID,
    made_by: str,
    rule: str,
    valid_to: datetime,
    now: datetime,
) -> None:
    """Note that a more private memory replaced this one."""
    await conn.execute(
        text_of("hide"), old.id, new_id, old.subject_id, old.namespace, made_by, rule, valid_to, now
    )


def _mark(row: Any) -> Mark:
    return Mark(row["old_id"], row["new_id"], row["made_by"], row["restored_at"])
