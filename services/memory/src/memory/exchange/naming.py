"""Reads the entities that leave, and makes those that come back: each with the first memory that speaks of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

from contracts.tiers import Tier

from memory.exchange.names import (
    ALIASES_MAX,
    CHANGES_MAX,
    ENTITIES_MAX,
    MENTIONS_MAX,
    Alias,
    Change,
    Mentioned,
    Named,
    batches,
)
from memory.exchange.store import text_for
from memory.facts.model import SELF_KEY, key_of
from memory.facts.sqltext import PLAIN_TIERS, one

if TYPE_CHECKING:
    from kit.pool import CallerLike, Connection

    from memory.domain import Entry
    from memory.library import Library

_AT_ONCE = 50
# Of one import: what is more is read out of the memories, as everything else is.
_MENTIONS_MAX = 20_000


async def leaving(
    library: Library, caller: CallerLike, tiers: Sequence[Tier], spaces: Sequence[str] | None
) -> AsyncIterator[Named]:
    """Yield the entities that a person merged, split or named, each with its names. Raises DataUnavailable."""
    pool = library.plain.pool
    names = list(spaces) if spaces is not None else None
    room = _MENTIONS_MAX
    for tier in PLAIN_TIERS:
        if tier not in tiers:
            continue
        async with pool.as_caller(caller) as conn:
            rows = await conn.fetch(text_for("list_named", tier), names, ENTITIES_MAX)
        for part in batches(rows, _AT_ONCE):
            async with pool.as_caller(caller) as conn:
                found = await _whole(conn, tier, part)
            for named in found:
                if len(named.mentions) <= room:
                    room -= len(named.mentions)
                    yield named


async def _whole(conn: Connection, tier: Tier, rows: Sequence[Any]) -> list[Named]:
    ids = [row["id"] for row in rows]
    aliases: dict[UUID, list[Alias]] = {}
    mentions: dict[UUID, list[Mentioned]] = {}
    changes: dict[UUID, list[Change]] = {}
    for row in await conn.fetch(text_for("list_named_aliases", tier), ids, ALIASES_MAX):
        alias = Alias(row["alias"], row["key"], row["given"])
        aliases.setdefault(row["entity_id"], []).append(alias)
    for row in await conn.fetch(text_for("list_named_mentions", tier), ids, MENTIONS_MAX):
        mention = Mentioned(row["memory_id"], row["alias_key"], row["role"], row["pinned"])
        mentions.setdefault(row["entity_id"], []).append(mention)
    for row in await conn.fetch(text_for("list_named_changes", tier), ids, CHANGES_MAX):
        change = Change(
            row["change"], row["other_id"], row["before_name"], row["before_kind"], row["at"]
        )
        changes.setdefault(row["entity_id"], []).append(change)
    return [
        Named(
            *(row["id"], tier, row["namespace"], row["kind"], row["name"], row["self"]),
            row["created_at"],
            row["merged_into"],
            tuple(aliases.get(row["id"], ())),
            tuple(mentions.get(row["id"], ())),
            tuple(changes.get(row["id"], ())),
        )
        for row in rows
    ]


@dataclass
class Arriving:
    """The entities that one import names, by the ids they have here."""

    subject: UUID
    declared: dict[UUID, Named] = field(default_factory=dict)
    _by_memory: dict[UUID, list[tuple[UUID, Mentioned]]] = field(default_factory=dict)
    _named_so: dict[tuple[Tier, str, str], list[UUID]] = field(default_factory=dict)
    _mentions: int = 0

    def declare(self, named: Named) -> bool:
        """Note an entity; False when there are too many, or it was named before."""
        full = len(self.declared) >= ENTITIES_MAX
        if full or named.id in self.declared or self._mentions > _MENTIONS_MAX:
            return False
        self.declared[named.id] = named
        self._mentions += len(named.mentions)
        for each in named.mentions:
            self._by_memory.setdefault(each.memory, []).append((named.id, each))
        place = (named.tier, named.namespace, key_of(named.name))
        self._named_so.setdefault(place, []).append(named.id)
        return True

    async def attach(self, conn: Connection, tier: Tier, entries: Sequence[Entry]) -> None:
        """Make what these memories, which were just written, speak of; in their transaction, as the caller."""
        speaking = [entry for entry in entries if entry.id in self._by_memory]
        if not speaking or tier not in PLAIN_TIERS:
            return
        await self._hold(conn, tier)
        for entry in speaking:
            for ident, mention in self._by_memory[entry.id]:
                named = self.declared[ident]
                if (named.tier, named.namespace) != (tier, entry.namespace):
                    continue
                target = await self._find(conn, named) or await self._make(conn, named)
                await self._call(conn, named, target)
                await conn.execute(
                    text_for("put_named_mention", tier),
                    *(entry.id, target, mention.key, self.subject, entry.namespace),
                    *(mention.role, mention.pinned, entry.revision),
                )

    async def join(self, library: Library, caller: CallerLike) -> int:
        """Merge those that were merged, now that all memories are here; return how many entities came to stand here."""
        count = 0
        for tier in PLAIN_TIERS:
            of_tier = [named for named in self.declared.values() if named.tier is tier]
            if not of_tier:
                continue
            async with library.plain.pool.as_caller(caller) as conn:
                await self._hold(conn, tier)
                here = {named.id: await self._find(conn, named) for named in of_tier}
                found = {ident: target for ident, target in here.items() if target is not None}
                for part, head in self._merges(of_tier, found):
                    await conn.execute(text_for("join_named", tier), found[part], found[head])
            count += len(found)
        return count

    def _merges(self, of_tier: Sequence[Named], found: dict[UUID, UUID]) -> list[tuple[UUID, UUID]]:
        """Return who is to be merged into whom. For one whose memories did not come, the next above stands in; with
        nobody above, the first of those below.
        """
        heirs: dict[UUID, UUID] = {}
        pairs: list[tuple[UUID, UUID]] = []
        for named in of_tier:
            up, top = named.merged_into, None
            for _ in range(ENTITIES_MAX):
                if up is None or up in found or up not in self.declared:
                    break
                up, top = self.declared[up].merged_into, up
            if named.id not in found:
                continue
            if up is not None and up in found:
                pairs.append((named.id, up))
            elif top is not None and heirs.setdefault(top, named.id) != named.id:
                pairs.append((named.id, heirs[top]))
        return pairs

    async def _hold(self, conn: Connection, tier: Tier) -> None:
        # Two who name at once, an import and the worker, would make everybody twice.
        await conn.execute(one("hold_names", tier), f"{self.subject}{tier.value}")

    async def _find(self, conn: Connection, named: Named) -> UUID | None:
        key = key_of(named.name)
        others = self._named_so.get((named.tier, named.namespace, key), [])
        return await conn.fetchval(
            text_for("find_named", named.tier),
            *(named.id, named.me, named.namespace, key, named.kind, others),
        )

    async def _make(self, conn: Connection, named: Named) -> UUID:
        key = SELF_KEY if named.me else key_of(named.name)
        await conn.execute(
            text_for("put_named", named.tier),
            *(
                named.id,
                self.subject,
                named.namespace,
                named.kind,
                named.name,
                key,
                named.me,
                named.created_at,
            ),
        )
        await conn.executemany(
            text_for("put_named_change", named.tier),
            [
                (
                    *(self.subject, named.namespace, named.id, each.other, each.change),
                    *(each.before_name, key_of(each.before_name) if each.before_name else None),
                    *(each.before_kind, each.at),
                )
                for each in named.changes
            ],
        )
        return named.id

    async def _call(self, conn: Connection, named: Named, target: UUID) -> None:
        await conn.executemany(
            text_for("put_named_alias", named.tier),
            [
                (target, each.key, self.subject, named.namespace, each.name, each.given)
                for each in named.aliases
            ],
        )
