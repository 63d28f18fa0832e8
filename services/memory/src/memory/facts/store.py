"""What extraction reads and writes: texts, names and facts as the person's role, the books as the service itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from contracts.tiers import Tier
from kit.pool import Connection

from memory.facts.model import Kind, Known, Mention, Reading, Text
from memory.facts.resolve import Kin, Names
from memory.facts.sqltext import PLAIN_TIERS, one, over


@dataclass(frozen=True, slots=True)
class Due:
    """A memory that is to be read."""

    memory_id: UUID
    subject_id: UUID
    tier: Tier
    tries: int


@dataclass(frozen=True, slots=True)
class Walk:
    """How far one person's memories of a tier were read anew."""

    subject_id: UUID
    tier: Tier
    after_seq: int


_FACT = (
    "id",
    "entity_id",
    "predicate",
    "qualifier",
    "chain",
    "polarity",
    "object_text",
    "object_key",
    "object_kind",
    "object_entity_id",
    "valid_from",
    "valid_to",
    "confidence",
    "extractor",
    "start",
    "end",
)


class Books:
    """Which memories are to be read: ids and times, as the service itself."""

    def _text(self, name: str) -> str:
        return over(name, PLAIN_TIERS)

    async def claim(self, conn: Connection, stage: str, limit: int) -> list[Due]:
        """Lease what is due, so that what is lost falls due again."""
        rows = await conn.fetch(self._text("claim_extractions"), stage, limit)
        return [
            Due(row["memory_id"], row["subject_id"], Tier(row["tier"]), row["tries"])
            for row in rows
        ]

    async def noted(
        self, conn: Connection, stage: str, tier: Tier, memory_ids: Sequence[UUID]
    ) -> set[UUID]:
        """Return those of the memories that are to be read; the others have been since they were written."""
        rows = await conn.fetch(
            self._text("noted_extractions"), stage, tier.value, list(memory_ids)
        )
        return {row["memory_id"] for row in rows}

    async def finish(
        self, conn: Connection, stage: str, tier: Tier, memory_ids: Sequence[UUID]
    ) -> None:
        """Tick off what was read, in the transaction that holds the memories; not what has moved on to another tier."""
        await conn.execute(self._text("finish_extractions"), stage, tier.value, list(memory_ids))

    async def defer(self, conn: Connection, stage: str, due: Sequence[Due], seconds: float) -> None:
        """Try again later without counting the try: what it needs is away."""
        await conn.execute(
            self._text("defer_extractions"), stage, [each.memory_id for each in due], seconds
        )

    async def queue(
        self, conn: Connection, stage: str, subject: UUID, tier: Tier, memory_ids: Sequence[UUID]
    ) -> None:
        """Note that memories of one person and tier are to be read; those noted already stay as they are."""
        await conn.execute(
            self._text("queue_extractions"), stage, subject, tier.value, list(memory_ids)
        )

    async def queue_again(
        self, conn: Connection, subject: UUID, tier: Tier, memory_ids: Sequence[UUID]
    ) -> None:
        """Note that the rules are to read these and a model is to be asked about them, also where one was asked before."""
        await conn.execute(self._text("queue_both_again"), subject, tier.value, list(memory_ids))

    async def settle(self, conn: Connection, due: Due) -> None:
        """Note that a model was asked about this text; it is not asked again until the text changes."""
        await conn.execute(self._text("settle_extraction"), due.memory_id, due.tier.value)

    async def count(self, conn: Connection) -> int:
        """Return how many memories are to be read or are being read."""
        return int(await conn.fetchval(self._text("count_extractions")))

    async def state(self, conn: Connection) -> tuple[int, float]:
        """Return how many memories wait to be read, and for how many seconds the oldest has been due."""
        row = await conn.fetchrow(self._text("extraction_queue_state"))
        return int(row["waiting"]), max(0.0, float(row["oldest_seconds"] or 0.0))

    async def walks(self, conn: Connection, version: str) -> list[Walk]:
        """Return some of the walks that this version of the extractors has not ended."""
        await conn.execute(self._text("begin_walks"), version)
        rows = await conn.fetch(self._text("open_walks"), version)
        return [Walk(row["subject_id"], Tier(row["tier"]), row["after_seq"]) for row in rows]

    async def move_walk(
        self, conn: Connection, walk: Walk, version: str, after_seq: int, done: bool
    ) -> None:
        """Note how far a walk has come."""
        await conn.execute(
            self._text("move_walk"), walk.subject_id, walk.tier.value, version, after_seq, done
        )


class FactStore:
    """One person's entities and facts in one tier, written in transactions of their role."""

    async def hold(self, conn: Connection, subject: UUID, tier: Tier) -> None:
        """Be the only one who names entities of this person and tier until the transaction ends."""
        await conn.execute(one("hold_names", tier), f"{subject}{tier.value}")

    async def texts(self, conn: Connection, tier: Tier, memory_ids: Sequence[UUID]) -> list[Text]:
        """Return what is there of the memories, oldest first, held against edits."""
        return _texts(tier, await conn.fetch(one("texts_to_read", tier), list(memory_ids)))

    async def look(self, conn: Connection, tier: Tier, memory_id: UUID) -> list[Text]:
        """Return the memory, if it is there, without holding it."""
        return _texts(tier, await conn.fetch(one("text_to_ask_about", tier), memory_id))

    async def walk(self, conn: Connection, walk: Walk, limit: int) -> list[tuple[UUID, int]]:
        """Return the next memories of a walk, with their places."""
        rows = await conn.fetch(one("walk_memories", walk.tier), walk.after_seq, limit)
        return [(row["id"], row["seq"]) for row in rows]

    async def names(
        self,
        conn: Connection,
        tier: Tier,
        namespace: str,
        keys: Sequence[str],
        firsts: Sequence[str],
    ) -> Names:
        """Return who bears these names, or names that begin with these words, in one namespace."""
        names = Names()
        rows = await conn.fetch(one("names_known", tier), namespace, list(keys), list(firsts))
        for row in rows:
            known = Known(
                row["id"],
                row["root"],
                Kind(row["kind"]),
                row["key"],
                row["self"],
                row["mentions"],
                row["given"],
            )
            names.add(row["alias_key"], known)
        return names

    async def kin(self, conn: Connection, tier: Tier, namespace: str) -> Kin:
        """Return who may be meant by `self.sister` and the like."""
        rows = await conn.fetch(one("kin_known", tier), namespace)
        return Kin({row["predicate"]: (row["entity_id"], set(row["roots"])) for row in rows})

    async def pinned(
        self, conn: Connection, tier: Tier, memory_ids: Sequence[UUID]
    ) -> Mapping[UUID, Mapping[str, UUID]]:
        """Return what the person said about who is meant, by memory and name."""
        found: dict[UUID, dict[str, UUID]] = {}
        for row in await conn.fetch(one("pinned_mentions", tier), list(memory_ids)):
            found.setdefault(row["memory_id"], {})[row["alias_key"]] = row["entity_id"]
        return found

    async def write(
        self,
        conn: Connection,
        readings: Sequence[Reading],
        sharper: Sequence[Mapping[UUID, Kind]],
        extractors: str,
    ) -> None:
        """Put what was read in the place of what was read from the same memories before.

        All are of one person, tier and namespace. `sharper` are the kinds that each has made clearer. `extractors` is
        the beginning of the names of the extractors whose facts are replaced: empty for all.
        """
        if not readings:
            return
        first = readings[0].text
        tier, whose = first.tier, (first.subject_id, first.namespace)
        made = [entity for reading in readings for entity in reading.entities]
        if made:
            await conn.execute(
                one("insert_entities", tier),
                *whose,
                *_columns(made, "id", "kind", "name", "key", "me"),
            )
        mentions = [mention for reading in readings for mention in reading.mentions]
        of = [reading.text for reading in readings for _ in reading.mentions]
        if mentions:
            aliases = _columns(mentions, "entity_id", "key", "alias")
            await conn.execute(one("insert_aliases", tier), *whose, *aliases)
            await conn.execute(
                one("insert_mentions", tier),
                *whose,
                *_columns(of, "memory_id", "revision"),
                *_columns(mentions, "entity_id", "key", "role", "uses", "start", "end"),
            )
            await self._call(conn, tier, readings, sharper)
        await self._write_facts(conn, readings, extractors)
        await conn.execute(
            one("drop_other_mentions", tier),
            [reading.text.memory_id for reading in readings],
            *_columns(of, "memory_id"),
            *_columns(mentions, "entity_id", "key"),
        )

    async def _call(
        self,
        conn: Connection,
        tier: Tier,
        readings: Sequence[Reading],
        sharper: Sequence[Mapping[UUID, Kind]],
    ) -> None:
        """Give entities their fuller names and clearer kinds, each entity in the order of what was read."""
        for names, kinds in rounds(readings, sharper):
            if names:
                await conn.execute(
                    one("lengthen_names", tier), *_columns(names, "entity_id", "alias", "key")
                )
            if kinds:
                await conn.execute(
                    one("sharpen_entities", tier),
                    list(kinds),
                    [kind.value for kind in kinds.values()],
                )

    async def _write_facts(
        self, conn: Connection, readings: Sequence[Reading], extractors: str
    ) -> None:
        first = readings[0].text
        facts = [fact for reading in readings for fact in reading.facts]
        of = [reading.text for reading in readings for _ in reading.facts]
        if facts:
            await conn.execute(
                one("insert_facts", first.tier),
                first.subject_id,
                first.namespace,
                *_columns(of, "memory_id", "revision", "learned_at"),
                *_columns(facts, *_FACT),
            )
        texts = [reading.text for reading in readings]
        await conn.execute(
            one("drop_other_facts", first.tier),
            *_columns(texts, "memory_id", "revision"),
            [fact.id for fact in facts],
            extractors,
        )

    async def clear(self, conn: Connection, tier: Tier, memory_ids: Sequence[UUID]) -> None:
        """Erase all that was read from these memories."""
        await conn.execute(one("clear_derived_facts", tier), list(memory_ids))
        await conn.execute(one("clear_derived_mentions", tier), list(memory_ids))


def _texts(tier: Tier, rows: Sequence[Any]) -> list[Text]:
    return [
        Text(
            row["id"],
            row["subject_id"],
            tier,
            row["namespace"],
            row["text"],
            row["speaker"],
            row["revision"],
            row["occurred_at"] or row["created_at"],
            row["valid_from"],
            row["created_at"] if row["revision"] == 1 else row["updated_at"],
        )
        for row in rows
    ]


def _columns(rows: Sequence[Any], *names: str) -> list[list[Any]]:
    """Return the rows as one list a column, as `unnest` takes them."""
    return [[getattr(row, name) for row in rows] for name in names]


def rounds(
    readings: Sequence[Reading], sharper: Sequence[Mapping[UUID, Kind]]
) -> list[tuple[list[Mention], dict[UUID, Kind]]]:
    """Return what each memory calls its entities, as few statements as leave every entity's order as it is. Pure."""
    found: list[tuple[list[Mention], dict[UUID, Kind]]] = []
    said: dict[UUID, int] = {}
    known: dict[UUID, set[str]] = {}

    def at(entity: UUID) -> tuple[list[Mention], dict[UUID, Kind]]:
        turn = said.get(entity, 0)
        said[entity] = turn + 1
        if turn == len(found):
            found.append(([], {}))
        return found[turn]

    for reading, kinds in zip(readings, sharper, strict=True):
        for mention in reading.mentions:
            # What is called so already is not called so again, unless it has become something else meanwhile.
            keys = known.setdefault(mention.entity_id, set())
            if " " in mention.key and mention.key not in keys:
                keys.add(mention.key)
                at(mention.entity_id)[0].append(mention)
        for entity, kind in kinds.items():
            known.pop(entity, None)
            at(entity)[1][entity] = kind
    return found


async def rebase(conn: Connection, tier: Tier, gone: UUID, survivor: UUID) -> None:
    """Give what was read from one memory to the memory that it is merged into, before it is deleted.

    Runs as the person's role inside the transaction that merges.
    """
    for name in ("rebase_mentions", "rebase_facts_known", "rebase_facts"):
        await conn.execute(one(name, tier), gone, survivor)
