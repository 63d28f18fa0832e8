"""Look at entities: a list, the most mentioned first, or one with its names, its merges and its memories."""

from __future__ import annotations

import base64
import binascii
from uuid import UUID

from contracts.facts import Alias, EntityChange, EntityPage, EntityRef, EntityView
from contracts.identity import Caller
from contracts.tiers import QUERY_CHARS_MAX, Tier
from kit.pool import Connection

from memory.domain import check_list_limit
from memory.errors import CursorInvalid, TextTooLong, TierDenied
from memory.facts.errors import EntityNotFound, KindUnknown
from memory.facts.model import KINDS, key_of
from memory.facts.nodes import node_of, nodes, roots_of
from memory.facts.sqltext import over, plain_tiers
from memory.library import Library, now

MEMORIES_SHOWN = 50


class Entities:
    """`GET /v1/entities` and `GET /v1/entities/{id}`."""

    def __init__(self, library: Library) -> None:
        self._library = library

    async def page(
        self, caller: Caller, query: str | None, kind: str | None, limit: int, cursor: str | None
    ) -> EntityPage:
        """Return the next entities whose names hold `query`. Raises KindUnknown, LimitInvalid, CursorInvalid."""
        tiers = readable(caller)
        check_list_limit(limit)
        if kind is not None and kind not in KINDS:
            raise KindUnknown()
        if query is not None and len(query) > QUERY_CHARS_MAX:
            raise TextTooLong()
        after = _decode(cursor) if cursor is not None else None
        async with self._library.plain.pool.as_caller(caller) as conn:
            # The planner takes what a policy lets through for one row, and would go through all for each of all.
            await conn.execute("SET LOCAL enable_nestloop = off")
            rows = await conn.fetch(
                over("list_entities", tiers),
                key_of(query) if query is not None and key_of(query) else None,
                kind,
                after[0] if after else None,
                after[1] if after else None,
                limit + 1,
            )
        found = [node_of(row) for row in rows]
        last = found[limit - 1] if len(found) > limit else None
        return EntityPage(
            items=[node.entity() for node in found[:limit]],
            next_cursor=_encode(last.mentions, last.id) if last else None,
        )

    async def one(self, caller: Caller, entity: UUID) -> EntityView:
        """Return the entity with all that is known of its names. Raises EntityNotFound."""
        tiers = readable(caller)
        async with self._library.plain.pool.as_caller(caller) as conn:
            return await view(conn, tiers, entity)


async def view(conn: Connection, tiers: tuple[Tier, ...], entity: UUID) -> EntityView:
    """Return one entity as it is shown. Raises EntityNotFound."""
    found = await roots_of(conn, tiers, [entity])
    shown = await nodes(conn, tiers, list(found))
    if not shown:
        raise EntityNotFound()
    node = next(iter(shown.values()))
    roots = found[node.id]
    aliases = await conn.fetch(over("list_aliases", tiers), roots)
    merged = await conn.fetch(over("list_merged", tiers), roots)
    changes = await conn.fetch(over("list_changes", tiers), roots)
    memories = await conn.fetch(over("list_mentioning", tiers), roots, now(), MEMORIES_SHOWN)
    return EntityView(
        **node.entity().model_dump(),
        aliases=[
            Alias(name=row["alias"], given=row["given"], mentions=row["mentions"])
            for row in aliases
        ],
        merged=[
            EntityRef(id=row["id"], name=row["name"], kind=row["kind"], me=row["self"])
            for row in merged
        ],
        memories=[row["id"] for row in memories],
        changes=[EntityChange.model_validate(dict(row)) for row in changes],
    )


def readable(caller: Caller) -> tuple[Tier, ...]:
    """Return the tiers in which the caller may see entities. Raises TierDenied."""
    tiers = plain_tiers(caller.db_role)
    if not tiers:
        raise TierDenied()
    return tiers


def _encode(mentions: int, entity: UUID) -> str:
    return base64.urlsafe_b64encode(f"{mentions}:{entity.hex}".encode()).decode().rstrip("=")


def _decode(raw: str) -> tuple[int, UUID]:
    if not 1 <= len(raw) <= 100 or not raw.isascii():
        raise CursorInvalid()
    try:
        text = base64.b64decode(raw + "=" * (-len(raw) % 4), altchars=b"-_", validate=True).decode()
        mentions, _, entity = text.partition(":")
        if not mentions.isascii() or not mentions.isdigit() or len(mentions) > 18:
            raise CursorInvalid()
        return int(mentions), UUID(hex=entity)
    except (ValueError, binascii.Error):
        raise CursorInvalid() from None
