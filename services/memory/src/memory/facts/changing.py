"""What a person does to entities: say that two are one, that one is two, and what it is called.

A merge sets a pointer; taking it back clears it, and everything is as it was, also what was read meanwhile: it went to
the entity whose name the text has. Between tiers nothing points anywhere: the entity of the more private tier takes the
name of the other, in its own table, and a reader of both sees one. Who reads the less private tier sees no change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from contracts.facts import EntityEdit, EntitySplit, EntityView
from contracts.identity import Caller
from contracts.tiers import Tier
from kit.pool import Connection

from memory.domain import PRIVACY, clean_text
from memory.errors import EditEmpty
from memory.facts.entities import readable, view
from memory.facts.errors import (
    EntitiesApart,
    EntitiesSame,
    EntityNameTaken,
    EntityNotFound,
    EntityNotMerged,
    SplitInvalid,
)
from memory.facts.model import NAME_CHARS_MAX, key_of
from memory.facts.nodes import roots_of
from memory.facts.sqltext import PLAIN_TIERS, one, over
from memory.facts.store import FactStore
from memory.library import Library, now
from memory.presenting import check_writes


@dataclass(frozen=True, slots=True)
class Root:
    """One row of an entity as it is shown."""

    id: UUID
    tier: Tier
    namespace: str
    kind: str
    name: str
    key: str
    me: bool


class Changing:
    """`PATCH /v1/entities/{id}`, `POST /v1/entities/{id}/merge` and `/split`."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._store = FactStore()

    async def edit(self, caller: Caller, entity: UUID, request: EntityEdit) -> EntityView:
        """Return the entity under its new name or kind. Raises EntityNotFound, EntityNameTaken, EditEmpty."""
        if request.name is None and request.kind is None:
            raise EditEmpty("The edit changes nothing.")
        name = _name(request.name) if request.name is not None else None
        check_writes(caller.db_role, caller.read_only)
        tiers = readable(caller)
        async with self._library.plain.pool.as_caller(caller) as conn:
            await self._hold(conn, caller, tiers)
            for root in await _roots(conn, tiers, entity):
                change = _Change(conn, caller.subject, root)
                if name is not None and name != root.name:
                    await change.rename(name)
                if request.kind is not None and request.kind != root.kind and not root.me:
                    await change.retype(request.kind)
            return await self._changed(conn, caller, tiers, entity)

    async def merge(self, caller: Caller, entity: UUID, other: UUID) -> EntityView:
        """Return the entity that the two are shown as. Raises EntityNotFound, EntitiesSame, EntitiesApart."""
        check_writes(caller.db_role, caller.read_only)
        tiers = readable(caller)
        async with self._library.plain.pool.as_caller(caller) as conn:
            await self._hold(conn, caller, tiers)
            kept, gone = await _roots(conn, tiers, entity), await _roots(conn, tiers, other)
            if {root.id for root in kept} & {root.id for root in gone}:
                raise EntitiesSame()
            if kept[0].namespace != gone[0].namespace:
                raise EntitiesApart()
            mine = any(root.me for root in gone)
            if mine or (PRIVACY[gone[0].tier] < PRIVACY[kept[0].tier] and not kept[0].me):
                # Whoever is one with the person is the person, and not the other way round. Else the name that stays is
                # the one that the less private tier knows, where nobody may notice anything of the other.
                kept, gone = gone, kept
            await self._merge(conn, caller.subject, kept, gone)
            return await self._changed(conn, caller, tiers, kept[0].id)

    async def split(self, caller: Caller, entity: UUID, request: EntitySplit) -> EntityView:
        """Return what was split off. Raises EntityNotFound, EntityNotMerged, EntityNameTaken, SplitInvalid."""
        check_writes(caller.db_role, caller.read_only)
        ways = (request.entity, request.aliases, request.memories)
        if sum(way is not None for way in ways) != 1:
            raise SplitInvalid()
        name = _name(request.name) if request.name is not None else None
        if request.memories is not None and name is None:
            raise SplitInvalid()
        tiers = readable(caller)
        async with self._library.plain.pool.as_caller(caller) as conn:
            await self._hold(conn, caller, tiers)
            roots = await _roots(conn, tiers, entity)
            if request.entity is not None:
                await self._take_out(conn, caller.subject, tiers, roots, request.entity)
                return await self._changed(conn, caller, tiers, request.entity)
            keys = [key_of(alias) for alias in request.aliases] if request.aliases else None
            made = [
                ident
                for root in roots
                if (
                    ident := await _Change(conn, caller.subject, root).carve(
                        name, keys, request.memories
                    )
                )
            ]
            if not made:
                raise SplitInvalid()
            return await self._changed(conn, caller, tiers, made[0])

    async def _changed(
        self, conn: Connection, caller: Caller, tiers: tuple[Tier, ...], entity: UUID
    ) -> EntityView:
        """Return the entity as it is now, and tell of the change: kept answers by whom they speak of are old."""
        shown = await view(conn, tiers, entity)
        roots = [root.id for root in await _roots(conn, tiers, entity)]
        row = await conn.fetchrow(over("list_mentioning", tiers), roots, now(), 1)
        if row is not None:
            plain = self._library.plain
            await plain.step_out(conn)
            tier = Tier(row["tier"])
            await plain.announce(conn, row["id"], caller.subject, tier, "related")
        return shown

    async def _hold(self, conn: Connection, caller: Caller, tiers: Sequence[Tier]) -> None:
        for tier in PLAIN_TIERS:
            if tier in tiers:
                await self._store.hold(conn, caller.subject, tier)

    async def _merge(
        self, conn: Connection, subject: UUID, kept: Sequence[Root], gone: Sequence[Root]
    ) -> None:
        here = {root.tier: root for root in kept}
        there = {root.tier: root for root in gone}
        if not here.keys() & there.keys() and any(root.me for root in (*kept, *gone)):
            raise EntitiesApart()
        for tier, root in there.items():
            if tier in here:
                await conn.execute(one("merge_root", tier), here[tier].id, root.id)
                await _Change(conn, subject, here[tier]).note("merged", other=root.id)
        model = min(here.values(), key=lambda each: PRIVACY[each.tier])
        for tier, root in there.items():
            # With nobody to be merged into in its own, more private tier, it takes the other's name.
            if tier not in here and not (root.me or model.me):
                await _Change(conn, subject, root).join(model)

    async def _take_out(
        self,
        conn: Connection,
        subject: UUID,
        tiers: Sequence[Tier],
        roots: Sequence[Root],
        part: UUID,
    ) -> None:
        """Undo the merge of `part`, exactly: also what the same merge did in another tier."""
        found = await roots_of(conn, tiers, [part])
        if not {root.id for root in roots} & {each for ids in found.values() for each in ids}:
            raise EntityNotMerged()
        joined = next((root for root in roots if root.id == part), None)
        places = [joined.tier] if joined is not None else list(dict.fromkeys(r.tier for r in roots))
        for tier in places:
            at = await conn.fetchval(one("merge_moment", tier), part)
            if joined is not None:
                undone = await _Change(conn, subject, joined).unjoin()
            else:
                undone = await self._unmerge(conn, subject, tier, part)
            if undone:
                others = [each for each in PLAIN_TIERS if each in tiers and each is not tier]
                for other in others:
                    await self._undo_at(conn, subject, other, at)
                return
        raise EntityNotMerged()

    async def _unmerge(self, conn: Connection, subject: UUID, tier: Tier, part: UUID) -> bool:
        head = await conn.fetchval(one("root_of", tier), part)
        if head is None or not await conn.fetch(one("unmerge", tier), part):
            return False
        row = (await conn.fetch(over("roots_to_change", (tier,)), [head]))[0]
        await _Change(conn, subject, _root(row)).note("unmerged", other=part)
        return True

    async def _undo_at(
        self, conn: Connection, subject: UUID, tier: Tier, at: datetime | None
    ) -> None:
        """Undo in one tier what was merged and joined at a moment, if it is known and as far as it still is."""
        for row in await conn.fetch(one("merged_at", tier), at):
            if not row["joined"]:
                await self._unmerge(conn, subject, tier, row["other_id"])
                continue
            for each in await conn.fetch(over("roots_to_change", (tier,)), [row["entity_id"]]):
                await _Change(conn, subject, _root(each)).unjoin()


@dataclass(frozen=True)
class _Change:
    """Changes of one root, each with its line in the journal."""

    conn: Connection
    subject: UUID
    root: Root

    async def note(
        self, change: str, other: UUID | None = None, before: Root | None = None
    ) -> None:
        await self.conn.execute(
            one("note_change", self.root.tier),
            self.subject,
            self.root.namespace,
            self.root.id,
            other,
            change,
            before.name if before else None,
            before.key if before else None,
            before.kind if before else None,
        )

    async def _set(self, name: str, key: str, kind: str) -> None:
        await self.conn.execute(one("rename_root", self.root.tier), self.root.id, name, key, kind)

    async def _give(self, name: str, key: str, entity: UUID | None = None) -> None:
        await self.conn.execute(
            one("give_alias", self.root.tier),
            entity or self.root.id,
            key,
            self.subject,
            self.root.namespace,
            name,
        )

    async def rename(self, name: str) -> None:
        key = key_of(name)
        if not self.root.me and await self._taken(key):
            raise EntityNameTaken()
        await self._give(name, key)
        await self._set(name, key, self.root.kind)
        await self.note("renamed", before=self.root)

    async def retype(self, kind: str) -> None:
        row = await self.conn.fetchrow(over("roots_to_change", (self.root.tier,)), [self.root.id])
        await self._set(row["name"], row["key"], kind)
        await self.note("retyped", before=self.root)

    async def join(self, model: Root) -> None:
        await self._give(model.name, model.key)
        await self._set(model.name, model.key, model.kind)
        await self.note("merged", other=model.id, before=self.root)

    async def unjoin(self) -> bool:
        tier = self.root.tier
        before = await self.conn.fetchrow(one("last_join", tier), self.root.id)
        if before is None:
            return False
        await self._set(before["before_name"], before["before_key"], before["before_kind"])
        await self.conn.execute(one("take_alias", tier), self.root.id, self.root.key)
        await self.conn.execute(one("drop_join", tier), self.root.id)
        await self.note("unmerged")
        return True

    async def _taken(self, key: str) -> bool:
        return bool(
            await self.conn.fetchval(
                one("name_taken", self.root.tier),
                self.root.namespace,
                key,
                self.root.kind,
                self.root.id,
            )
        )

    async def carve(
        self, name: str | None, keys: Sequence[str] | None, memories: Sequence[UUID] | None
    ) -> UUID | None:
        """Make an entity of what stands under these names or in these memories; None when that is nothing.

        Raises SplitInvalid when nothing would stay, EntityNameTaken.
        """
        tier = self.root.tier
        rows = await self.conn.fetch(one("mentions_to_move", tier), self.root.id, keys, memories)
        moved = [row for row in rows if row["moves"]]
        if not moved:
            return None
        if len(moved) == len(rows):
            raise SplitInvalid()
        aliases: list[str] = [row["alias"] for row in moved]
        name = name or max(aliases, key=len)
        key = key_of(name)
        if await self._taken(key) or (memories is not None and key == self.root.key):
            raise EntityNameTaken()
        made = uuid4()
        await self.conn.execute(
            one("new_entity", tier),
            made,
            self.subject,
            self.root.namespace,
            self.root.kind,
            name,
            key,
        )
        used = sorted({row["alias_key"] for row in moved})
        await self.conn.execute(
            one("copy_aliases", tier), made, self.root.id, memories is None, used
        )
        await self._give(name, key, made)
        columns = [[row[part] for row in moved] for part in ("memory_id", "entity_id", "alias_key")]
        await self.conn.execute(one("copy_mentions", tier), made, memories is not None, *columns)
        # A memory that still speaks of the one it was split from keeps its facts there: which one they mean is not known.
        stays = {row["memory_id"] for row in rows if not row["moves"]}
        free = list({row["memory_id"] for row in moved} - stays)
        for statement in ("move_fact_subjects", "move_fact_objects"):
            await self.conn.execute(one(statement, tier), made, self.root.id, free)
        await self.conn.execute(one("drop_mentions", tier), *columns)
        if keys is not None:
            await self.conn.execute(one("drop_given_aliases", tier), self.root.id, used)
        else:
            await self.conn.execute(one("pin_mentions", tier), self.root.id, used)
        await self.note("split", other=made)
        return made


async def _roots(conn: Connection, tiers: Sequence[Tier], entity: UUID) -> list[Root]:
    """Return the rows that are shown as this entity, the least private first. Raises EntityNotFound."""
    found = await roots_of(conn, tiers, [entity])
    ids = [root for each in found.values() for root in each]
    rows = await conn.fetch(over("roots_to_change", tuple(tiers)), ids) if ids else []
    if not rows:
        raise EntityNotFound()
    return sorted((_root(row) for row in rows), key=lambda root: PRIVACY[root.tier])


def _root(row: Any) -> Root:
    return Root(
        row["id"],
        Tier(row["tier"]),
        row["namespace"],
        row["kind"],
        row["name"],
        row["key"],
        row["self"],
    )


def _name(raw: str) -> str:
    """Return a name that a person gives. Raises the text's errors."""
    name = " ".join(clean_text(raw, NAME_CHARS_MAX).split())
    if not key_of(name):
        raise SplitInvalid("The name has no letter.")
    return name
